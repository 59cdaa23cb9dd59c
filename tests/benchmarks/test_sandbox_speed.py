"""How fast sandboxes, their shells, and snapshots of workspaces are. `make benchmark` prints the table.

The budgets are those of docs/speed.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from measuring import (
    TABLE,
    Driven,
    bare_bash,
    bare_bwrap,
    descendants,
    medians_of,
    record,
    resident_memory,
    seconds_of,
    seconds_of_awaiting,
)

from mlgym_core.host import Host
from mlgym_core.interfaces import Mount, Sandbox, SandboxLayout
from mlgym_core.making import make_env
from mlgym_core.sandbox.bwrap import BwrapSandbox
from mlgym_core.sandbox.scratch import remove_scratch, scratch_folder
from mlgym_core.sandbox.shell import Shell

pytestmark = pytest.mark.benchmark

needs_bwrap = pytest.mark.skipif(BwrapSandbox.unavailable_reason() is not None, reason="bwrap does not work here")


def working_sandbox(name: str) -> type[Sandbox]:
    """Return the class of a sandbox; skips where it does not work, with the reason."""
    sandbox_class = Host.installed().sandboxes.load(name)
    if (reason := sandbox_class.unavailable_reason()) is not None:
        pytest.skip(f"{name} does not work here: {reason}")
    return sandbox_class


@contextlib.asynccontextmanager
async def open_shell(sandbox_class: type[Sandbox], workspace: Path) -> AsyncIterator[Shell]:
    """A shell in a sandbox of its own."""
    mounts = (Mount(workspace, "/workspace", writable=True),)
    sandbox = sandbox_class(SandboxLayout(mounts=mounts, working_directory="/workspace"))
    shell = Shell(sandbox)
    try:
        await shell.start()
        yield shell
    finally:
        await shell.close()
        await sandbox.close()


@contextlib.asynccontextmanager
async def open_shells(number: int, workspace: Path) -> AsyncIterator[list[Shell]]:
    """Many shells, each in a bwrap sandbox of its own."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(open_shell(BwrapSandbox, workspace)) for _ in range(number)]


# ------------------------------------------------------------------------------------------ commands


@pytest.mark.parametrize("name", ["bwrap", "docker"])
async def test_command(name: str, tmp_path: Path) -> None:
    async with open_shell(working_sandbox(name), tmp_path) as shell:
        with bare_bash() as round_trip:
            measured, reference = await medians_of(
                [lambda: seconds_of_awaiting(shell.run("true")), lambda: seconds_of(round_trip)], rounds=20, each=50
            )
    record(f'shell.run("true"), {name}', measured, reference, "round trip to a piped bash", 10)


PARALLEL_SHELLS = 200
COMMANDS_EACH = 50
LEAST_COMMANDS_A_SECOND = 2000


@needs_bwrap
@pytest.mark.usefixtures("many_descriptors")
async def test_parallel_shells(tmp_path: Path) -> None:
    async with open_shells(PARALLEL_SHELLS, tmp_path) as shells:
        in_all, alone = await medians_of(
            [
                lambda: seconds_of_awaiting(asyncio.gather(*map(run_commands, shells))),
                lambda: seconds_of_awaiting(run_commands(shells[0])),
            ],
            rounds=5,
            each=1,
        )
    rate, rate_alone = PARALLEL_SHELLS * COMMANDS_EACH / in_all, COMMANDS_EACH / alone
    TABLE.append(
        (
            f"{PARALLEL_SHELLS} shells at once, {COMMANDS_EACH} commands each",
            f"{rate:,.0f} commands a second (≥ {LEAST_COMMANDS_A_SECOND:,})",
            f"one shell: {rate_alone:,.0f}",
            f"{rate / rate_alone:.2f}",
        )
    )
    assert rate >= LEAST_COMMANDS_A_SECOND


async def run_commands(shell: Shell) -> None:
    """Run some commands, one after the other."""
    for _ in range(COMMANDS_EACH):
        assert (await shell.run("true")).exit_code == 0


OUTPUT_BYTES = 100 << 20
OUTPUT_COMMAND = "head -c 100M /dev/zero | tr '\\0' x"
LEAST_SHARE_OF_THROUGHPUT = 0.5


