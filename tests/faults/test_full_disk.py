"""A disk on which the record of an episode finds no place: nothing is lost in silence, and nothing is left behind."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlgym_core import make
from mlgym_core.journal import Journal
from mlgym_core.sandbox.scratch import scratch_root


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """Let the system take a part of what is written, and then nothing, as it does where a disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_line_that_was_cut_off_is_an_error_and_takes_no_other_with_it(tmp_path: Path) -> None:
    journal = Journal("x", tmp_path)
    journal.error(message="first")
    with no_file_larger_than(200), pytest.raises(OSError, match="too large"):
        journal.error(message="x" * 1000)
    journal.error(message="last")
    journal.close()
    first, cut, last = (tmp_path / "trajectory.jsonl").read_text().splitlines()
    assert json.loads(first)["message"] == "first"
    with pytest.raises(ValueError, match="Unterminated"):
        json.loads(cut)
    assert json.loads(last)["message"] == "last"


@pytest.mark.usefixtures("installed_examples")
def test_an_episode_that_cannot_be_recorded_leaves_no_sandbox(tmp_path: Path) -> None:
    before = set(scratch_root().iterdir())
    env = make("examples/number", sandbox="process", runs_dir=tmp_path)
    env.reset()
    assert set(scratch_root().iterdir()) != before
    [record] = tmp_path.rglob("trajectory.jsonl")
    with no_file_larger_than(record.stat().st_size):
        with pytest.raises(OSError, match="too large"):
            env.step("true")
        with pytest.raises(OSError, match="too large"):
            env.close()
    assert set(scratch_root().iterdir()) == before
