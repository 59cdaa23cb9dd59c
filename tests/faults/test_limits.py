"""Limits are held, named to the agent in a sentence, and the episode goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlgym_core import Env, Host, make
from mlgym_core.interfaces import Mount, SandboxLayout
from mlgym_core.sandbox.control_groups import usable_controllers
from mlgym_core.sandbox.pipes import run_process

HOARD = "python3 -c 'hoard = [bytearray(1 << 20) for _ in range(2000)]; print(\"got it\")'"
CROWD = 'python3 -c \'import subprocess; [subprocess.Popen(["sleep", "2"]) for _ in range(100)]\' 2>&1 | tail -n 3'


@pytest.fixture
def env(isolated_sandbox: str, installed_examples: object) -> Iterator[Env]:
    """An episode with little memory and few processes."""
    with make("examples/small", sandbox=isolated_sandbox, action_timeout=60) as env:
        env.reset()
        yield env


def test_memory_is_limited(env: Env) -> None:
    observation = env.step(HOARD)[0]
    assert "got it" not in observation.text
    assert observation.exit_code != 0
    if "memory" in usable_controllers():
        assert "[The memory limit of 0.25 GiB for all processes together was reached; a process was ended.]" in (
            observation.text
        )
    # Reached once is not reached for ever.
    assert env.step("false")[0].text == ""
    assert env.step("echo here")[0].text == "here\n"


@pytest.mark.skipif("memory" not in usable_controllers(), reason="memory is not limited for all processes here")
@pytest.mark.parametrize("command", [f"{HOARD}; echo done", f"{HOARD} | tail -n 1", f"{HOARD} || true"])
def test_a_limit_is_named_with_the_command_that_reached_it(env: Env, command: str) -> None:
    assert "[The memory limit" in env.step(command)[0].text
    assert env.step("false")[0].text == ""


def test_files_in_memory_are_limited(env: Env) -> None:
    observation = env.step("for n in $(seq 30); do head -c 50M /dev/zero > /dev/shm/hoard-$n; done")[0]
    assert "No space left on device" in observation.text or "[The memory limit" in observation.text
    assert env.step("rm -f /dev/shm/hoard*; echo here")[0].text.endswith("here\n")


@pytest.mark.skipif("pids" not in usable_controllers(), reason="processes are not limited for root here")
def test_processes_are_limited(env: Env) -> None:
    observation = env.step(f"({CROWD}; false)")[0]
    assert "Resource temporarily unavailable" in observation.text or "[The limit of 40 processes" in observation.text
    env.step("kill $(jobs -p) 2>/dev/null; sleep 3; true")
    assert env.step("echo here | cat")[0].text.endswith("here\n")


BOMBS = {
    "of shells": "bomb() { bomb | bomb & }; timeout 2 bash -c 'bomb() { bomb | bomb & }; bomb; sleep 99'",
    "in the shell itself": "bomb() { bomb | bomb & }; bomb; sleep 1",
    "of processes that start their like": "python3 -c 'import os\nwhile True: os.fork()' 2> /dev/null & sleep 1",
}


@pytest.mark.skipif("pids" not in usable_controllers(), reason="processes are not limited for root here")
@pytest.mark.parametrize("bomb", BOMBS.values(), ids=[name.replace(" ", "-") for name in BOMBS])
def test_a_fork_bomb_is_contained(isolated_sandbox: str, installed_examples: object, bomb: str) -> None:
    with make("examples/small", sandbox=isolated_sandbox, action_timeout=2) as env:
        env.reset()
        env.step(bomb)
        # Whatever the bomb says meanwhile. A command that is ended at its limit takes the bomb with it.
        assert "here\n" in env.step("builtin echo here")[0].text
        env.step("sleep 99")
        # It cannot keep the episode from its score.
        env.step({"tool": "submit"})
        assert env.result is not None
        assert env.result.status == "completed", env.result.error


def test_a_hoard_of_files_leaves_the_tools_working(env: Env) -> None:
    env.step("head -c 200M /dev/zero > /dev/shm/hoard; true")
    said = env.step({"tool": "write_file", "arguments": {"path": "answer.txt", "content": "0.5"}})[0].text
    assert not env.is_over, said
    env.step({"tool": "submit"})
    assert env.result is not None
    assert env.result.final == 0.75


async def test_temporary_files_are_limited(isolated_sandbox: str, host: Host, tmp_path: Path) -> None:
    # Of whatever has no folder of the host for them, such as a submission process.
    box = host.sandboxes.load(isolated_sandbox)(
        SandboxLayout(mounts=(Mount(tmp_path, "/workspace"),), working_directory="/tmp", temporary_bytes=16 << 20)
    )
    try:
        for folder in ("/tmp", "/dev/shm"):
            script = f"head -c 32M /dev/zero > {folder}/hoard; stat -c %s {folder}/hoard; rm {folder}/hoard; echo here"
            done = await run_process(box, ["/bin/sh", "-c", script], output_limit=1000, seconds=60)
            size, last = done.output.split()
            assert "No space left on device" in done.error
            assert int(size) <= 16 << 20
            assert last == b"here"
    finally:
        await box.close()
