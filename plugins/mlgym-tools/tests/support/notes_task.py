"""A small task. A module of its own, since graders load it from disk like any task package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlgym_core import Anchors, Grading, Preparation, SubmissionFile, Task


class Notes(Task):
    """Anything is worth 1."""

    def description(self) -> str:
        return "Write what you like into answer.txt."

    def submission_files(self) -> Sequence[SubmissionFile]:
        return [SubmissionFile(path="answer.txt", max_bytes=100)]

    def anchors(self, split: str) -> Anchors:
        return Anchors(baseline=0.0, reference=1.0)

    def prepare(self, preparation: Preparation) -> None:
        (preparation.public / "answer.txt").write_text("0")

    def grade(self, grading: Grading) -> Mapping[str, float]:
        return {"value": 1.0}
