"""Predicting how tightly exotic atomic nuclei are bound. The grader imports it: keep it light."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlgym_core import (
    Anchors,
    Attack,
    Grading,
    Preparation,
    RootMeanSquaredError,
    SubmissionFile,
    Task,
    finite_number,
    read_predictions,
    secret_order,
)
from mlgym_task_science.nuclei import NUCLEI, Nucleus, read_nuclei

if TYPE_CHECKING:
    from mlgym_core.types import Split

TASK = "science/nuclear-masses"
SUBMISSION = "submission.csv"
TARGET = "binding_energy"
VALIDATION_ROWS = 196
"""A third of the 588 nuclei that were measured after 1995. The others are test rows."""
EXACT = 0.002
"""A prediction that is this near to the answer, in MeV, is called exact."""
MANY_EXACT = 0.1
"""The share of exact predictions from which on a submission is flagged. Of the reference's, up to 1.5 % are."""

_HERE = Path(__file__).parent
_REFERENCE_SOURCE = (
    "a Gaussian process on what a mass formula with nine terms leaves over, measured with the script "
    "references/nuclear_masses.py of this package; its kind of kernel was "
    "settled with the scores of simpler ones on the hidden nuclei in sight, the kernel itself by its likelihood on "
    "training rows"
)


class NuclearMasses(Task):
    """The task `science/nuclear-masses`."""

    datasets = (NUCLEI,)
    answers_public = True
    # What agents run to get the baseline's submission.
    baseline_script = "baseline.py"
    # A grading takes less than a second; one that takes longer than this counts as hung.
    grading_seconds = 60.0

    def description(self) -> str:
        """Return what agents are told."""
        return (_HERE / "nuclear_masses.md").read_text(encoding="utf-8")

    def submission_files(self) -> Sequence[SubmissionFile]:
        """Return the one file that makes up a submission."""
        return (SubmissionFile(path=SUBMISSION),)

    def anchors(self, split: Split) -> Anchors:
        """Return the ends of the scale: the baseline is worth 0, the reference 1."""
        validation = split == "validation"
        return Anchors(
            baseline=3.161 if validation else 3.061,
            baseline_source="the starter's own run, which draws nothing; the band holds those on the splits of 21 keys",
            reference=0.253 if validation else 0.265,
            reference_source=_REFERENCE_SOURCE,
            band=(2.7, 3.4) if validation else (2.93, 3.29),
            # The reference's best of these splits is 0.22; nothing that learns from these rows is known to come near.
            implausible=0.1,
        )

    def prepare(self, preparation: Preparation) -> None:
        """Write what agents find in their workspace, and the answers, which graders alone see."""
        nuclei = read_nuclei(preparation.dataset("nuclei"))
        # Neither the order nor the ids say which row of a public copy a row is.
        ordered = [nuclei[row] for row in secret_order(len(nuclei), task=TASK, variant=self.variant)]
        later = [nucleus for nucleus in ordered if not nucleus.known]
        splits = {
            "train": [nucleus for nucleus in ordered if nucleus.known],
            "validation": later[:VALIDATION_ROWS],
            "test": later[VALIDATION_ROWS:],
        }
        first = 1
        for split, chosen in splits.items():
            rows = [_row(number, nucleus) for number, nucleus in enumerate(chosen, first)]
            first += len(rows)
            header = ("id", "Z", "N", TARGET, "uncertainty")
            shown = len(header) if split == "train" else 3
            _write(preparation.public / f"{split}.csv", header[:shown], (row[:shown] for row in rows))
            if split != "train":
                _write(preparation.private / f"{split}.csv", ("id", TARGET), ((row[0], row[3]) for row in rows))
        starter = _HERE / "starters" / "nuclear_masses.py"
        (preparation.public / self.baseline_script).write_bytes(starter.read_bytes())

    def grade(self, grading: Grading) -> Mapping[str, float]:
        """Compare a submission with the answers of a split."""
        answers = _answers(grading.private, grading.split)
        predictions = read_predictions(
            grading.submission / SUBMISSION,
            id_column="id",
            value_column=TARGET,
            parse=finite_number,
            expected=answers,
            also_allowed=_answers(grading.private, "test" if grading.split == "validation" else "validation"),
        )
        exact = sum(abs(predictions[row] - answer) <= EXACT for row, answer in answers.items())
        if exact > MANY_EXACT * len(answers):
            grading.flag("memorised_answers")
        return {"rmse": RootMeanSquaredError().compute(list(answers.values()), list(predictions.values()))}

    def attacks(self) -> Sequence[Attack]:
        """Return ways of taking the answers from public copies of the data."""
        programs = _HERE / "attacks"
        return (
            Attack(
                name="takes a public copy's answers by the order of rows",
                program=programs / "join_by_order.py",
                dataset="nuclei",
            ),
            Attack(
                name="looks for a public copy in all files that it can read",
                program=programs / "look_in_files.py",
            ),
            Attack(
                name="takes a public copy's answers by content",
                program=programs / "join_by_content.py",
                dataset="nuclei",
                outcome="flagged",
            ),
        )

    def contamination(self) -> str:
        """Return what is known of the answers being public."""
        return (
            "All answers are public: in the atomic mass evaluations, in every table of nuclides, in Python "
            "packages such as periodictable and mendeleev; a language model may have read them. Agents have no "
            "network, and the packages of their sandbox hold none of them. A row says which nucleus it is, since "
            "that is what a mass depends on. So fresh ids and a fresh order keep out only those who join by them; "
            "whoever has a public copy can look the answers up, which nothing here can stop. It is flagged where "
            "it shows: `memorised_answers` if more than a tenth of the predictions lie within 0.002 MeV of the "
            "answer, `implausible_score` if the error is less than 0.1 MeV, which no model is known to reach on "
            "nuclei so far from those that it learnt from. Answers that were blurred on purpose are not "
            "recognised."
        )

    def oracle(self, private: Path, split: Split, quality: float, submission: Path) -> bool:
        """Write a submission that is as good as `quality` says, from 0 to 1, for `mlgym check` alone.

        At 0 it is off by 6 MeV, twice as much as the baseline, now in one direction, now in the other.
        """
        off = 6 * (1 - quality)
        rows = [
            (row, answer + (off if place % 2 else -off))
            for place, (row, answer) in enumerate(_answers(private, split).items())
        ]
        _write(submission / SUBMISSION, ("id", TARGET), rows)
        return True


def _row(number: int, nucleus: Nucleus) -> tuple[object, ...]:
    return (number, nucleus.protons, nucleus.neutrons, nucleus.binding_energy, nucleus.uncertainty)


def _answers(private: Path, split: str) -> dict[str, float]:
    with (private / f"{split}.csv").open(encoding="utf-8", newline="") as file:
        return {row["id"]: float(row[TARGET]) for row in csv.DictReader(file)}


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
