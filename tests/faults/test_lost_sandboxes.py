"""Sandboxes and runners that are killed from outside.

The agent is told that its shell is gone and goes on with its files in a new one; and whatever a killed runner leaves
is gone once mlgym has started again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from inside import output
from leftovers import (
    bwrap_processes,
    command_lines,
    containers,
    control_groups,
    docker,
    mounts,
    scratch_folders,
    unused_volumes,
)
from runners import Runner

from mlgym_core import Env, make


def kill_sandboxes(sandbox: str, owner: int) -> int:
    """Kill the sandboxes of a process as somebody else on this machine would, and return how many there were."""
    if sandbox == "bwrap":
        processes = bwrap_processes(owner)
        for process_id in processes:
            os.kill(process_id, signal.SIGKILL)
        return len(processes)
    found = containers(owner)
    engine = docker()
    assert engine is not None
    for container in found:
        engine.client.api.kill(container)
    return len(found)


@pytest.mark.parametrize("command", ["sleep 1000", "while :; do :; done", "yes > /dev/null"])
def test_a_sandbox_that_is_killed_during_a_command(env: Env, isolated_sandbox: str, command: str) -> None:
    env.step("echo 0.5 > answer.txt; x=5")
    timer = threading.Timer(0.5, kill_sandboxes, (isolated_sandbox, os.getpid()))
    timer.start()
    observation = env.step(command)[0]
    timer.join()
    assert "[The shell ended. A new one was started in the workspace" in observation.text
    assert not observation.timed_out
    assert output(env, "cat answer.txt; echo [$x]") == "0.5\n[]\n"
    env.step({"tool": "submit"})
    assert env.result is not None
    assert env.result.final == 0.75
    env.reset()
    assert output(env, "cat answer.txt") == "0"


def test_a_sandbox_that_is_killed_between_commands(env: Env, isolated_sandbox: str) -> None:
    env.step("echo 0.5 > answer.txt")
    assert kill_sandboxes(isolated_sandbox, os.getpid()) > 0
    observation = env.step("cat answer.txt")[0]
    assert "[The shell ended." in observation.text
    assert output(env, "cat answer.txt") == "0.5\n"


@pytest.mark.parametrize("tool", ["validate", "submit"])
def test_a_sandbox_that_is_killed_before_a_grading(env: Env, isolated_sandbox: str, tool: str) -> None:
    env.step("echo 0.5 > answer.txt")
    assert kill_sandboxes(isolated_sandbox, os.getpid()) > 0
    env.step({"tool": tool})
    if tool == "validate":
        env.step("true")
        env.step({"tool": "submit"})
    assert env.result is not None
    assert env.result.final == 0.75


# ------------------------------------------------------------------------------------------------ a runner that is gone

PATIENCE = 30.0
BUSY = "sleep 1000 & (setsid sleep 1000 &); echo x > /dev/shm/x; while :; do :; done"


def runs_on(runner: Runner) -> list[int]:
    """Return the processes that a runner's sandboxes show the folders of its cache to."""
    cache = runner.environment["MLGYM_CACHE_DIR"].encode()
    found = [pid for pid, line in command_lines() if cache in line]
    for entry in os.listdir("/proc"):
        # Those inside say nothing on their command lines; what is mounted for them does.
        with contextlib.suppress(OSError):
            if entry.isdigit() and cache in Path("/proc", entry, "mountinfo").read_bytes():
                found.append(int(entry))
    return sorted(set(found) - {runner.pid})


@pytest.mark.parametrize("moment", ["between commands", "during a command"])
def test_nothing_is_left_of_a_runner_that_is_killed(isolated_sandbox: str, moment: str, tmp_path: Path) -> None:
    volumes = unused_volumes()
    with Runner(isolated_sandbox, tmp_path) as runner:
        runner.step("echo 0.5 > answer.txt; sleep 1000 & (setsid sleep 1000 &)")
        runner.step({"tool": "validate"})
        if moment == "during a command":
            runner.tell(BUSY)
            time.sleep(0.3)
        assert runs_on(runner) != []
        os.kill(runner.pid, signal.SIGKILL)
        runner.process.wait()
        limit = time.monotonic() + PATIENCE
        while (runs_on(runner) or containers(runner.pid)) and time.monotonic() < limit:
            time.sleep(0.05)
        # Processes and containers go by themselves; the rest goes when mlgym starts again.
        assert runs_on(runner) == []
        assert containers(runner.pid) == []
        cache = Path(runner.environment["MLGYM_CACHE_DIR"])
        assert scratch_folders(runner.pid, cache) != []
        command = [sys.executable, "-c", "from mlgym_core.cli import main; main()", "clean"]
        subprocess.run(command, env=runner.environment, check=True, capture_output=True)
        assert list((cache / "scratch").iterdir()) == []
        assert control_groups(runner.pid) == []
        assert mounts(runner.pid) == []
        assert unused_volumes() <= volumes


def test_the_groups_of_a_killed_sandbox_go_with_the_next(isolated_sandbox: str, installed_examples: object) -> None:
    # Processes with much memory take a while to end. The first one, which is waited for, is gone before.
    with make("examples/number", sandbox=isolated_sandbox) as env:
        env.reset()
        output(env, "(python3 -c 'import time; x = b\"x\" * (1 << 30); time.sleep(1000)' > /dev/null 2>&1 &); sleep 1")
        assert kill_sandboxes(isolated_sandbox, os.getpid()) > 0
    limit = time.monotonic() + PATIENCE
    while control_groups(os.getpid()) and time.monotonic() < limit:
        with make("examples/number", sandbox=isolated_sandbox) as env:
            env.reset()
    assert control_groups(os.getpid()) == []
