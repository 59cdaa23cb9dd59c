"""How fast episodes, gradings and the command line are. `make benchmark` prints the table.

The budgets are those of docs/speed.md.
"""

from __future__ import annotations

import asyncio
import json
import marshal
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from measuring import TABLE, bare_bash, bare_bwrap, descendants, medians, readable, record, resident_memory

import mlgym_core
from mlgym_core import make
from mlgym_core.grading.grader import GradingOrder, grade_submission
from mlgym_core.host import Host
from mlgym_core.making import make_env
from mlgym_core.preparation import prepare_task
from mlgym_core.sandbox.bwrap import BwrapSandbox

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.skipif(BwrapSandbox.unavailable_reason() is not None, reason="bwrap does not work here"),
]


def test_step(installed_examples: Host) -> None:
    with make("examples/number", max_steps=10**6) as env, bare_bash() as round_trip:
        env.reset()
        measured, reference = medians(lambda: env.step("true"), round_trip, rounds=20, each=200)
    record('env.step("true")', measured, reference, "round trip to a piped bash", 10)


def test_recorded_step(installed_examples: Host, tmp_path: Path) -> None:
    with make("examples/number", max_steps=10**6, runs_dir=tmp_path) as env, bare_bash() as round_trip:
        env.reset()
        measured, reference = medians(lambda: env.step("true"), round_trip, rounds=20, each=200)
    record('env.step("true"), recorded', measured, reference, "round trip to a piped bash", 10)


def test_reset(installed_examples: Host) -> None:
    with make("examples/number") as env:
        measured, reference = medians(env.reset, lambda: subprocess.run(bare_bwrap(), check=True), rounds=10, each=10)
    record("env.reset(), small task", measured, reference, "bwrap … true", 10)


@pytest.mark.parametrize(("arguments", "budget"), [(["--help"], 3), (["tasks"], 5)])
def test_command_line(arguments: list[str], budget: float) -> None:
    program = str(Path(sys.executable).with_name("mlgym"))

    def run(*command: str) -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    measured, reference = medians(
        lambda: run(program, *arguments), lambda: run(sys.executable, "-c", "import click"), rounds=10, each=3
    )
    record(f"mlgym {' '.join(arguments)}", measured, reference, 'python -c "import click"', budget)


CALLS = 100_000


def test_calls_of_a_submitted_function(installed_examples: Host, tmp_path: Path) -> None:
    """100,000 calls through the grader, against as many exchanges with a forked child that does nothing else."""
    prepared = prepare_task(installed_examples, "examples/calls")
    (tmp_path / "program.py").write_text("def f(history):\n    return 1\n")
    started = time.perf_counter()
    score = asyncio.run(grade_submission(prepared, tmp_path, BwrapSandbox, GradingOrder("test")))
    measured = time.perf_counter() - started
    assert score.value == CALLS
    reference = _bare_exchanges()
    TABLE.append(
        (
            f"{CALLS:,} calls of a submitted function",
            f"{readable(measured)} (budget 10 s)",
            f"bare socket exchanges: {readable(reference)}",
            f"{measured / reference:.2f} (≤ 4)",
        )
    )
    assert measured / reference <= 4


def _bare_exchanges() -> float:
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        while request := theirs.recv(1 << 16):
            theirs.send(json.dumps(len(marshal.loads(request))).encode())
        os._exit(0)
    theirs.close()
    history = [(0, 1)] * 5
    started = time.perf_counter()
    for _ in range(CALLS):
        ours.send(marshal.dumps(history))
        json.loads(ours.recv(1 << 16))
    taken = time.perf_counter() - started
    ours.close()
    os.waitpid(child, 0)
    return taken


EPISODES = 1000


@pytest.mark.usefixtures("many_descriptors")
def test_idle_episodes(installed_examples: Host) -> None:
    """1,000 episodes held open, and the memory of this process and all of theirs (proportional set size)."""
    answers, used = asyncio.run(_hold_open(installed_examples, EPISODES))
    assert answers == EPISODES
    TABLE.append((f"{EPISODES:,} idle episodes", f"{used / 2**30:.2f} GiB", "8 GB", f"{used / 8e9:.2f} (≤ 1)"))
    assert used <= 8e9


async def _hold_open(host: Host, number: int) -> tuple[int, int]:
    envs = [await make_env("examples/number", host=host) for _ in range(number)]
    try:
        before = resident_memory({os.getpid()})
        for env in envs:
            await env.reset()
        used = resident_memory(descendants()) - before
        answers = [await env.step("echo here") for env in envs]
        return sum(observation.text == "here\n" for observation, *_ in answers), used
    finally:
        for env in envs:
            await env.close()


def test_the_version_measured() -> None:
    """So that a copied table says what it is about."""
    TABLE.append(("mlgym-core", mlgym_core.__version__, f"Python {sys.version.split()[0]}", f"{os.cpu_count()} cores"))
