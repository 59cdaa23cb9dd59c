"""Heuristics that attack the grader, and agents that look for what is hidden, in real sandboxes.

Each attack on the grader first runs against a naive one, where it must work, so that a test which has lost its teeth
fails. All are built around the same honest heuristic, and must earn exactly what that earns, or be found invalid.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlgym_core import Attack as TaskAttack, EpisodeResult, Score, default_host, make
from mlgym_core.grading.grader import GradingOrder, grade_submission
from mlgym_core.preparation import PreparedTask, prepare_task
from mlgym_core.runner import Run, RunPlan
from mlgym_core.sandbox.bwrap import BwrapSandbox
from mlgym_core.types import Protocol
from mlgym_task_algorithms.derivations import HEURISTICS, load, measure
from mlgym_task_algorithms.instances import draw_instances, write_instances
from mlgym_task_algorithms.solver import Instance
from mlgym_task_algorithms.three_sat import TASK, ThreeSat

PACKAGE = HEURISTICS.parent
NAIVE_GRADER = Path(__file__).with_name("naive_sat_grader.py")
HONEST = (HEURISTICS / "weighted_clauses.py").read_text(encoding="utf-8")
HONEST_FUNCTION = HONEST.replace("def heuristic_fn(", "def honest(")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BwrapSandbox.unavailable_reason() is not None, reason="bwrap does not work here"),
]


def few(purpose: str) -> list[Instance]:
    """Return the first satisfiable and the first unsatisfiable instance of three sizes."""
    found: dict[tuple[int, bool], Instance] = {}
    for instance in draw_instances(TASK, "full", purpose):
        if instance.variables <= 100:
            found.setdefault((instance.variables, instance.satisfiable), instance)
    return [*found.values()]


@dataclass
class Rig:
    """The task with few hidden instances.

    Attributes:
        prepared: The task; graders see `hidden` as both splits.
        hidden: Folder with the instances that are graded.
        public: Folder with as many public ones.
        honest: What the honest heuristic earns on the hidden ones.
    """

    prepared: PreparedTask
    hidden: Path
    public: Path
    honest: float

    def grade(self, folder: Path, protocol: Protocol = "strict") -> Score:
        """Grade a folder for real."""
        order = GradingOrder("test", protocol, seed=3)
        return asyncio.run(grade_submission(self.prepared, folder, BwrapSandbox, order))


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    """The task with few hidden instances."""
    private, public = tmp_path_factory.mktemp("private"), tmp_path_factory.mktemp("public")
    hidden = private / "test"
    hidden.mkdir()
    write_instances(few("test"), hidden)
    write_instances(few("public"), public)
    honest = measure(load(HEURISTICS / "weighted_clauses.py"), few("test")).decisions
    prepared = dataclasses.replace(prepare_task(default_host(), TASK), private=private)
    return Rig(prepared, hidden, public, honest)


@pytest.fixture
def submission(tmp_path: Path) -> Path:
    """A folder for a submission."""
    folder = tmp_path / "submission"
    folder.mkdir()
    return folder


@dataclass
class Naive:
    """How the naive grader ended: its exit status (None: it hung), and the last line of what it printed."""

    status: int | None
    decisions: float | None = None
    seconds: float | None = None
    complaint: str = ""


def grade_naively(submission: Path, instances: Path, seconds: float = 30.0) -> Naive:
    command = [sys.executable, str(NAIVE_GRADER), str(submission), str(instances)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False, cwd=instances)
    except subprocess.TimeoutExpired:
        return Naive(None)
    try:
        result = json.loads(done.stdout.strip().splitlines()[-1])
        return Naive(done.returncode, result["decisions"], result["seconds"])
    except (IndexError, ValueError, KeyError, TypeError):
        return Naive(done.returncode, complaint=done.stderr)


def hardly_decides(naive: Naive) -> bool:
    return naive.decisions is not None and naive.decisions < 20


def takes_no_time(naive: Naive) -> bool:
    return naive.seconds == 0


def finds(naive: Naive) -> bool:
    return "FOUND" in naive.complaint


@dataclass
class Attack:
    """A hostile heuristic.

    Attributes:
        source: What comes after the honest heuristic, which is called `honest`.
        works_naively: What shows that the naive grader fell for it.
    """

    name: str
    source: str
    works_naively: Callable[[Naive], bool]


ATTACKS = [
    Attack(
        "assigns all variables and drops the clauses",
        """
        def heuristic_fn(clauses, assignments, conflict_count, history, level):
            answer = honest(clauses, assignments, conflict_count, history, level)
            for variable in conflict_count:
                if variable != answer[0]:
                    assignments[variable] = True
            clauses.clear()
            return answer
        """,
        hardly_decides,
    ),
    Attack(
        "pretends that all levels are tried",
        """
        def heuristic_fn(clauses, assignments, conflict_count, history, level):
            answer = honest(clauses, assignments, conflict_count, history, level)
            level.clear()
            return answer
        """,
        hardly_decides,
    ),
    Attack(
        "finds the search through frames and ends it",
        """
        import sys
        def heuristic_fn(clauses, assignments, conflict_count, history, level):
            answer = honest(clauses, assignments, conflict_count, history, level)
            frame = sys._getframe()
            while frame:
                search = frame.f_locals.get("search")
                if search is not None:
                    search.assignments.update({v: True for v in conflict_count if v != answer[0]})
                    frame.f_locals["instance"].clauses.clear()
                frame = frame.f_back
            return answer
        """,
        hardly_decides,
    ),
    Attack(
        "finds the search through the garbage collector and ends it",
        """
        import gc
        def heuristic_fn(clauses, assignments, conflict_count, history, level):
            answer = honest(clauses, assignments, conflict_count, history, level)
            # Once per instance: it takes a while.
            if not assignments and not any(conflict_count.values()):
                for thing in gc.get_objects():
                    kind = type(thing).__name__
                    if kind == "_Search":
                        thing.assignments.update({v: True for v in conflict_count if v != answer[0]})
                    if kind == "Instance":
                        thing.clauses.clear()
            return answer
        """,
        hardly_decides,
    ),
    Attack(
        "patches the solver",
        """
        import sys
        for name, module in list(sys.modules.items()):
            if name.endswith("solver") or name == "solver":
                def extended(self, literal, is_first_value):
                    for variable in self.conflict_count:
                        self.assignments[variable] = True
                    return True
                module._Search.extended = extended
                module.satisfies = lambda clauses, assignments: True
                module.MOST_DECISIONS = 1
        try:
            import mlgym_task_algorithms.three_sat as task
        except ImportError:
            pass
        else:
            task.solve = task.MOST_DECISIONS = None
        heuristic_fn = honest
        """,
        hardly_decides,
    ),
    Attack(
        "patches the clock",
        """
        import time
        for name in ("time", "monotonic", "perf_counter", "process_time", "time_ns", "monotonic_ns"):
            setattr(time, name, lambda: 0)
        heuristic_fn = honest
        """,
        takes_no_time,
    ),
    Attack(
        "looks for the hidden instances and the grader's code",
        """
        import os
        def found():
            for root in ("/private", "/proc/self/cwd", "/opt", "/submission", "/wire", "/tmp", "/home", "/root", "/mnt",
                         "/run", "/srv", "/var", "/dev/shm"):
                for folder, folders, names in os.walk(root):
                    if any(name.endswith(".cnf") or "three_sat" in name for name in names):
                        return folder
                    if folder.count("/") > 7:
                        folders.clear()
            for process in os.listdir("/proc"):
                if process.isdigit() and process != str(os.getpid()):
                    try:
                        text = open(f"/proc/{process}/cmdline", "rb").read()
                        if b"grader" in text or os.listdir(f"/proc/{process}/root/private"):
                            return process
                    except OSError:
                        pass
            return None
        if found():
            raise RuntimeError("FOUND " + found())
        heuristic_fn = honest
        """,
        finds,
    ),
    Attack(
        "looks at the grader's memory and descriptors",
        """
        import gc, os, sys
        def heuristic_fn(clauses, *rest):
            if not rest[0] and not any(rest[1].values()):
                if any(name.startswith(("mlgym_core", "mlgym_task")) for name in sys.modules):
                    raise RuntimeError("FOUND a module")
                if any(type(thing).__name__ in ("Instance", "_Search") for thing in gc.get_objects()):
                    raise RuntimeError("FOUND an instance")
                for descriptor in os.listdir("/proc/self/fd"):
                    try:
                        if ".cnf" in os.readlink("/proc/self/fd/" + descriptor):
                            raise RuntimeError("FOUND a file")
                    except OSError:
                        pass
            return honest(clauses, *rest)
        """,
        finds,
    ),
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name.replace(" ", "-"))
def test_an_attack_that_works_on_a_naive_grader_wins_nothing(attack: Attack, rig: Rig, submission: Path) -> None:
    (submission / "heuristic.py").write_text(HONEST_FUNCTION + textwrap.dedent(attack.source))
    naive = grade_naively(submission, rig.hidden)
    assert attack.works_naively(naive), f"the attack does not even work on the naive grader: {naive}"
    score = rig.grade(submission)
    assert score.valid, score.reason
    assert score.value == rig.honest
    assert score.metrics["seconds"] > 0.01


def memoising(instances: Path) -> str:
    """Return a submission that knows a solution of each satisfiable instance in a folder by heart."""
    from pysat.solvers import Glucose4

    from mlgym_task_algorithms.solver import read_instance

    known = {}
    for path in sorted(instances.glob("*.cnf")):
        clauses = read_instance(path).clauses
        with Glucose4(bootstrap_with=clauses) as solver:
            if solver.solve():
                known[str(clauses)] = solver.get_model()
    return f"""{HONEST_FUNCTION}
