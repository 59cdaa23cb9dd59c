"""Whether a public table tells the answers of the test split: a copy with a column too many has another hash.

The answers are those that the task's oracle submits. Tables are text, with commas or tabulators, and a header.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_ENDINGS = (".csv", ".tsv", ".txt", ".data")
_LARGEST_TABLE = 256 << 20
"""In bytes; larger ones are not read."""
_FEWEST_ROWS = 10
"""With fewer rows, a column may equal the answers by chance."""

Columns = Mapping[str, Sequence[str]]


def leaks_of(submission: Path, public: Path) -> list[str]:
    """Return in words which columns of public tables are the answers that a perfect submission has.

    Args:
        submission: The folder of a perfect submission for the test split.
        public: The folder with what agents find in their workspace.
    """
    tables = list(_tables(public))
    found = []
    for _, answers in _tables(submission):
        identifiers, *others = answers
        for name in others:
            by_identifier = dict(zip(answers[identifiers], answers[name], strict=True))
            if len(by_identifier) < _FEWEST_ROWS or len(set(by_identifier.values())) == 1:
                continue
            found += [
                f"the column {column!r} of {path.relative_to(public)} has the test split's {name!r}"
                for path, table in tables
                for column in _equal_columns(table, by_identifier)
            ]
    return found


def _equal_columns(table: Columns, answers: Mapping[str, str]) -> Iterator[str]:
    """Yield the columns of a table that have all answers, beside another column that has their identifiers."""
    for identifiers, column_of_identifiers in table.items():
        rows = {value: place for place, value in enumerate(column_of_identifiers)}
        if not answers.keys() <= rows.keys():
            continue
        for name, column in table.items():
            if name != identifiers and all(_equal(column[rows[key]], value) for key, value in answers.items()):
                yield name


def _equal(first: str, second: str) -> bool:
    if first == second:
        return True
    try:
        # An oracle may compute what it submits, and round it.
        return math.isclose(float(first), float(second), rel_tol=1e-6, abs_tol=1e-9)
    except ValueError:
        return False


def _tables(folder: Path) -> Iterator[tuple[Path, Columns]]:
    """Yield path and columns of each file that is a table of at least two columns."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in _ENDINGS and path.is_file() and path.stat().st_size <= _LARGEST_TABLE:
            columns = _columns(path)
            if len(columns) > 1:
                yield path, columns


def _columns(path: Path) -> Columns:
    """Return the columns of a table by their names; none if the file is no table."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            rows = [row for row in csv.reader(file, delimiter="\t" if "\t" in first else ",") if row]
    except (UnicodeDecodeError, csv.Error):
        return {}
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        return {}
    return dict(zip(rows[0], map(list, zip(*rows[1:], strict=True)), strict=False))
