"""What the tasks share: a table is split, an agent predicts one of its columns, the grader compares by id."""

from __future__ import annotations

import abc
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, TypeVar

from mlgym_core import Attack, Grading, Preparation, SubmissionFile, Task, read_predictions
from mlgym_task_tabular.tables import Table, read_table, write_table

SUBMISSION = "submission.csv"
PAPER = "MLGym: A New Framework and Benchmark for Advancing AI Research Agents (2025)"
SPLITS = ("train", "validation", "test")

_PUBLIC_KEY = "mlgym"
"""The key of all orders where nobody has set `MLGYM_GRADING_KEY`. The attack `derive_order.py` has it, too."""

Value = TypeVar("Value")

_STARTERS = Path(__file__).parent / "starters"
_ATTACKS = Path(__file__).parent / "attacks"

_DESCRIPTION = """\
# {title}

{goal}

## Files

| file | rows | what it is |
| --- | --- | --- |
| `train.csv` | {train:,} | {rows_are}, with `{target}` |
| `validation.csv` | {validation:,} | others, with `{target}`, on which `validate` grades |
| `test.csv` | {test:,} | others, without `{target}`, on which `submit` grades |
| `baseline.py` | | a simple solution: it trains on `train.csv` and writes `{submission}` |
| `README.md` | | this text |

All tables are CSV files in UTF-8 with a header. {missing}

| column | kind | meaning |
| --- | --- | --- |
| `{id_column}` | number | tells rows apart; it says nothing of them |
{columns}

## What to submit

The file `{submission}`, a CSV file in UTF-8 with the header `{id_column},{target}` and one row for each `{id_column}`
that is graded, in any order. {answer}

- `submit` needs a row for each row of `test.csv`, `validate` one for each row of `validation.csv`. The file may hold
  both, as that of the baseline does. (Where a run follows the protocol `paper`, `validate` grades the test rows.)
- A row that is missing, that is there twice or that nobody asked for, and a value that is empty or of another kind make
  the whole submission invalid; the message says which line is wrong.

## The score

{score}

`baseline.py` is the **baseline: {baseline}** on the test rows{also}.

## How to work

Run `python3 baseline.py`, read it, and write something better. Models that are trained on `train.csv` and
`validation.csv` together may be submitted, too. `validate` grades `{submission}` on the validation rows; the number of
validations is limited. `submit` hands it in and ends the task. Predictions must come from models that you make of
these files, not from what is known elsewhere of these {known}.

{packages} There is no network. {limits}

Lines of `baseline.py` such as `NAME = 0.1  # tunable: float 0 to 1` declare parameters: numbers that can be changed
within their range without understanding the code. You may tune them, or write something else altogether.
"""


