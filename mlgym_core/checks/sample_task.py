"""The tiny task that agents and tools are tried on. Graders import it: standard library only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mlgym_core.errors import InvalidSubmission
from mlgym_core.interfaces import Anchors, Grading, Preparation, SubmissionFile, Task
from mlgym_core.predictions import finite_number

SUBMISSION = "answer.txt"
BEST = 0.75
"""The number that is asked for."""

_DESCRIPTION = """\
# A number

Write a number from 0 to 1 into `answer.txt`: the nearer it is to one that you are not told, the better.

`closeness`, to be maximised, is 1 minus the distance. The number of validations is limited. There is a file
`notes.txt` with a few lines of text.
"""


class SampleTask(Task):
    """Asks for a number; the nearer it is to one that is not told, the better."""

    def description(self) -> str:
        """Return what agents are told."""
        return _DESCRIPTION

    def submission_files(self) -> Sequence[SubmissionFile]:
        """Return the one file that makes up a submission."""
        return (SubmissionFile(path=SUBMISSION, max_bytes=100),)

    def anchors(self, split: str) -> Anchors:
        """Return the ends of the scale."""
        return Anchors(
            baseline=1 - BEST,
            baseline_source="what 0 earns",
            reference=1.0,
            reference_source="the number itself",
        )

    def prepare(self, preparation: Preparation) -> None:
        """Write the starter, which answers 0, and a file to look at."""
        (preparation.public / SUBMISSION).write_text("0\n", encoding="utf-8")
        lines = "".join(f"line {number}\n" for number in range(1, 21))
        (preparation.public / "notes.txt").write_text(lines, encoding="utf-8")

    def grade(self, grading: Grading) -> Mapping[str, float]:
        """Compare the number with the one that is not told."""
        try:
            number = finite_number((grading.submission / SUBMISSION).read_text(encoding="utf-8"))
        except ValueError as error:
            raise InvalidSubmission(f"{SUBMISSION} cannot be read: {error}.") from None
        return {"closeness": 1 - abs(number - BEST)}

    def oracle(self, private: Path, split: str, quality: float, submission: Path) -> bool:
        """Write an answer that is off by as much as `quality` leaves."""
        (submission / SUBMISSION).write_text(str(BEST * quality), encoding="utf-8")
        return True