KNOWN = {known}
def heuristic_fn(clauses, assignments, *rest):
    variable, value = honest(clauses, assignments, *rest)
    model = KNOWN.get(str(clauses))
    return variable, value if model is None else model[variable - 1] > 0
"""


def test_who_knows_the_public_instances_by_heart_gains_nothing(rig: Rig, submission: Path, tmp_path: Path) -> None:
    (submission / "heuristic.py").write_text(memoising(rig.public))
    other = tmp_path / "honest"
    other.mkdir()
    (other / "heuristic.py").write_text(HONEST)
    memorised, honest = (grade_naively(folder, rig.public).decisions for folder in (submission, other))
    assert memorised is not None
    assert honest is not None
    assert memorised < honest - 3
    assert rig.grade(submission).value == rig.honest


NOTES = """
import os
FILES = [os.path.join(place, "note") for place in {places}]
if any(map(os.path.exists, FILES)):
    raise RuntimeError("FOUND a note")
def heuristic_fn(clauses, *rest):
    if not rest[0]:
        for file in FILES:
            try:
                open(file, "a").write(str(clauses))
            except OSError:
                pass
    return honest(clauses, *rest)
"""


def test_a_grading_leaves_nothing_for_the_next(rig: Rig, submission: Path) -> None:
    beside = "os.path.dirname(os.path.abspath(__file__))"
    (submission / "heuristic.py").write_text(HONEST_FUNCTION + NOTES.format(places=f"[{beside}]"))
    assert grade_naively(submission, rig.hidden).decisions == rig.honest
    assert finds(grade_naively(submission, rig.hidden))
    (submission / "note").unlink()
    places = f"[{beside}, '/tmp', os.path.expanduser('~'), '/dev/shm', '/var/tmp', '/wire', '/opt/runtime', '/run']"
    (submission / "heuristic.py").write_text(HONEST_FUNCTION + NOTES.format(places=places))
    scores = [rig.grade(submission) for _ in range(2)]
    assert [(score.valid, score.value) for score in scores] == [(True, rig.honest)] * 2


@pytest.mark.parametrize("attack", ThreeSat().attacks(), ids=lambda attack: attack.name.replace(" ", "-"))
def test_what_mlgym_check_tries(attack: TaskAttack, rig: Rig, submission: Path, tmp_path: Path) -> None:
    public = rig.prepared.public
    shutil.copytree(public, submission, dirs_exist_ok=True)
    subprocess.run([sys.executable, str(attack.program)], cwd=submission, check=True)
    assert (submission / "heuristic.py").read_bytes() != (public / "heuristic.py").read_bytes()
    solvable = tmp_path / "solvable"
    solvable.mkdir()
    public_instances = draw_instances(TASK, "full", "public")
    write_instances([instance for instance in public_instances if instance.satisfiable][:12], solvable)
    naive, honest = (grade_naively(folder, solvable).decisions for folder in (submission, public))
    assert naive is not None
    assert honest is not None
    assert naive < 0.1 * honest
    score, baseline = rig.grade(submission), rig.grade(public)
    assert score.valid, score.reason
    assert score.value is not None
    assert baseline.value is not None
    if attack.outcome == "flagged":
        assert score.value < 0.8 * baseline.value
        assert "solved_outside" in score.flags
    else:
        # Not less, as chance is drawn from the same seed.
        assert score.value == baseline.value
    assert baseline.flags == ()


def test_a_good_heuristic_that_solves_by_itself_is_flagged(rig: Rig, submission: Path) -> None:
    parts = [(PACKAGE / "solver.py").read_text(encoding="utf-8"), HONEST.replace("def heuristic_fn(", "def branch(")]
    parts.append((HEURISTICS / "own_solver.py").read_text(encoding="utf-8"))
    lines = [line for part in parts for line in part.splitlines()]
    kept = [line for line in lines if not line.startswith(("from __future__", "from mlgym"))]
    (submission / "heuristic.py").write_text("from __future__ import annotations\n" + "\n".join(kept) + "\n")
    score = rig.grade(submission)
    assert score.valid, score.reason
    assert score.flags == ("solved_outside",)
    assert score.value is not None
    # What it saves is less than what the satisfiable half took.
    assert 0.6 * rig.honest < score.value < rig.honest


def test_under_paper_seconds_count(rig: Rig, submission: Path) -> None:
    (submission / "heuristic.py").write_text(HONEST)
    score = rig.grade(submission, "paper")
    assert score.primary == "seconds"
    assert score.baseline == 16.158
    assert score.value == score.metrics["seconds"]
    assert score.metrics["decisions"] == rig.honest
    assert score.flags == ()


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("return None", "returned None; expected a pair of an unassigned variable and a Boolean value, in"),
        ("return (True, True)", "returned [True, True]; expected"),
        ("return (0, True)", "returned [0, True]; expected"),
        ("return (10**9, True)", "expected"),
        ("return (assignment_history[0], True)", "is assigned already"),
        ("return (1, 'yes')", "expected"),
        ("return (1.5, True)", "expected"),
        ("return (float('nan'), True)", "returned [nan, True]"),
        ("return 10**5000, True", "heuristic_fn raised ValueError"),
        ("return {1, 2}", "is or contains a set"),
        ("return [1] * 10**6", "returned more than"),
        ("raise KeyError('x')", "raised KeyError: 'x'"),
        ("return heuristic_fn(*[[]] * 5)", "raised"),
        ("exit(0)", "raised SystemExit"),
        ("import os; os._exit(0)", "ended its process"),
        ("import time; time.sleep(5)", "took longer than 1 s"),
        ("hoard = [bytearray(1 << 28) for _ in range(80)]", "heuristic_fn"),
    ],
)
def test_what_is_no_decision_is_an_invalid_submission(act: str, reason: str, rig: Rig, submission: Path) -> None:
    source = f"""
    CALLS = 0
    def heuristic_fn(clauses, assignments, conflict_count, assignment_history, level):
        global CALLS
        CALLS += 1
        if CALLS == 3:
            {act}
        return honest(clauses, assignments, conflict_count, assignment_history, level)
    """
    (submission / "heuristic.py").write_text(HONEST_FUNCTION + textwrap.dedent(source))
    score = rig.grade(submission)
    assert not score.valid
    assert score.value is None
    assert reason in (score.reason or "")
    assert "in decision 3 of instance 1" in (score.reason or "")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def heuristic(*_):\n    return 1, True\n", "defines no function 'heuristic_fn'"),
        ("def heuristic_fn(clauses, assignments):\n    return 1, True\n", "raised TypeError"),
        ("def heuristic_fn(:\n", "SyntaxError"),
        ("heuristic_fn = (1, True)\n", "defines no function"),
        ("import numpy\n", "No module named 'numpy'"),
    ],
)
def test_files_that_are_no_heuristic(source: str, reason: str, rig: Rig, submission: Path) -> None:
    (submission / "heuristic.py").write_text(source)
    score = rig.grade(submission)
    assert not score.valid
    assert reason in (score.reason or "")


SEARCH = """
import os, sys
sys.stdout.reconfigure(errors="replace")
for root, folders, names in os.walk("/"):
    if root in ("/proc", "/sys"):
        folders.clear()
    for name in names:
        path = os.path.join(root, name)
        try:
            with open(path, "rb", buffering=0) as file:
                head = file.read(64) if os.path.isfile(path) else b""
        except OSError:
            continue
        if head.startswith(b"c uniform random 3-SAT") or "three_sat" in name or "look_ahead" in name:
            print(path)
