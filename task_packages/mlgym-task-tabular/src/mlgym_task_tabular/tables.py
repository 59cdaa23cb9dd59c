"""Tables as datasets hold them and as agents see them. Standard library only."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mlgym_core import DataError, finite_number


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: What its header says.
        kind: Whether its values are numbers or texts. Values may be missing in both.
        meaning: What it says of a row, for people.
    """

    name: str
    kind: Literal["number", "text"]
    meaning: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of texts; a missing value is an empty text."""

    columns: tuple[str, ...]
    rows: list[list[str]]

    def column(self, name: str) -> list[str]:
        """Return the values of a column."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]


def parse_csv(data: bytes) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a UTF-8 CSV file.

    Raises:
        DataError: if it is none.
    """
    try:
        rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"It is not a CSV file in UTF-8 ({error}).") from None
    if not rows:
        raise DataError("It is an empty file.")
    return rows[0], [row for row in rows[1:] if row]


def canonical(
    header: Sequence[str], rows: Iterable[Sequence[str]], columns: Sequence[Column], *, missing: Collection[str]
) -> Table:
    """Return a table with these columns, in their order, and each value written in one way.

    Numbers become `3` and `2.5`, whatever zeros they had; texts lose the blanks around them.

    Args:
        header: The columns of `rows`: the same names in any order, and no others.
        missing: Texts that stand for a missing value.

    Raises:
        DataError: if the columns are others, a row has another number of values, or a number is none.
    """
    names = [column.name for column in columns]
    if sorted(header) != sorted(names):
        strange = sorted(set(header) ^ set(names))
        raise DataError(f"Its columns are not those of the table; these are missing or too many: {strange[:5]}.")
    places = [(header.index(column.name), column) for column in columns]
    written = []
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise DataError(f"Row {number} has {len(row)} values, and there are {len(header)} columns.")
        written.append([_canonical_value(row[place], column, missing, number) for place, column in places])
    return Table(tuple(names), written)


def _canonical_value(text: str, column: Column, missing: Collection[str], row: int) -> str:
    stripped = text.strip()
    if stripped in missing:
        return ""
    if column.kind == "text":
        return stripped
    try:
        number = finite_number(stripped)
    except ValueError as error:
        raise DataError(f"Row {row}: {column.name} is {stripped[:40]!r}, and {error}.") from None
    return str(int(number)) if number.is_integer() else repr(number)


def without_numbering(table: Table, column: str, count: int) -> Table:
    """Return the table without a first column that numbers its rows from 1 to `count`.

    Raises:
        DataError: if there are more or fewer rows, or they are numbered otherwise.
    """
    if len(table.rows) != count:
        raise DataError(f"It has {len(table.rows):,} rows instead of {count:,}.")
    if [row[0] for row in table.rows] != [str(number) for number in range(1, count + 1)]:
        raise DataError(f"Its rows are not in their own order: {column} does not run from 1 to {count:,}.")
    return Table(table.columns[1:], [row[1:] for row in table.rows])


def read_table(path: Path) -> Table:
    """Return a table that we wrote."""
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    return Table(tuple(header), rows)


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table as UTF-8 CSV whose lines end with a line feed."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
