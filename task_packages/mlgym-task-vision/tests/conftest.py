"""The data, as mlgym obtains them, and the tasks' prepared files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlgym_core import DataError, Grading, Preparation, SubmittedProgram, Task, default_host
from mlgym_core.data.obtaining import named_dataset, obtain
from mlgym_core.preparation import PreparedTask, prepare_task
from mlgym_task_vision.cifar10 import Cifar10
from mlgym_task_vision.classification import ImageClassification
from mlgym_task_vision.coco_captioning import CocoCaptioning
from mlgym_task_vision.digits import Digits
from mlgym_task_vision.fashion_mnist import FashionMnist

# The web server of the core's tests.
sys.path.insert(0, str(Path(__file__).parents[3] / "tests" / "support"))

from file_server import FileServer

TASKS: dict[str, type[ImageClassification]] = {kind.task_id: kind for kind in (Digits, FashionMnist, Cifar10)}
ALL_TASKS: dict[str, type[Task]] = {**TASKS, CocoCaptioning.task_id: CocoCaptioning}


ContentOf = Callable[[str, str], Path]


@pytest.fixture(scope="session")
def content_of() -> ContentOf:
    """Return `content_of(task_id, name)`: the folder with a dataset's content; it skips where that cannot be had."""

    def content(task_id: str, name: str) -> Path:
        try:
            return obtain(task_id, named_dataset(task_id, ALL_TASKS[task_id].datasets, name)).path
        except DataError as error:
            pytest.skip(str(error))

    return content


Prepared = Callable[..., Path]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, content_of: ContentOf) -> Prepared:
    """Return `prepared(task_id, variant)`: a folder with `public` and `private`, made once unless `again` is given."""
    made: dict[tuple[str, str, str], Path] = {}

    def prepare(task_id: str, variant: str = "full", *, again: str = "") -> Path:
        key = (task_id, variant, again)
        if key not in made:
            folder = tmp_path_factory.mktemp("prepared")
            for name in ("public", "private"):
                (folder / name).mkdir()
            task = ALL_TASKS[task_id](variant)
            task.prepare(
                Preparation(folder / "public", folder / "private", lambda name: content_of(task_id, name)),
            )
            made[key] = folder
        return made[key]

    return prepare


Ready = Callable[[str, str], PreparedTask]


@pytest.fixture(scope="session")
def ready() -> Ready:
    """Return `ready(task_id, variant)`, which prepares a task and skips where its data cannot be had."""

    def prepare(task_id: str, variant: str) -> PreparedTask:
        try:
            return prepare_task(default_host(), task_id, variant)
        except DataError as error:
            pytest.skip(str(error))

    return prepare


class LocalGrading(Grading):
    """A grading in this process, which records its flags."""

    protocol = "strict"
    seed = 0

    def __init__(self, folder: Path, private: Path, *, variant: str = "full", split: str = "test") -> None:
        self.submission = folder
        self.private = private
        self.variant = variant
        self.split = split  # type: ignore[assignment]
        self.flags: list[str] = []

    def flag(self, name: str) -> None:
        self.flags.append(name)

    def program(
        self, path: str, *, call_seconds: float = 1.0, total_seconds: float = 300.0, answer_bytes: int = 1 << 20
    ) -> SubmittedProgram:
        raise AssertionError("predictions are no programs")


Grade = Callable[..., tuple[float, list[str]]]


@pytest.fixture
def grade(tmp_path: Path, prepared: Prepared) -> Grade:
    """Return `grade(task_id, content, …)`: score and flags of a submission file with this content."""

    def run(
        task_id: str, content: str | bytes | None, *, variant: str = "full", split: str = "test"
    ) -> tuple[float, list[str]]:
        path = tmp_path / "submission.csv"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        grading = LocalGrading(tmp_path, prepared(task_id, variant) / "private", variant=variant, split=split)
        [score] = ALL_TASKS[task_id](variant).grade(grading).values()
        return score, grading.flags

    return run


@pytest.fixture
def server() -> Iterator[FileServer]:
    """A web server on the loopback interface."""
    with FileServer() as running:
        yield running
