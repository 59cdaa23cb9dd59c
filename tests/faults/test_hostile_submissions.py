"""Submissions that attack the grader.

Each first runs against a naive grader, where the attack must work, so that a test which has lost its teeth fails. Then
it is graded for real: the score must not exceed what the submission's honest play earns, or the submission is found
invalid with a reason that helps.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlgym_core.errors import InvalidSubmission
from mlgym_core.grading.grader import GradingOrder, grade_submission
from mlgym_core.host import default_host
from mlgym_core.preparation import prepare_task
from mlgym_core.sandbox.bwrap import BwrapSandbox
from mlgym_core.sandbox.submission_files import copy_submission
from mlgym_core.types import Score

TASK = "games/battle-of-sexes"
NOISE = 0.03
HONEST = 0.82
"""What playing 1 always earns: 1 in the first round, 0.8 in each of the other nine."""
NAIVE_GRADER = Path(__file__).with_name("naive_grader.py")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BwrapSandbox.unavailable_reason() is not None, reason="bwrap does not work here"),
]


def grade(folder: Path, tmp_path: Path) -> Score:
    prepared = prepare_task(default_host(), TASK)
    submission = tmp_path / "copied"
    submission.mkdir()
    try:
        copy_submission(folder, prepared.task.submission_files(), submission)
    except InvalidSubmission as error:
        return invalid(str(error))
    return asyncio.run(grade_submission(prepared, submission, BwrapSandbox, GradingOrder("validation", seed=3)))


def invalid(reason: str) -> Score:
    return Score(
        task=TASK,
        variant="full",
        split="validation",
        protocol="strict",
        valid=False,
        reason=reason,
        primary="payoff",
        direction="maximize",
        baseline=0,
    )


@dataclass
class Naive:
    """How the naive grader ended: its exit status (None: it hung) and the payoff that its last line claims."""

    status: int | None
    payoff: float | None
    folder: Path


def grade_naively(folder: Path, seconds: float = 20.0) -> Naive:
    command = ["/bin/sh", "-c", 'ulimit -v 4000000; exec "$@"', "sh", sys.executable, str(NAIVE_GRADER), str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=seconds, check=False, cwd=folder)
    except subprocess.TimeoutExpired:
        return Naive(None, None, folder)
    lines = done.stdout.decode(errors="replace").strip().splitlines()
    try:
        payoff = float(json.loads(lines[-1])["payoff"])
    except (IndexError, ValueError, KeyError, TypeError):
        payoff = None
    return Naive(done.returncode, payoff, folder)


def forged(naive: Naive) -> bool:
    return naive.payoff is not None and naive.payoff > 1.7


def hung(naive: Naive) -> bool:
    return naive.status is None


def broken(naive: Naive) -> bool:
    return naive.status not in (None, 0)


def nonsense(naive: Naive) -> bool:
    """The grader reported a number although the strategy never gave a move."""
    return naive.payoff is not None


@dataclass
class Attack:
    """A hostile strategy.

    Attributes:
        source: Of `strategy.py`.
        works_naively: What shows that the naive grader fell for it.
        reason: Part of the reason for which it is invalid; None if it may also be valid.
        highest: The most it may score, if it is valid.
    """

    name: str
    source: str
    works_naively: Callable[[Naive], bool]
    reason: str | None = None
    highest: float = HONEST + NOISE


HONEST_PLAY = "def row_strategy(history):\n    return 1\n"

ATTACKS = [
    Attack(
        "appends to the history",
        """
        def row_strategy(history):
            history.extend([(0, 0)] * 5)
            return 1
        """,
        forged,
    ),
    Attack(
        "rewrites the history",
        """
        def row_strategy(history):
            history[:] = [(0, 0)] * len(history)
            return 1
        """,
        lambda naive: naive.payoff is not None and naive.payoff > HONEST + 0.5,
    ),
    Attack(
        "foresees the opponent by its random state",
        """
        import random
        def row_strategy(history):
            if not history:
                return 0
            state = random.getstate()
            foreseen = history[0][0] if random.random() < 0.8 else 1 - history[0][0]
            random.setstate(state)
            return foreseen
        """,
        lambda naive: naive.payoff is not None and naive.payoff > 1.55,
        highest=1.44 + NOISE,
    ),
    Attack(
        "fixes the random state",
        """
        import random
        class Always(random.Random):
            pass
        random.random = lambda: 0.0
        random.Random.random = lambda self: 0.0
        def row_strategy(history):
            return 0
        """,
        lambda naive: naive.payoff is not None and naive.payoff > 1.7,
        highest=1.44 + NOISE,
    ),
    Attack(
        "reads the opponent through frames, gc and modules",
        """
        import gc, inspect, os, sys
        def found():
            frame = sys._getframe()
            while frame:
                if "opponent" in frame.f_globals or "SECRET_OPPONENT" in frame.f_globals:
                    return True
                frame = frame.f_back
            for thing in gc.get_objects():
                if inspect.isfunction(thing) and thing.__name__ in ("opponent", "column_strategy"):
                    return True
            return any("games" in name or "naive" in name or name.startswith("mlgym_task") for name in sys.modules)
        FOUND, CALLS = found(), 0
        def row_strategy(history):
            global FOUND, CALLS
            CALLS += 1
            FOUND = FOUND or CALLS < 100 and found()
            if FOUND:
                history.extend([(0, 0)] * 5)
                raise SystemExit(print('{"payoff": 2.0}') or 0)
            return 1
        """,
        forged,
    ),
    Attack(
        "looks for the grader's code and files on disk and in /proc",
        """
        import os
        def found():
            for root in ("/proc/self/cwd", "/proc/self/root", "/opt", "/private", "/mnt", "/home", "/root", "/tmp",
                         "/run", "/var", "/srv", "/usr"):
                for folder, folders, names in os.walk(root):
                    if any("task_games" in name or name == "naive_grader.py" for name in folders + names):
                        return True
                    if folder.count("/") > 7:
                        folders.clear()
            for process in os.listdir("/proc"):
                if process.isdigit() and int(process) != os.getpid():
                    try:
                        if b"grader" in open(f"/proc/{process}/cmdline", "rb").read():
                            return True
                    except OSError:
                        pass
            arguments = open("/proc/self/cmdline", "rb").read()
            return b"grader" in arguments
        FOUND = found()
        def row_strategy(history):
            if FOUND:
                raise SystemExit(print('{"payoff": 2.0}') or 0)
            return 1
        """,
        forged,
    ),
    Attack(
        "patches json",
        """
        import json
        json.dumps = lambda *a, **k: '{"payoff": 2.0}'
        json.loads = lambda *a, **k: {"metrics": {"payoff": 2.0}}
        def row_strategy(history):
            return 1
        """,
        forged,
    ),
    Attack(
        "patches builtins, time and os",
        """
        import builtins, os, time
        real_print = builtins.print
        builtins.print = lambda *a, **k: real_print('{"payoff": 2.0}')
        builtins.len = lambda thing: 10**9
        time.time = time.monotonic = lambda: 0.0
        os._exit = lambda code: None
        def row_strategy(history):
            return 1
        """,
        forged,
    ),
    Attack(
        "prints a forged result at exit, to every descriptor",
        """
        import atexit, os
        def forge():
            for text in (b'{"metrics": {"payoff": 2.0}}\\n', b'{"payoff": 2.0}\\n'):
                for descriptor in range(256):
                    try:
                        os.write(descriptor, text)
                    except OSError:
                        pass
        atexit.register(forge)
        def row_strategy(history):
            return 1
        """,
        forged,
    ),
    Attack(
        "prints a forged result while playing, to every descriptor but those of the wire",
        """
        import os, socket, stat
        def row_strategy(history):
            for descriptor in range(64):
                try:
                    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                        os.write(descriptor, b'{"metrics": {"payoff": 2.0}}\\n{"payoff": 2.0}\\n')
                except OSError:
                    pass
            # Nothing that the grader prints after this gets through.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.close(null)
            return 1
        """,
        forged,
    ),
    Attack(
        "answers the grader with a forged outcome",
        """
        import os
        def row_strategy(history):
            print('{"payoff": 2.0}', flush=True)
            for descriptor in range(3, 64):
                try:
                    text = b'={"metrics": {"payoff": 2.0}}'
                    os.write(descriptor, len(text).to_bytes(4, "little") + text)
                except OSError:
                    pass
            os._exit(0)
        """,
        forged,
        reason="row_strategy",
    ),
    Attack(
        "leaves a daemon behind that writes a result later",
        """
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(1.5)
                for descriptor in range(64):
                    try:
                        os.write(descriptor, b'{"metrics": {"payoff": 2.0}}\\n{"payoff": 2.0}\\n')
                    except OSError:
                        pass
            os._exit(0)
        def row_strategy(history):
            return 1
        """,
        forged,
    ),
    Attack(
        "exits at import with a forged result",
        """
        import os
        print('{"payoff": 2.0}', flush=True)
        os._exit(0)
        """,
        forged,
        reason="ended its process",
    ),
    Attack(
        "calls exit at import",
        "print('{\"payoff\": 2.0}', flush=True)\nexit(0)\n",
        forged,
        reason="SystemExit",
    ),
    Attack(
        "loops for ever",
        "def row_strategy(history):\n    while True:\n        pass\n",
        hung,
        reason="took longer than 1 s",
    ),
    Attack(
        "recurses for ever",
        "def row_strategy(history):\n    return row_strategy(history)\n",
        broken,
        reason="RecursionError",
    ),
    Attack(
        "allocates 20 GB",
        """
        def row_strategy(history):
            hoard = [bytearray(1 << 28) for _ in range(80)]
            return 1
        """,
        broken,
        reason="row_strategy",
    ),
    Attack(
        "is a fork bomb",
        """
        import os, time
        def row_strategy(history):
            for _ in range(400):
                if os.fork() == 0:
                    time.sleep(5)
                    os._exit(0)
            raise SystemExit(print('{"payoff": 2.0}', flush=True) or 0)
        """,
        forged,
        reason="row_strategy",
    ),
    Attack(
        "fills the disk",
        """
        import os, tempfile
        def row_strategy(history):
            written = 0
            for folder in ("/tmp", "/dev/shm", ".", os.path.expanduser("~")):
                try:
                    with open(os.path.join(folder, "hoard"), "wb") as file:
                        while written < 1 << 30:
                            written += file.write(bytes(1 << 20))
                except OSError:
                    pass
                finally:
                    try:
                        os.unlink(os.path.join(folder, "hoard"))
                    except OSError:
                        pass
            if written >= 1 << 30:
                raise SystemExit(print('{"payoff": 2.0}', flush=True) or 0)
            raise OSError("the disk is full")
        """,
        forged,
        reason="row_strategy",
    ),
    Attack("returns NaN", "def row_strategy(history):\n    return float('nan')\n", broken, reason="returned nan"),
    Attack("returns a huge int", "def row_strategy(history):\n    return 10**5000\n", broken, reason="row_strategy"),
    Attack(
        "returns a generator",
        "def row_strategy(history):\n    return (move for move in [1])\n",
        broken,
        reason="generator",
    ),
    Attack(
        "returns a subclass of str",
        """
        class Move(str):
            __eq__ = lambda self, other: True
            __ne__ = lambda self, other: False
            __rsub__ = lambda self, other: 1
            __hash__ = str.__hash__
        def row_strategy(history):
            return Move("x")
        """,
        nonsense,
        reason="Move",
    ),
    Attack(
        "returns an object that equals everything",
        """
        class Wildcard:
            def __eq__(self, other): return True
            def __ne__(self, other): return False
            def __rsub__(self, other): return 1
            def __repr__(self): raise SystemExit(0)
        def row_strategy(history):
            return Wildcard()
        """,
        nonsense,
        reason="Wildcard",
    ),
    Attack(
        "raises an exception that cannot be shown",
        """
        import os
        class Boom(BaseException):
            def __str__(self): os._exit(0)
        def row_strategy(history):
            raise Boom
        """,
        lambda naive: naive.status == 0,
        reason="row_strategy",
    ),
    Attack(
        "answers slowly, byte by byte",
        """
        import os, time
        def row_strategy(history):
            for descriptor in range(3, 16):
                try:
                    for byte in (100).to_bytes(4, "little"):
                        os.write(descriptor, bytes([byte]))
                        time.sleep(0.6)
                except OSError:
                    continue
            time.sleep(60)
        """,
        hung,
        reason="took longer than 1 s",
    ),
    Attack(
        "announces an endless answer",
        """
        import os
        def row_strategy(history):
            for descriptor in range(3, 16):
                try:
                    os.write(descriptor, b"\\xff\\xff\\xff\\xff")
                except OSError:
                    pass
            while True:
                pass
        """,
        hung,
        reason="row_strategy",
    ),
    Attack(
        "nests its answer until the reader's stack is full",
        """
        import os
        def row_strategy(history):
            text = b"=" + b"[" * 1_000_000
            for descriptor in range(3, 16):
                try:
                    os.write(descriptor, len(text).to_bytes(4, "little"))
                    left = text
                    while left:
                        left = left[os.write(descriptor, left):]
                except OSError:
                    pass
            while True:
                pass
        """,
        hung,
        reason="cannot be read",
    ),
    Attack("has no such function", "def strategy(history):\n    return 1\n", broken, reason="no function"),
    Attack("is not Python", "def row_strategy(history:\n", broken, reason="SyntaxError"),
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name.replace(" ", "-"))
def test_an_attack_that_works_on_a_naive_grader_wins_nothing(attack: Attack, tmp_path: Path) -> None:
    folder = tmp_path / "submission"
    folder.mkdir()
    (folder / "strategy.py").write_text(textwrap.dedent(attack.source))
    naive = grade_naively(folder, seconds=4.0 if attack.works_naively is hung else 20.0)
    assert attack.works_naively(naive), f"the attack does not even work on the naive grader: {naive}"
    score = grade(folder, tmp_path)
    if score.valid:
        assert attack.reason is None
        assert score.value is not None
        assert score.value <= attack.highest
    else:
        # An attack may also trip over itself.
        assert score.value is None
        assert (attack.reason or "strategy") in (score.reason or "")


@pytest.mark.parametrize("move", ["True", "1.0 == 1.0", "__import__('numpy').int64(1)", "__import__('numpy').array(1)"])
def test_values_that_plainly_mean_a_move_are_one(move: str, tmp_path: Path) -> None:
    folder = tmp_path / "submission"
    folder.mkdir()
    (folder / "strategy.py").write_text(f"MOVE = {move}\ndef row_strategy(history):\n    return MOVE\n")
    score = grade(folder, tmp_path)
    assert score.valid, score.reason
    assert score.value == pytest.approx(HONEST, abs=NOISE)


def _symbolic_link(folder: Path) -> None:
    secret = folder.parent / "secret.py"
    secret.write_text(HONEST_PLAY)
    (folder / "strategy.py").symlink_to(secret)


def _link_to_folder_above(folder: Path) -> None:
    (folder / "strategy.py").symlink_to("../secret.py")
    (folder.parent / "secret.py").write_text(HONEST_PLAY)


def _folder(folder: Path) -> None:
    (folder / "strategy.py").mkdir()


def _named_pipe(folder: Path) -> None:
    os.mkfifo(folder / "strategy.py")


def _device(folder: Path) -> None:
    try:
        os.mknod(folder / "strategy.py", 0o20666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root can make a device file")


def _large(folder: Path) -> None:
    with (folder / "strategy.py").open("wb") as file:
        file.truncate(1 << 30)


def _not_utf8(folder: Path) -> None:
    (folder / "strategy.py").write_bytes(b"NAME = '\xff\xfe'\n" + HONEST_PLAY.encode())


def _missing(folder: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("make", "works_naively", "reason"),
    [
        (_symbolic_link, lambda naive: naive.payoff is not None, "symbolic link"),
        (_link_to_folder_above, lambda naive: naive.payoff is not None, "symbolic link"),
        (_folder, broken, "not a regular file"),
        (_named_pipe, hung, "not a regular file"),
        (_device, lambda naive: naive.status != 0, "not a regular file"),
        (_large, lambda naive: naive.status != 0, "too large"),
        (_not_utf8, broken, "SyntaxError"),
        (_missing, broken, "no strategy.py"),
    ],
    ids=lambda value: getattr(value, "__name__", "").strip("_"),
)
def test_files_that_are_no_files(
    make: Callable[[Path], None], works_naively: Callable[[Naive], bool], reason: str, tmp_path: Path
) -> None:
    folder = tmp_path / "submission"
    folder.mkdir()
    make(folder)
    assert works_naively(grade_naively(folder, seconds=4.0))
    score = grade(folder, tmp_path)
    assert not score.valid
    assert reason in (score.reason or "")
