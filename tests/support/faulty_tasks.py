"""A task of predictions that is as it should be, and others that each have one fault, for the checks of tasks."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from mlgym_core import (
    Accuracy,
    Anchors,
    Attack,
    Dataset,
    Grading,
    InvalidSubmission,
    Preparation,
    SubmissionFile,
    SystemFiles,
    Task,
    one_of,
    read_predictions,
    secret_order,
)

ROWS = 40
BASELINE = """
import csv
rows = [row for name in ("validation", "test") for row in csv.DictReader(open(f"{name}.csv"))]
with open("submission.csv", "w", newline="") as file:
    csv.writer(file).writerows([("id", "label"), *((row["id"], int(int(row["value"]) > 60)) for row in rows)])
"""


def _decode(files: Sequence[Path], content: Any) -> None:
    _decode_as("rows.csv", files, content)


def _decode_more(files: Sequence[Path], content: Any) -> None:
    _decode_as("more.csv", files, content)


def _decode_as(name: str, files: Sequence[Path], content: Any) -> None:
    content.table(name, ["value", "label"], list(csv.reader(files[0].read_text().splitlines()))[1:])


class Sound(Task):
    """Says whether a number is above 50. The baseline asks for 60."""

    baseline_script = "baseline.py"
    answers_public = True
    datasets: ClassVar[tuple[Dataset, ...]] = ()

    def description(self) -> str:
        return (
            "# Numbers\n\nSay of each number in validation.csv and test.csv whether it is above 50. "
            "Write submission.csv with id,label. The accuracy is to be maximised. baseline.py writes one. "
            "Validations are limited."
        )

    def contamination(self) -> str:
        return "Everybody can compare numbers."

    def submission_files(self) -> Sequence[SubmissionFile]:
        return [SubmissionFile(path="submission.csv", max_bytes=1 << 14)]

    def anchors(self, split: str) -> Anchors:
        return Anchors(
            baseline=0.85,
            baseline_source="measured",
            reference=0.9,
            reference_source="made up",
            band=(0.8, 0.95),
            implausible=1.0,
        )

    def prepare(self, preparation: Preparation) -> None:
        order = secret_order(2 * ROWS, task="checks/sound", variant=self.variant)
        labels: list[int] = []
        for name, part in (("validation", order[:ROWS]), ("test", order[ROWS:])):
            ids = range(len(labels), len(labels) + ROWS)
            values = [number * 100 // (2 * ROWS) for number in part]
            labels += [int(value > 50) for value in values]
            _write(preparation.public / f"{name}.csv", ["id", "value"], zip(ids, values, strict=True))
        _write(preparation.private / "answers.csv", ["id", "label"], enumerate(labels))
        (preparation.public / "baseline.py").write_text(BASELINE)

    def grade(self, grading: Grading) -> Mapping[str, float]:
        with (grading.private / "answers.csv").open() as file:
            answers = {row["id"]: row["label"] for row in csv.DictReader(file)}
        ids = list(answers)
        expected, other = (ids[:ROWS], ids[ROWS:]) if grading.split == "validation" else (ids[ROWS:], ids[:ROWS])
        predictions = self.predictions(grading, expected, other)
        return {"accuracy": Accuracy().compute([answers[key] for key in expected], list(predictions.values()))}

    def oracle(self, private: Path, split: str, quality: float, submission: Path) -> bool:
        with (private / "answers.csv").open() as file:
            answers = [(row["id"], row["label"]) for row in csv.DictReader(file)]
        chosen = answers[:ROWS] if split == "validation" else answers[ROWS:]
        right = int(quality * ROWS)
        rows = [(key, label if place < right else 1 - int(label)) for place, (key, label) in enumerate(chosen)]
        _write(submission / "submission.csv", ["id", "label"], rows)
        return True

    def predictions(self, grading: Grading, expected: Sequence[str], other: Sequence[str]) -> Mapping[str, str]:
        """Read the submission."""
        return read_predictions(
            grading.submission / "submission.csv",
            id_column="id",
            value_column="label",
            parse=one_of("0", "1"),
            expected=expected,
            also_allowed=other,
        )


def _write(path: Path, header: Sequence[str], rows: Any) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))[1:]


class Silent(Sound):
    """Does not say what is to be submitted, nor where its answers are."""

    def description(self) -> str:
        return "Do your best."


class Reticent(Sound):
    """Does not say where its answers can be found."""

    def contamination(self) -> str:
        return ""


class Baseless(Sound):
    """Does not say where its numbers come from."""

    def anchors(self, split: str) -> Anchors:
        return Anchors(baseline=0.85, reference=0.9, band=(0.8, 0.95))


class Endless(Sound):
    """Has no other end of its scale."""

    def anchors(self, split: str) -> Anchors:
        return Anchors(baseline=0.85, baseline_source="measured")


class Restless(Sound):
    """Writes other files each time."""

    def prepare(self, preparation: Preparation) -> None:
        super().prepare(preparation)
        (preparation.public / "time.txt").write_text(str(time.time_ns()))


class Leaky(Sound):
    """Shows its answers."""

    def prepare(self, preparation: Preparation) -> None:
        super().prepare(preparation)
        (preparation.public / ".hidden").mkdir()
        (preparation.public / ".hidden" / "notes").write_bytes((preparation.private / "answers.csv").read_bytes())


class Labelled(Sound):
    """Forgets to take the answers out of a table."""

    def prepare(self, preparation: Preparation) -> None:
        super().prepare(preparation)
        labels = dict(_rows(preparation.private / "answers.csv"))
        rows = [(key, value, labels[key]) for key, value in _rows(preparation.public / "test.csv")]
        _write(preparation.public / "test.csv", ["id", "value", "remark"], rows)


class Backward(Sound):
    """Its reference is worse than its baseline."""

    def anchors(self, split: str) -> Anchors:
        return Anchors(
            baseline=0.85, baseline_source="measured", reference=0.4, reference_source="made up", band=(0.8, 0.95)
        )


class Leaving(Sound):
    """Leaves whoever prepares it."""

    def prepare(self, preparation: Preparation) -> None:
        raise SystemExit(3)


class Idle(Sound):
    """Its starter writes nothing."""

    def prepare(self, preparation: Preparation) -> None:
        super().prepare(preparation)
        (preparation.public / "baseline.py").write_text("raise SystemExit('no idea')")


class Boastful(Sound):
    """States a band that its baseline misses."""

    def anchors(self, split: str) -> Anchors:
        return Anchors(baseline=0.99, baseline_source="hope", reference=1.0, reference_source="hope", band=(0.98, 1.0))


class Moody(Sound):
    """Grades by chance."""

    def grade(self, grading: Grading) -> Mapping[str, float]:
        return {"accuracy": 0.85 + os.urandom(1)[0] / 10_000}


class Fragile(Sound):
    """Breaks on what it cannot read."""

    def predictions(self, grading: Grading, expected: Sequence[str], other: Sequence[str]) -> Mapping[str, str]:
        with (grading.submission / "submission.csv").open() as file:
            found = {row["id"]: row["label"] for row in csv.DictReader(file)}
        return {key: found[key] for key in expected}


class Lenient(Sound):
    """Takes what is missing for a 0."""

    def predictions(self, grading: Grading, expected: Sequence[str], other: Sequence[str]) -> Mapping[str, str]:
        try:
            return super().predictions(grading, expected, other)
        except InvalidSubmission:
            return dict.fromkeys(expected, "0")


class Pedantic(Sound):
    """Wants the rows in its own order."""

    def predictions(self, grading: Grading, expected: Sequence[str], other: Sequence[str]) -> Mapping[str, str]:
        found = super().predictions(grading, expected, other)
        if not (grading.submission / "submission.csv").read_bytes().startswith(b"id,label\r\n0,"):
            raise InvalidSubmission("the rows are not in order")
        return found


class Gullible(Sound):
    """Believes a metric that the agent wrote."""

    def submission_files(self) -> Sequence[SubmissionFile]:
        return [*super().submission_files(), SubmissionFile(path="metrics.json", required=False)]

    def grade(self, grading: Grading) -> Mapping[str, float]:
        if (grading.submission / "metrics.json").exists():
            return {"accuracy": 1.0}
        return super().grade(grading)


class Attacked(Sound):
    """Names attacks: one that is stopped, one that nothing can stop, and the same two with the wrong expectation."""

    folder: ClassVar[Path] = Path(__file__).parent
    datasets: ClassVar[tuple[Dataset, ...]] = tuple(
        Dataset(
            name=name,
            summary="A copy of the answers",
            content_hash=None,
            sources=(SystemFiles(package="p", folder=str(folder / "attacks"), files=("rows.csv",), decode=decode),),
            license="CC0-1.0",
            origin="this test",
            citation="Nobody (2026)",
            size_bytes=100,
        )
        for folder, name, decode in (
            (Path(__file__).parent, "copy", _decode),
            (Path(__file__).parent, "more", _decode_more),
        )
    )

    def attacks(self) -> Sequence[Attack]:
        constant, copying, both = (
            self.folder / "attacks" / f"{name}.py" for name in ("constant", "copying", "copying_both")
        )
        return [
            Attack(name="says 0", program=constant),
            Attack(name="looks numbers up", program=copying, dataset="copy", outcome="flagged"),
            Attack(name="looks numbers up in two copies", program=both, dataset=("copy", "more"), outcome="flagged"),
            Attack(name="says 0, as if that were good", program=constant, outcome="flagged"),
            Attack(name="looks numbers up, as if that were stopped", program=copying, dataset="copy"),
        ]


class Perverse(Sound):
    """Its grader counts what is wrong."""

    def anchors(self, split: str) -> Anchors:
        return Anchors(
            baseline=0.15, baseline_source="measured", reference=0.9, reference_source="made up", band=(0.05, 0.25)
        )

    def grade(self, grading: Grading) -> Mapping[str, float]:
        return {"accuracy": 1 - super().grade(grading)["accuracy"]}


class Unreachable(Sound):
    """Its reference is beyond what anybody can do."""

    def anchors(self, split: str) -> Anchors:
        return Anchors(
            baseline=0.85, baseline_source="measured", reference=1.5, reference_source="made up", band=(0.8, 0.95)
        )


class Broken(Sound):
    """Its scale cannot be computed."""

    def anchors(self, split: str) -> Anchors:
        return Anchors(baseline=1 / 0)


class Aimless(Sound):
    """Does not say what it is about."""

    def description(self) -> str:
        return super().description().partition("\n\n")[2]


class Untidy(Sound):
    """Says nothing of a file."""

    def prepare(self, preparation: Preparation) -> None:
        super().prepare(preparation)
        (preparation.public / "notes.txt").write_text("For nobody.")