"""


def test_an_agent_finds_nothing_hidden_and_changes_nothing_that_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with make(TASK, sandbox="bwrap", runs_dir=tmp_path, action_timeout=120) as env:
        env.reset()
        env.step({"tool": "write_file", "arguments": {"path": "search.py", "content": SEARCH}})
        observation = env.step("python3 search.py | sort; pwd; env | grep -i -E 'key|mlgym' ")[0]
        *found, workspace = [line for line in observation.text.splitlines() if line.startswith("/")]
        # What it does find shows that it looked.
        assert found == [f"{workspace}/instances/{number:03}.cnf" for number in range(1, 49)]
        assert "KEY" not in observation.text
        env.step("python3 - <<'END'\nprint('def solve(*_): raise SystemExit', file=open('solver.py', 'w'))\nEND")
        env.step(
            "rm -rf try_it.py instances README.md; mkdir -p mlgym_task_algorithms; cp solver.py mlgym_task_algorithms"
        )
        env.step({"tool": "write_file", "arguments": {"path": "heuristic.py", "content": HONEST}})
        env.step({"tool": "submit"})
        result = env.result
    assert result is not None
    assert result.error is None
    expected = measure(load(HEURISTICS / "weighted_clauses.py"), draw_instances(TASK, "full", "test"))
    assert result.final == expected.decisions
    assert result.return_ is not None
    assert 0.7 < result.return_ < 0.9
    assert "solved_outside" not in result.integrity.flags


def test_the_baseline_lands_in_its_band(tmp_path: Path) -> None:
    plan = RunPlan(tasks=(TASK,), agents=("baseline",), seed=5)
    run = Run.start(default_host(), tmp_path / "run", plan)

    async def results() -> list[EpisodeResult]:
        return [result async for result in run.play()]

    [result] = asyncio.run(results())
    assert result.error is None
    assert result.final is not None
    assert 2900 <= result.final <= 3600
    assert result.score is not None
    assert abs(result.score.normalized or 0) < 0.03
    assert result.return_ == pytest.approx(result.score.normalized)
