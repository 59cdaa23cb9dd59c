"""Agents that try to turn a bad score into a failure of the infrastructure, or to wedge the runner.

Whatever they do, the episode goes on, and ends in the score that the submission deserves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from inside import call

from mlgym_core import Env, make


@pytest.fixture
def action_timeout() -> float:
    """Some attacks leave the shell without an answer; none of the others takes this long."""
    return 5.0


SUBMIT = {"tool": "submit"}


ATTACKS: dict[str, list[Any]] = {
    "ends its shell": ["exit 5"],
    "ends its shell and locks the workspace": ["chmod 000 /workspace; exit", "chmod 755 /workspace 2>/dev/null; true"],
    "locks everything": ["chmod 000 /workspace /home/agent /tmp; exit"],
    "kills all": ["kill -9 -1", "kill -9 1"],
    "stops its shell": ["kill -STOP $$", "kill -STOP -1"],
    "ends the shell by tracing it": [
        'python3 -c "import ctypes; l = ctypes.CDLL(None); print(l.ptrace(16, 1, 0, 0)); print(l.ptrace(8, 1, 0, 0))"'
    ],
    "writes to the shell's descriptors": [
        "printf 'exit\\n' > /proc/1/fd/0; echo x > /proc/1/fd/201; exec 201>&-; exec 200<&-"
    ],
    "closes every descriptor": ['for n in $(seq 0 255); do eval "exec $n>&-"; done'],
    "deletes the workspace": ["rm -rf /workspace /tmp/* ~; cd /; rmdir /workspace"],
    "goes to a folder with a strange name": ["mkdir -p $'a\\xff\\n\\xfe'; cd $'a\\xff\\n\\xfe'", "pwd"],
    "makes a deep tree": [
        "python3 -c \"import os\nfor _ in range(3000):\n    os.mkdir('d'); os.chdir('d')\"",
    ],
    "makes folders that nobody may enter": [
        "mkdir -p locked/inner; touch locked/inner/file; chmod 000 locked/inner locked"
    ],
    "names a file in lone surrogates": [
        call("read_file", path="\ud800"),
        call("write_file", path="x", content="\ud800\udfff"),
        call("edit_file", path="answer.txt", old="0", new="\ud800"),
        call("bash", command="echo \ud800"),
        call("\ud800"),
    ],
    "names a file with a very long path": [
        call("read_file", path="a" * 3_000_000),
        call("write_file", path="a/" * 100_000, content="x"),
        call("read_file", path="a" * 300),
    ],
    "names odd files": [
        call("read_file", path="-rf"),
        call("write_file", path="--help", content="x"),
        call("read_file", path="/dev/zero"),
        call("read_file", path="/proc/kmsg"),
        call("read_file", path="/proc/1/mem"),
        call("read_file", path="a\nb"),
        call("read_file", path="a\0b"),
        call("write_file", path="/dev/full", content="x"),
        call("write_file", path="/workspace", content="x"),
        call("write_file", path="", content="x"),
    ],
    "says a lot": [
        call("bash", command="true " + "x" * 3_000_000),
        call("write_file", path="x", content="x" * 30_000_000),
    ],
    "says odd things": [call("bash", command="echo \0 a\0b"), "\x1e", "\\", "'", "$(", "echo '\x1e0 0 /\0'"],
    "prints a lot": ["head -c 300M /dev/zero", "yes | head -c 100M"],
    "redefines what the shell is driven by": [
        "builtin() { command echo mine; }; eval() { :; }; printf() { :; }; readonly PWD; readonly PS1",
        "alias builtin=false eval=false",
    ],
    "is gone to the background": ["(while :; do echo noise; sleep 0.01; done) &", "sleep 0.1"],
}


@pytest.mark.parametrize("actions", ATTACKS.values(), ids=[name.replace(" ", "-") for name in ATTACKS])
def test_no_action_ends_an_episode_as_a_failure_of_the_infrastructure(env: Env, actions: list[Any]) -> None:
    for action in actions:
        _, reward, terminated, truncated, info = env.step(action)
        assert (reward, terminated, truncated) == (0.0, False, False), info
    env.step(call("write_file", path="/workspace/answer.txt", content="0.5"))
    _, _, terminated, _, info = env.step(SUBMIT)
    assert terminated
    assert "mask" not in info
    assert env.result is not None
    assert env.result.status in ("completed", "invalid_submission")
    assert env.result.dir is not None
    assert Path(env.result.dir, "episode.json").exists()
    # Nothing is left of the workspace, and the next episode begins as ever.
    env.reset()
    assert env.step("cat answer.txt")[0].text == "0"


@pytest.mark.timeout(240)  # without a limit these would go on for ever
def test_no_action_outlives_its_limit(isolated_sandbox: str, installed_examples: object) -> None:
    with make("examples/number", sandbox=isolated_sandbox, action_timeout=1) as env:
        env.reset()
        for command in (
            "trap '' INT TERM HUP; while :; do :; done",
            "for n in $(seq 50); do (setsid bash -c 'trap \"\" INT; while :; do sleep 1; done' &) ; done; sleep 99",
            "f() { f | f & }; f; sleep 99",
            "cat /dev/zero | cat > /dev/null",
        ):
            observation = env.step(command)[0]
            assert observation.timed_out or observation.exit_code is not None
            assert env.step("echo here")[0].text.endswith("here\n")
