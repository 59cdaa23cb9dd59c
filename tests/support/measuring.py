"""What the benchmarks share: timing in turns, the table, and the memory of processes.

A claim about speed is a ratio to a reference that is measured in the same run. Both sides take turns, so that what else
happens on the machine happens to both, and their medians are compared.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar

from mlgym_core.sandbox.bwrap import bwrap_program

Action = Callable[[], object]
Stopwatch = Callable[[], float] | Callable[[], Awaitable[float]]
"""Does something and returns how many seconds of that count."""

TABLE: list[tuple[str, str, str, str]] = []
"""The rows so far: what, measured, reference, ratio and budget."""

DRIVER = Path(__file__).parents[1] / "benchmarks" / "rivals" / "drive.py"

_Contestant = TypeVar("_Contestant")


def in_turns(contestants: Sequence[_Contestant], rounds: int, each: int) -> Iterator[tuple[int, _Contestant]]:
    """Yield the contestants, `each` times the same before it is the next one's turn, with their positions."""
    for _ in range(rounds):
        for position, contestant in enumerate(contestants):
            for _ in range(each):
                yield position, contestant


def medians(measured: Action, reference: Action, rounds: int, each: int) -> tuple[float, float]:
    """Return the median times in seconds of two actions, measured in turns of `each` calls."""
    times: tuple[list[float], list[float]] = ([], [])
    for position, action in in_turns((measured, reference), rounds, each):
        times[position].append(seconds_of(action))
    return statistics.median(times[0]), statistics.median(times[1])


async def medians_of(stopwatches: Sequence[Stopwatch], rounds: int, each: int) -> list[float]:
    """Return the median of what each stopwatch returns, read in turns of `each` calls.

    For what needs the event loop, or has something to prepare and to clean up that does not count.
    """
    times: list[list[float]] = [[] for _ in stopwatches]
    for position, stopwatch in in_turns(stopwatches, rounds, each):
        seconds = stopwatch()
        times[position].append(seconds if isinstance(seconds, float) else await seconds)
    return [statistics.median(taken) for taken in times]


def seconds_of(action: Action) -> float:
    """Return how many seconds an action takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


async def seconds_of_awaiting(awaitable: Awaitable[object]) -> float:
    """Return how many seconds it takes until an awaitable is done."""
    started = time.perf_counter()
    await awaitable
    return time.perf_counter() - started


def bare_bwrap() -> list[str]:
    """Return the command that does nothing in new namespaces."""
    program = bwrap_program()
    assert program is not None
    return [program, "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"]


def record(what: str, measured: float, reference: float, reference_name: str, budget: float) -> None:
    """Add a row to the table and hold the ratio to its budget."""
    ratio = measured / reference
    TABLE.append((what, readable(measured), f"{reference_name}: {readable(reference)}", f"{ratio:.2f} (≤ {budget:g})"))
    assert ratio <= budget


def readable(seconds: float) -> str:
    """Return a duration as text."""
    if seconds >= 1:
        return f"{seconds:.2f} s"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.2f} ms"
    return f"{seconds * 1e6:.0f} µs"


def compare(what: str, measured: float, other: float | str, other_name: str) -> None:
    """Add a row that holds nothing to a budget; `other` is a text if it failed."""
    result, ratio = (other, "-") if isinstance(other, str) else (readable(other), f"{measured / other:.2g}")
    TABLE.append((what, readable(measured), f"{other_name}: {result}", ratio))


def print_table() -> None:
    """Print the rows that were collected."""
    rows = [("what", "measured", "reference", "ratio (budget)"), *TABLE]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print()
    for row in rows:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")


@contextlib.contextmanager
def bare_bash() -> Iterator[Callable[[], None]]:
    """A bash on two pipes, and a function that makes one round trip to it."""
    bash = subprocess.Popen(["bash", "--norc", "--noprofile"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    assert bash.stdin is not None
    assert bash.stdout is not None
    stdin, stdout = bash.stdin.fileno(), bash.stdout.fileno()

    def round_trip() -> None:
        os.write(stdin, b"true; echo x\n")
        os.read(stdout, 100)

    try:
        yield round_trip
    finally:
        bash.kill()
        bash.wait()
        bash.stdin.close()
        bash.stdout.close()


class CouldNotMeasure(Exception):  # noqa: N818 - it may be what was to be found out
    """What was measured failed; the message says how. To see more, give its script the same line by hand."""


class Driven:
    """A process that measures in an environment of its own: tests/benchmarks/rivals/drive.py.

    Args:
        python: The interpreter of that environment.
        contestant: What it measures.
        variables: More environment variables for it.
    """

    def __init__(self, python: Path, contestant: str, variables: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [str(python), str(DRIVER), contestant],
            env={**os.environ, **(variables or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # The contestants' own messages are of no interest, as long as they work.
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def seconds_of_each(self, measurement: str, repetitions: int) -> list[float]:
        """Return how long each repetition of a measurement took.

        Raises:
            CouldNotMeasure: if it failed.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{measurement} {repetitions}\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or '"it ended"')
        if isinstance(answer, str):
            raise CouldNotMeasure(answer)
        return [float(seconds) for seconds in answer]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.communicate()


def descendants() -> set[int]:
    """Return the process ids of this process and of all that descend from it."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry)] = int(Path("/proc", entry, "stat").read_bytes().rpartition(b")")[2].split()[1])
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def resident_memory(processes: set[int]) -> int:
    """Return the proportional set size of processes, in bytes."""
    total = 0
    for pid in processes:
        with contextlib.suppress(OSError):
            for line in Path("/proc", str(pid), "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total
