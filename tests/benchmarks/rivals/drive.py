"""Drives one way of running commands, and prints what takes how long: `python drive.py CONTESTANT`.

The others are not installed where mlgym is, so that what they need never meets what mlgym needs. So this runs in an
environment that has the contestant in it, and mlgym is driven by it in the same way. For each line of input, such as
`true 20` (a measurement, and how often to repeat it), it prints a line of JSON: the seconds of each repetition, or a
text that says how it failed.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Awaitable, Callable

PATIENCE = 120
"""Seconds in which a command has to be done."""
COMMANDS = 200
OUTPUT_COMMAND = "head -c 100M /dev/zero | tr '\\0' x"


class Contestant(abc.ABC):
    """A place to run an agent's commands in."""

    @abc.abstractmethod
    async def start(self) -> None:
        """Make it ready for the first command."""

    @abc.abstractmethod
    async def run(self, command: str) -> str:
        """Run a line of shell and return its output, or the part of it that is kept."""

    @abc.abstractmethod
    async def stop(self) -> None:
        """End it and clean up."""

    async def until_ready_to_start(self) -> None:
        """Wait for what goes on in the background to make a start quick."""


class Mlgym(Contestant):
    """The persistent shell in one of mlgym's sandboxes."""

    def __init__(self, sandbox: str) -> None:
        from mlgym_core.host import Host

        self._class = Host.installed().sandboxes.load(sandbox)

    async def start(self) -> None:
        from mlgym_core.interfaces import Mount, SandboxLayout
        from mlgym_core.sandbox.scratch import scratch_folder
        from mlgym_core.sandbox.shell import Shell

        self._folder = scratch_folder("benchmark")
        mounts = (Mount(self._folder, "/workspace", writable=True),)
        self._sandbox = self._class(SandboxLayout(mounts=mounts, working_directory="/workspace"))
        self._shell = Shell(self._sandbox)
        await self._shell.start()

    async def run(self, command: str) -> str:
        result = await self._shell.run(command, PATIENCE)
        if result.timed_out:
            raise TimeoutError
        return result.output.decode()

    async def stop(self) -> None:
        from mlgym_core.sandbox.scratch import remove_scratch

        await self._shell.close()
        await self._sandbox.close()
        remove_scratch(self._folder)


class WarmDocker(Mlgym):
    """Docker containers from the pool of those that have been started ahead."""

    def __init__(self) -> None:
        super().__init__("docker")

    async def until_ready_to_start(self) -> None:
        pool = importlib.import_module("mlgym_sandbox_docker.pool").own_pool()
        if not await asyncio.to_thread(pool.wait_until_filled, PATIENCE):
            raise TimeoutError


class SweRex(Contestant):
    """SWE-ReX: a bash session of a local deployment."""

    async def start(self) -> None:
        from swerex.deployment.local import LocalDeployment
        from swerex.runtime.abstract import CreateBashSessionRequest

        self._deployment = LocalDeployment()
        await self._deployment.start()
        await self._deployment.runtime.create_session(CreateBashSessionRequest())

    async def run(self, command: str) -> str:
        from swerex.runtime.abstract import BashAction

        answer = await self._deployment.runtime.run_in_session(BashAction(command=command, timeout=PATIENCE))
        return str(answer.output)

    async def stop(self) -> None:
        await self._deployment.stop()


class InspectAi(Contestant):
    """Inspect AI: the sandbox `local`. Each command gets a bash of its own, as from Inspect's tool `bash`."""

    async def start(self) -> None:
        from inspect_ai.util._sandbox.local import LocalSandboxEnvironment

        self._class = LocalSandboxEnvironment
        self._environments = await LocalSandboxEnvironment.sample_init("benchmark", None, {})

    async def run(self, command: str) -> str:
        answer = await self._environments["default"].exec(["bash", "-c", command], timeout=PATIENCE)
        return str(answer.stdout)

    async def stop(self) -> None:
        await self._class.sample_cleanup("benchmark", None, self._environments, interrupted=False)


CONTESTANTS: dict[str, Callable[[], Contestant]] = {
    "bwrap": lambda: Mlgym("bwrap"),
    "docker": lambda: Mlgym("docker"),
    "docker-warm": WarmDocker,
    "swe-rex": SweRex,
    "inspect-ai": InspectAi,
}


async def seconds_to_first_answer(contestant: Contestant) -> float:
    """Return how long it takes from nothing to the answer to the first command."""
    await contestant.until_ready_to_start()
    started = time.perf_counter()
    await contestant.start()
    try:
        await contestant.run("true")
        return time.perf_counter() - started
    finally:
        await contestant.stop()


async def seconds_of_true(contestant: Contestant) -> float:
    """Return how long the shortest command takes."""
    started = time.perf_counter()
    await contestant.run("true")
    return time.perf_counter() - started


async def seconds_of_commands(contestant: Contestant) -> float:
    """Return how long many commands take, one after the other."""
    started = time.perf_counter()
    answers = [await contestant.run(f"echo {number}") for number in range(COMMANDS)]
    taken = time.perf_counter() - started
    # Whether the end of a line counts as output is a matter of taste.
    assert [answer.strip() for answer in answers] == [str(number) for number in range(COMMANDS)]
    return taken


async def seconds_of_output(contestant: Contestant) -> float:
    """Return how long a command with 100 MiB of output takes. Keeping only a part of that is as good as all."""
    started = time.perf_counter()
    output = await contestant.run(OUTPUT_COMMAND)
    taken = time.perf_counter() - started
    assert output.strip().endswith("x" * 1000)
    return taken


MEASUREMENTS: dict[str, Callable[[Contestant], Awaitable[float]]] = {
    "true": seconds_of_true,
    "commands": seconds_of_commands,
    "output": seconds_of_output,
}


async def measure(contestant: Contestant, measurement: str, repetitions: int) -> list[float]:
    """Carry out one line of input."""
    if measurement == "start":
        return [await seconds_to_first_answer(contestant) for _ in range(repetitions)]
    await contestant.start()
    try:
        await contestant.run("true")
        return [await MEASUREMENTS[measurement](contestant) for _ in range(repetitions)]
    finally:
        await contestant.stop()


async def main(name: str) -> None:
    """Read lines and answer them."""
    # What a contestant prints goes to standard error: standard output is for the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        measurement, repetitions = line.split()
        answer: list[float] | str
        try:
            answer = await measure(CONTESTANTS[name](), measurement, int(repetitions))
        except Exception as error:  # noqa: BLE001 - on a busy machine, some give up in ways of their own
            traceback.print_exc()
            answer = type(error).__name__
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
