"""Limits are held, named to the agent in a sentence, and the episode goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlgym_core import Env, make
from mlgym_core.sandbox.control_groups import usable_controllers

HOARD = "python3 -c 'hoard = [bytearray(1 << 20) for _ in range(2000)]; print(\"got it\")'"
CROWD = "for n in $(seq 100); do sleep 3 & done 2>&1 | tail -n 3"


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


def test_files_in_memory_are_limited(env: Env, isolated_sandbox: str, request: pytest.FixtureRequest) -> None:
    if isolated_sandbox == "docker":
        reason = "The files outlive the shell that was ended, and leave no memory for another in the same container."
        request.applymarker(pytest.mark.xfail(strict=True, reason=reason))
    observation = env.step("head -c 1G /dev/zero > /dev/shm/hoard")[0]
    assert "No space left on device" in observation.text or "[The memory limit" in observation.text
    assert env.step("rm -f /dev/shm/hoard; echo here")[0].text.endswith("here\n")


@pytest.mark.skipif("pids" not in usable_controllers(), reason="processes are not limited for root here")
def test_processes_are_limited(env: Env) -> None:
    observation = env.step(f"({CROWD}; false)")[0]
    assert "Resource temporarily unavailable" in observation.text or "[The limit of 40 processes" in observation.text
    env.step("kill $(jobs -p) 2>/dev/null; sleep 4; true")
    assert env.step("echo here | cat")[0].text.endswith("here\n")
