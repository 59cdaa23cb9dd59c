"""The real data, prepared once for all tests of a process."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tabular_support import (
    VARIANTS,
    Grade,
    LocalGrading,
    Prepare,
    Prepared,
)

from mlgym_task_tabular.prediction_task import PredictionTask


@pytest.fixture(scope="session")
def prepare(tmp_path_factory: pytest.TempPathFactory) -> Prepare:
    """Return a function that prepares a variant of a task anew."""

    def prepare_variant(task: type[PredictionTask], variant: str) -> Prepared:
        return Prepared(task(variant), tmp_path_factory.mktemp(variant))

    return prepare_variant


@pytest.fixture(scope="session", params=VARIANTS, ids=lambda pair: f"{pair[0].__name__}-{pair[1]}")
def prepared(request: pytest.FixtureRequest, prepare: Prepare) -> Prepared:
    """Each variant of each task."""
    return prepare(*request.param)


@pytest.fixture
def grade(tmp_path: Path) -> Grade:
    """Return `grade(prepared, content, split)`: metrics and flags of a submission given as text or bytes."""
    numbers = itertools.count()

    def grade_content(
        prepared: Prepared, content: str | bytes, split: str = "test"
    ) -> tuple[dict[str, float], list[str]]:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        data = content.encode() if isinstance(content, str) else content
        (folder / "submission.csv").write_bytes(data)
        grading = LocalGrading(prepared, folder, split)
        return dict(prepared.task.grade(grading)), grading.flags

    return grade_content
