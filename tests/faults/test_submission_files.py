"""What an agent leaves where its submission should be: only plain files of the workspace are ever handed in.

Each trick ends as an invalid submission with a reason, or as the score of what honestly lies there; never with
something from elsewhere, never with a grader or a runner that waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from inside import output, tool

from mlgym_core import Env, Score, make

ELSEWHERE = 0.875
"""What an `answer.txt` of the host holds that no agent can see."""


def validated(env: Env) -> Score:
    """Validate what lies in the workspace."""
    observation = env.step({"tool": "validate"})[0]
    assert not env.is_over, observation.text
    assert observation.score is not None, observation.text
    return observation.score


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder of the host with an answer and a program."""
    folder = tmp_path / "elsewhere"
    folder.mkdir(mode=0o755)
    (folder / "answer.txt").write_text(str(ELSEWHERE))
    (folder / "program.py").write_text("def f(*a):\n    return None\n")
    return folder


SOCKET = "import socket; socket.socket(socket.AF_UNIX).bind('answer.txt')"

INVALID = {
    "a link to a file of the host": ("ln -s '{elsewhere}/answer.txt' answer.txt", "symbolic link"),
    "a link to the private files": ("ln -s /private/secret.txt answer.txt", "symbolic link"),
    "a link to a file of the system": ("ln -s /etc/passwd answer.txt", "symbolic link"),
    "a link to a descriptor": ("ln -s /proc/self/fd/0 answer.txt", "symbolic link"),
    "a link to itself": ("ln -s answer.txt answer.txt", "symbolic link"),
    "a link to an honest file": ("echo 0.5 > other.txt; ln -s other.txt answer.txt", "symbolic link"),
    "a folder": ("mkdir answer.txt", "not a regular file"),
    "a named pipe": ("mkfifo answer.txt", "not a regular file"),
    "a named pipe with a writer": ("mkfifo answer.txt; (yes 0.5 > answer.txt) 2> /dev/null &", "not a regular file"),
    "a socket": (f'python3 -c "{SOCKET}"', "cannot be read"),
    "a device": ("mknod answer.txt c 1 3; mknod answer.txt b 254 0", "There is no answer.txt"),
    "a hole of a terabyte": ("truncate -s 1T answer.txt", "too large"),
    "one byte too many": ("printf '%0101d' 0 > answer.txt", "too large"),
    "a hard link to a file of the system": ("ln /etc/passwd answer.txt || ln /bin/sh answer.txt", "There is no answer"),
    "nothing": ("true", "There is no answer.txt"),
    "no number": ("printf '\\0\\033[31m\\377' > answer.txt", ""),
}


@pytest.mark.parametrize(("trick", "reason"), INVALID.values(), ids=[name.replace(" ", "-") for name in INVALID])
def test_what_is_no_plain_file_is_no_submission(env: Env, elsewhere: Path, trick: str, reason: str) -> None:
    output(env, f"rm -rf answer.txt; {trick.format(elsewhere=elsewhere)}")
    score = validated(env)
    assert not score.valid
    assert reason in (score.reason or "")
    assert "root:" not in (score.reason or "")
    assert str(ELSEWHERE) not in (score.reason or "")
    output(env, "rm -rf answer.txt; echo 0.5 > answer.txt")
    assert validated(env).value == 0.5


VALID = {
    "a hard link to a file of its own": "echo 0.5 > other.txt; ln other.txt answer.txt",
    "a file that is open for writing": "exec 9> answer.txt; echo 0.5 >&9; (while :; do sleep 1; done) &",
    "a file with a hole": "truncate -s 90 answer.txt; printf 0.5 > answer.txt",
    "a file that sets its user": "echo 0.5 > answer.txt; chmod 6755 answer.txt",
    "a file that has no name any more beside one that has": "echo 9 > answer.txt; exec 8< answer.txt; rm answer.txt; "
    "echo 0.5 > answer.txt",
}


@pytest.mark.parametrize("trick", VALID.values(), ids=[name.replace(" ", "-") for name in VALID])
def test_a_plain_file_is_one_however_it_came_about(env: Env, trick: str) -> None:
    output(env, f"rm -rf answer.txt; {trick}")
    assert validated(env).value == 0.5


SWAP = """
cat > swap.py <<'END'
import ctypes, os
library = ctypes.CDLL(None)
while True:  # both names exist all the time; only what they mean changes
    library.renameat2(-100, b"{name}", -100, b"swapped", 2)
END
ln -sfn '{target}' swapped
python3 swap.py > /dev/null 2>&1 &
sleep 0.2
"""


def test_a_file_that_is_swapped_with_a_link_all_the_time(env: Env, elsewhere: Path) -> None:
    output(env, "echo 0.5 > answer.txt")
    output(env, SWAP.format(name="answer.txt", target=elsewhere / "answer.txt"))
    seen = [validated(env).value for _ in range(5)]
    assert set(seen) <= {0.5, None}


@pytest.fixture
def programs(isolated_sandbox: str, installed_examples: object) -> Iterator[Env]:
    """An episode whose submission lies in a folder of the workspace."""
    with make("examples/programs", sandbox=isolated_sandbox, action_timeout=60) as env:
        env.reset()
        yield env


def test_a_folder_that_is_swapped_with_a_link_all_the_time(programs: Env, elsewhere: Path) -> None:
    # The program of the workspace is worth 2, that of the host nothing.
    output(programs, SWAP.format(name="code", target=elsewhere))
    seen = [validated(programs).value for _ in range(3)]
    assert set(seen) <= {2.0, None}


def test_the_program_elsewhere_would_be_told_apart(programs: Env, elsewhere: Path) -> None:
    assert validated(programs).value == 2.0
    tool(programs, "write_file", path="code/program.py", content=(elsewhere / "program.py").read_text())
    assert validated(programs).value == 0.0


def test_a_folder_behind_a_link(programs: Env, elsewhere: Path) -> None:
    output(programs, f"mv code honest; ln -s '{elsewhere}' code")
    score = validated(programs)
    assert not score.valid
    assert "symbolic link" in (score.reason or "") or "not a folder" in (score.reason or "")
