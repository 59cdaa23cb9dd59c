"""Plays the games in one process, without the wire between grader and submission, which has tests of its own."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from mlgym_core import Grading, InvalidSubmission, SubmittedProgram, Task


def _as_on_the_wire(value: Any) -> Any:
    return [_as_on_the_wire(item) for item in value] if isinstance(value, tuple | list) else value


class _LocalProgram(SubmittedProgram):
    def __init__(self, functions: Mapping[str, Any]) -> None:
        self._functions = functions

    def call(self, function: str, *arguments: Any) -> Any:
        if function not in self._functions:
            raise InvalidSubmission(f"the file defines no function {function!r}")
        copies = [list(argument) for argument in arguments]
        return _as_on_the_wire(self._functions[function](*copies))


class _LocalGrading(Grading):
    variant = "full"
    split = "test"
    protocol = "strict"

    def __init__(self, submission: Path, functions: Mapping[str, Any] | None, seed: int) -> None:
        self.submission = self.private = submission
        self.seed = seed
        self._functions = functions

    def program(
        self, path: str, *, call_seconds: float = 1.0, total_seconds: float = 300.0, answer_bytes: int = 1 << 20
    ) -> SubmittedProgram:
        functions = runpy.run_path(str(self.submission / path)) if self._functions is None else self._functions
        return _LocalProgram(functions)


Play = Callable[..., float]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Return `play(task, strategy, seed)`: the payoff of a function, or of the file `strategy.py` in a folder."""

    def grade(task: Task, strategy: Callable[[Any], Any] | Path, seed: int = 0) -> float:
        if isinstance(strategy, Path):
            grading = _LocalGrading(strategy, None, seed)
        else:
            grading = _LocalGrading(tmp_path, {"row_strategy": strategy}, seed)
        return task.grade(grading)["payoff"]

    return grade
