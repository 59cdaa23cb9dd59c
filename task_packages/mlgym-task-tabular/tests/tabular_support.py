"""Prepared tasks, and grading in one process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mlgym_core import Dataset, Grading, Preparation, SubmittedProgram
from mlgym_core.data.obtaining import obtain
from mlgym_task_tabular.house_price import HousePrice
from mlgym_task_tabular.prediction_task import PredictionTask
from mlgym_task_tabular.tables import Table, read_table
from mlgym_task_tabular.titanic import Titanic

VARIANTS = [(HousePrice, "ames"), (HousePrice, "kaggle"), (Titanic, "passengers"), (Titanic, "kaggle")]


def content_of(task: type[PredictionTask], name: str) -> Path:
    """Return the folder with the content of a dataset, which is verified when it is fetched."""
    datasets: dict[str, Dataset] = {dataset.name: dataset for dataset in task.datasets}
    return obtain(task.task_id, datasets[name]).path


class Prepared:
    """A task and its files."""

    def __init__(self, task: PredictionTask, folder: Path) -> None:
        self.task = task
        self.public, self.private = folder / "public", folder / "private"
        self.public.mkdir(parents=True)
        self.private.mkdir()
        task.prepare(Preparation(self.public, self.private, lambda name: content_of(type(task), name)))

    def table(self, split: str) -> Table:
        """Return what agents see of a split."""
        return read_table(self.public / f"{split}.csv")

    def answers(self, split: str) -> dict[str, str]:
        """Return the right answers by id."""
        return {row[0]: row[1] for row in read_table(self.private / f"{split}.csv").rows}


Prepare = Callable[[type[PredictionTask], str], Prepared]
Grade = Callable[..., tuple[dict[str, float], list[str]]]


class LocalGrading(Grading):
    """A grading in this process, which keeps the flags."""

    protocol = "strict"
    seed = 0

    def __init__(self, prepared: Prepared, submission: Path, split: str) -> None:
        self.submission, self.private = submission, prepared.private
        self.variant = prepared.task.variant
        self.split = "test" if split == "test" else "validation"
        self.flags: list[str] = []

    def flag(self, name: str) -> None:
        """Keep the flag."""
        self.flags.append(name)

    def program(
        self, path: str, *, call_seconds: float = 1.0, total_seconds: float = 300.0, answer_bytes: int = 1 << 20
    ) -> SubmittedProgram:
        """Refuse: predictions are no programs."""
        raise AssertionError("no program is graded here")
