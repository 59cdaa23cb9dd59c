"""Plays the games in one process, without the wire between grader and submission, which has tests of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlgym_core import Task
from mlgym_core.testing import LocalGrading

Play = Callable[..., float]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Return `play(task, strategy, seed)`: the payoff of a function, or of the file `strategy.py` in a folder."""

    def grade(task: Task, strategy: Callable[[Any], Any] | Path, seed: int = 0) -> float:
        if isinstance(strategy, Path):
            grading = LocalGrading(strategy, seed=seed)
        else:
            grading = LocalGrading(tmp_path, functions={"row_strategy": strategy}, seed=seed)
        return task.grade(grading)["payoff"]

    return grade