@needs_bwrap
async def test_output(tmp_path: Path) -> None:
    async with open_shell(BwrapSandbox, tmp_path) as shell:
        measured, reference = await medians_of(
            [lambda: seconds_of_awaiting(run_with_much_output(shell)), lambda: seconds_of(read_much_output)],
            rounds=5,
            each=1,
        )
    share = reference / measured
    TABLE.append(
        (
            "100 MB of output, bwrap",
            f"{OUTPUT_BYTES / measured / 1e6:,.0f} MB/s",
            f"through `cat` and a pipe: {OUTPUT_BYTES / reference / 1e6:,.0f} MB/s",
            f"{share:.2f} (≥ {LEAST_SHARE_OF_THROUGHPUT:g})",
        )
    )
    assert share >= LEAST_SHARE_OF_THROUGHPUT


async def run_with_much_output(shell: Shell) -> None:
    """Run the command in a shell, which keeps the head and the tail of the output."""
    result = await shell.run(OUTPUT_COMMAND)
    assert result.omitted_bytes + result.output.count(b"x") == OUTPUT_BYTES


def read_much_output() -> None:
    """Run the same command without a shell of ours, and read what `cat` makes of its output."""
    with subprocess.Popen(["bash", "-c", f"{OUTPUT_COMMAND} | cat"], stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        size = 0
        while chunk := os.read(process.stdout.fileno(), 1 << 18):
            size += len(chunk)
    assert size == OUTPUT_BYTES


# -------------------------------------------------------------------------------------------- starts


@needs_bwrap
async def test_start_in_bwrap(tmp_path: Path) -> None:
    async def seconds_to_first_answer() -> float:
        started = time.perf_counter()
        async with open_shell(BwrapSandbox, tmp_path) as shell:
            await shell.run("true")
            return time.perf_counter() - started

    bare = bare_bwrap()
    measured, reference = await medians_of(
        [seconds_to_first_answer, lambda: seconds_of(lambda: subprocess.run(bare, check=True))], rounds=10, each=10
    )
    record("start to first answer, bwrap", measured, reference, "bwrap … true", 3)


@pytest.mark.parametrize(
    ("contestant", "pool", "rounds", "budget"),
    [("docker", 0, 10, 1.5), ("docker-warm", 4, 20, 0.2)],
    ids=["cold", "from the pool"],
)
async def test_start_in_docker(contestant: str, pool: int, rounds: int, budget: float, tmp_path: Path) -> None:
    """In a process of its own, whose pool is nobody else's."""
    sandbox_class = working_sandbox("docker")
    if shutil.which("docker") is None:
        pytest.skip("there is no program `docker` to compare with")
    if pool and importlib.util.find_spec("mlgym_sandbox_docker.pool") is None:
        pytest.skip("this version of mlgym-sandbox-docker has no pool")
    bare = ["docker", "run", "--rm", await image_of(sandbox_class, tmp_path), "true"]
    with Driven(Path(sys.executable), contestant, {"MLGYM_DOCKER_POOL": str(pool)}) as driven:
        driven.seconds_of_each("start", 1)  # fills the pool, and what is imported on first use does not count
        measured, reference = await medians_of(
            [
                lambda: driven.seconds_of_each("start", 1)[0],
                lambda: seconds_of(lambda: subprocess.run(bare, check=True)),
            ],
            rounds=rounds,
            each=1,
        )
    what = "from the pool" if pool else "cold"
    record(f"start to first answer, docker, {what}", measured, reference, "docker run --rm … true", budget)


async def image_of(sandbox_class: type[Sandbox], workspace: Path) -> str:
    """Return which image the sandbox `docker` is made of, which is built if need be."""
    from mlgym_sandbox_docker.engine import Engine, find_engine
    from mlgym_sandbox_docker.owners import OWNER_LABEL, own_identity

    engine = find_engine("docker")
    assert isinstance(engine, Engine)
    async with open_shell(sandbox_class, workspace):
        [container] = engine.client.api.containers(filters={"label": f"{OWNER_LABEL}={own_identity()}"})
    return str(container["ImageID"])


# ----------------------------------------------------------------------------------- many, and copies

IDLE_SHELLS = 1000


@needs_bwrap
@pytest.mark.usefixtures("many_descriptors")
async def test_idle_shells(tmp_path: Path) -> None:
    """1,000 shells held open, and the memory of this process and all of theirs (proportional set size)."""
    before = resident_memory({os.getpid()})
    async with open_shells(IDLE_SHELLS, tmp_path) as shells:
        used = resident_memory(descendants()) - before
        answers = [(await shell.run("echo here")).output for shell in shells]
    assert answers == [b"here\n"] * IDLE_SHELLS
    TABLE.append((f"{IDLE_SHELLS:,} idle shells, bwrap", f"{used / 2**30:.2f} GiB", "8 GB", f"{used / 8e9:.2f} (≤ 1)"))
    assert used <= 8e9


@dataclass(frozen=True)
class TimesOfCopies:
    """Medians in seconds, all of the same 100 MB in 1,000 files."""

    snapshot: float
    fork: float
    fork_that_answered: float
    bare_copy: float


FILES = 1000
ROUNDS_OF_COPIES = 7
WRITE_FILES = f"""python3 -c '
import os
for number in range({FILES}):
    with open(f"file-{{number:04}}", "wb") as file:
        file.write(os.urandom(100_000))
'"""
CHECK_FILES = "ls file-* | wc -l; cat file-* | wc -c"


@pytest.fixture(scope="module")
def times_of_copies(host: Host) -> TimesOfCopies:
    """Snapshots and forks of episodes whose agents wrote the files, in turns with `cp -a`."""
    if (reason := BwrapSandbox.unavailable_reason()) is not None:
        pytest.skip(f"bwrap does not work here: {reason}")
    # Where episodes have their files, too.
    tree = scratch_folder("benchmark")
    try:
        if not BwrapSandbox.layers_work(tree):
            pytest.skip("bwrap cannot put layers of folders over each other here, so files are copied")
        (tree / "files").mkdir()
        subprocess.run(WRITE_FILES, shell=True, cwd=tree / "files", check=True)
        return asyncio.run(measure_copies(host, tree))
    finally:
        remove_scratch(tree)


async def measure_copies(host: Host, tree: Path) -> TimesOfCopies:
    """Return the medians of some rounds."""
    rounds = [(*await one_snapshot_and_fork(host), one_bare_copy(tree)) for _ in range(ROUNDS_OF_COPIES)]
    return TimesOfCopies(*map(statistics.median, zip(*rounds, strict=True)))


async def one_snapshot_and_fork(host: Host) -> tuple[float, float, float]:
    """Return how long both take in a fresh episode: a second snapshot of the same files is another matter.

    A function of its own, since the files of a snapshot are deleted as soon as nothing refers to it any more.
    """
    async with await make_env("examples/number", host=host) as env:
        await env.reset()
        await env.step(WRITE_FILES)
        started = time.perf_counter()
        snapshot = await env.snapshot()
        snapshot_taken = time.perf_counter()
        twin = await env.fork(snapshot)
        forked = time.perf_counter()
        async with twin:
            await twin.step("true")
            answered = time.perf_counter()
            assert (await twin.step(CHECK_FILES))[0].text == f"{FILES}\n{FILES * 100_000}\n"
    return snapshot_taken - started, forked - snapshot_taken, answered - snapshot_taken


def one_bare_copy(tree: Path) -> float:
    """Return how long `cp -a` of the same files takes."""
    command = ["cp", "-a", "--", str(tree / "files"), str(tree / "copy")]
    try:
        return seconds_of(functools.partial(subprocess.run, command, check=True))
    finally:
        remove_scratch(tree / "copy")


def test_snapshot(times_of_copies: TimesOfCopies) -> None:
    record_copy("env.snapshot()", times_of_copies.snapshot, times_of_copies, 0.25)


def test_fork(times_of_copies: TimesOfCopies) -> None:
    record_copy("env.fork(snapshot)", times_of_copies.fork, times_of_copies, 0.1)


def test_fork_that_answered(times_of_copies: TimesOfCopies) -> None:
    record_copy("env.fork(snapshot), first answer", times_of_copies.fork_that_answered, times_of_copies, 0.3)


def record_copy(what: str, measured: float, times: TimesOfCopies, budget: float) -> None:
    """Add a row to the table and hold the ratio to its budget."""
    record(f"{what} with 100 MB in 1,000 files", measured, times.bare_copy, "cp -a", budget)
