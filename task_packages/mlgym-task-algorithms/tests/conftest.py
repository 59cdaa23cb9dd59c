"""What the tests of this package share: the task's files, and gradings in one process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from mlgym_core import Preparation
from mlgym_core.testing import LocalGrading
from mlgym_task_algorithms.instances import write_instances
from mlgym_task_algorithms.solver import Instance
from mlgym_task_algorithms.three_sat import FUNCTION, ThreeSat

Prepare = Callable[[Path], Path]


@pytest.fixture(scope="session")
def prepare() -> Prepare:
    """Return `prepare(folder)`, which writes the task's files to `public` and `private` in a folder."""

    def prepare(folder: Path) -> Path:
        public, private = folder / "public", folder / "private"
        public.mkdir(parents=True)
        private.mkdir()
        ThreeSat().prepare(Preparation(public, private))
        return folder

    return prepare


@pytest.fixture(scope="session")
def prepared(prepare: Prepare, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the task's files, in `public` and `private`. Leave them as they are."""
    return prepare(tmp_path_factory.mktemp("prepared"))


@pytest.fixture
def grade(tmp_path: Path) -> Callable[..., tuple[Mapping[str, float], list[str]]]:
    """Return `grade(heuristic, instances)`: metrics and flags of a function, without the wire to it."""

    def grade(heuristic: Callable[..., Any], instances: list[Instance]) -> tuple[Mapping[str, float], list[str]]:
        folder = tmp_path / "test"
        folder.mkdir(exist_ok=True)
        write_instances(instances, folder)
        grading = LocalGrading(tmp_path, functions={FUNCTION: heuristic}, private=tmp_path)
        return ThreeSat().grade(grading), grading.flags

    return grade
