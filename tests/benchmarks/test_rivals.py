"""How fast mlgym's shell is beside what one would use instead. `make benchmark-rivals` prints the table.

Each side is measured in a process of its own by the same script, in turns. Nothing is held to a budget here.
"""

from __future__ import annotations

import statistics
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from measuring import CouldNotMeasure, Driven, compare, in_turns

from mlgym_core.sandbox.bwrap import BwrapSandbox

ROOT = Path(__file__).parents[2]
OURS = "bwrap"
PYTHON = ROOT / ".venv-rivals" / "bin" / "python"
# Not twice: one of them takes two minutes for the output, another half a minute for the commands.
MEASUREMENTS = [
    ("start to first answer", "start", 5, 2),
    ('run("true")', "true", 5, 20),
    ("200 commands, one after the other", "commands", 1, 1),
    ("100 MB of output", "output", 1, 1),
]

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not PYTHON.exists(), reason="they are not installed: `make benchmark-rivals` does that"),
    pytest.mark.skipif(BwrapSandbox.unavailable_reason() is not None, reason="bwrap does not work here"),
]


def rivals() -> list[str]:
    """Return the names of the others, with their versions, as pyproject.toml has them."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    return [str(requirement) for requirement in groups["benchmark-rivals"]]


@pytest.fixture(scope="module")
def contestants() -> Iterator[dict[str, Driven]]:
    """Ours first, then the others by name and version. All are there all the time, and idle until they are asked."""
    with ExitStack() as stack:
        driven = {OURS: stack.enter_context(Driven(Path(sys.executable), OURS))}
        for requirement in rivals():
            name, _, version = requirement.partition("==")
            driven[f"{name} {version}"] = stack.enter_context(Driven(PYTHON, name))
        for one in driven.values():
            one.seconds_of_each("start", 1)  # what is imported on first use does not count
        yield driven


@pytest.mark.parametrize(("what", "measurement", "rounds", "each"), MEASUREMENTS, ids=[row[1] for row in MEASUREMENTS])
def test_beside_others(contestants: dict[str, Driven], what: str, measurement: str, rounds: int, each: int) -> None:
    times: dict[str, list[float]] = {name: [] for name in contestants}
    failures = {}
    for _, name in in_turns(list(contestants), rounds, 1):
        try:
            times[name] += contestants[name].seconds_of_each(measurement, each)
        except CouldNotMeasure as error:
            failures[name] = str(error)
    assert OURS not in failures
    ours = statistics.median(times.pop(OURS))
    for name, seconds in times.items():
        compare(what, ours, statistics.median(seconds) if seconds else failures[name], name)