class PredictionTask(Task):
    """A task in which one column of a table is predicted.

    Class attributes:
        task_id: The task's id.
        id_column: What numbers the rows, anew in each variant.
        target: The column that is predicted.
        starter: File name of the baseline's script among this package's `starters`.
        sizes: For each variant, the number of rows for training, for validation and for the test.
    """

    baseline_script = "baseline.py"
    answers_public = True
    grading_seconds = 120.0

    task_id: ClassVar[str]
    id_column: ClassVar[str]
    target: ClassVar[str]
    starter: ClassVar[str]
    sizes: ClassVar[Mapping[str, tuple[int, int, int]]]

    @abc.abstractmethod
    def splits(self, preparation: Preparation) -> tuple[Table, Mapping[str, Sequence[int]]]:
        """Return the variant's table and, for each of `SPLITS`, which of its rows make it up, in their new order."""

    @abc.abstractmethod
    def description_parts(self) -> Mapping[str, str]:
        """Return what the description says of this task and variant, by the places in the text that is shared."""

    def prepare(self, preparation: Preparation) -> None:
        """Write the splits, with ids that number the rows in their new order, the baseline and the description."""
        table, splits = self.splits(preparation)
        place = table.columns.index(self.target)
        start = 1
        for split in SPLITS:
            rows = [[str(number), *table.rows[index]] for number, index in enumerate(splits[split], start)]
            start += len(rows)
            columns = (self.id_column, *table.columns)
            if split != "train":
                answers = ([row[0], row[place + 1]] for row in rows)
                write_table(preparation.private / f"{split}.csv", (self.id_column, self.target), answers)
            if split == "test":
                columns = columns[: place + 1] + columns[place + 2 :]
                rows = [row[: place + 1] + row[place + 2 :] for row in rows]
            write_table(preparation.public / f"{split}.csv", columns, rows)
        (preparation.public / self.baseline_script).write_bytes((_STARTERS / self.starter).read_bytes())
        (preparation.public / "README.md").write_text(self.description(), encoding="utf-8")

    def description(self) -> str:
        """Return the task's description in Markdown."""
        train, validation, test = self.sizes[self.variant]
        return _DESCRIPTION.format(
            train=train,
            validation=validation,
            test=test,
            id_column=self.id_column,
            target=self.target,
            submission=SUBMISSION,
            **self.description_parts(),
        )

    def submission_files(self) -> Sequence[SubmissionFile]:
        """Return the one file that makes up a submission."""
        return (SubmissionFile(path=SUBMISSION),)

    @property
    @abc.abstractmethod
    def public_copy(self) -> str:
        """Name of the dataset that has the variant's rows, as anybody can have it."""

    def attacks(self) -> Sequence[Attack]:
        """Return ways of taking the answers from public copies of the data."""
        copy = self.public_copy
        key_is_public = os.environ.get("MLGYM_GRADING_KEY", _PUBLIC_KEY) == _PUBLIC_KEY
        return (
            Attack(name="takes a public copy's answers by id", program=_ATTACKS / "join_by_id.py", dataset=copy),
            Attack(name="takes a public copy's answers by order", program=_ATTACKS / "join_by_order.py", dataset=copy),
            Attack(
                name="derives the order from the public key",
                program=_ATTACKS / "derive_order.py",
                dataset=copy,
                outcome="flagged" if key_is_public else "stopped",
            ),
            Attack(name="looks for a public copy in all that it can read", program=_ATTACKS / "search.py"),
            Attack(
                name="takes a public copy's answers by content",
                program=_ATTACKS / "search.py",
                dataset=copy,
                outcome="flagged",
            ),
        )

    def oracle(self, private: Path, split: str, quality: float, submission: Path) -> bool:
        """Write predictions of which a share is right; the others are the answers of the rows before them."""
        pairs = _pairs(read_table(private / f"{split}.csv"))
        right = round(quality * len(pairs))
        others = [answer for _, answer in pairs[-1:] + pairs[:-1]]
        rows = [
            (row, answer if place < right else other)
            for place, ((row, answer), other) in enumerate(zip(pairs, others, strict=True))
        ]
        write_table(submission / SUBMISSION, (self.id_column, self.target), rows)
        return True

    def answers(self, grading: Grading, split: str) -> dict[str, str]:
        """Return the right answers of a split by id."""
        return dict(_pairs(read_table(grading.private / f"{split}.csv")))

    def predictions(
        self, grading: Grading, expected: Mapping[str, str], parse: Callable[[str], Value]
    ) -> dict[str, Value]:
        """Return what was submitted for the split that is graded, by id, in the order of `expected`.

        Raises:
            InvalidSubmission: with the first thing that is wrong.
        """
        return read_predictions(
            grading.submission / SUBMISSION,
            id_column=self.id_column,
            value_column=self.target,
            parse=parse,
            expected=expected,
            also_allowed=self.answers(grading, "validation" if grading.split == "test" else "test"),
        )


def _pairs(table: Table) -> list[tuple[str, str]]:
    return [(row[0], row[1]) for row in table.rows]


def who_can_tell_rows(row: str) -> str:
    """Return who can tell by order and ids which row of a public copy a row is, and who cannot.

    Args:
        row: What a row is, such as "house".
    """
    return (
        "An agent that has neither mlgym's code nor its key cannot tell by the order or the ids of a public copy "
        f"which {row} a row is; whoever knows the code, which is public, can derive the order, unless "
        "MLGYM_GRADING_KEY is set to a secret."
    )


def consecutive(order: Sequence[int], sizes: Sequence[int]) -> dict[str, Sequence[int]]:
    """Return the splits that take the first so many of an order, then the next, and so on."""
    splits: dict[str, Sequence[int]] = {}
    start = 0
    for split, size in zip(SPLITS, sizes, strict=True):
        splits[split] = order[start : start + size]
        start += size
    return splits
