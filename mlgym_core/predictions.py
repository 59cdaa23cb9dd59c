"""Reading submitted predictions, a CSV file with a row for each id, so that whatever is wrong with it is named.

Runs in graders: standard library only. What it refuses is always an `InvalidSubmission`, never a crash.
"""

from __future__ import annotations

import csv
import io
import math
import reprlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TypeVar

from mlgym_core.errors import InvalidSubmission

Value = TypeVar("Value")

_MARKS_OF_OTHER_ENCODINGS = (
    *((b"\xff\xfe\0\0", "UTF-32"), (b"\0\0\xfe\xff", "UTF-32")),
    *((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16")),
)
_shown = reprlib.Repr()
_shown.maxstring = 60
_shown.maxother = 60


def finite_number(text: str) -> float:
    """Return a finite number, written in decimal or exponential notation.

    Raises:
        ValueError: if it is none.
    """
    # `float` also reads underscores, digits of other scripts, and words.
    stripped = text.strip()
    if not stripped.isascii() or "_" in stripped:
        raise ValueError("it is not a number")
    try:
        number = float(stripped)
    except ValueError:
        raise ValueError("it is not a number") from None
    if not math.isfinite(number):
        raise ValueError("it is not finite")
    return number


def one_of(*labels: str) -> Callable[[str], str]:
    """Return a parser that accepts these labels and nothing else."""
    allowed = frozenset(labels)
    listed = ", ".join(labels) if len(labels) <= 12 else f"{labels[0]}, {labels[1]}, …, {labels[-1]}"

    def parse(text: str) -> str:
        stripped = text.strip()
        if stripped not in allowed:
            raise ValueError(f"it is none of {listed}")
        return stripped

    return parse


def any_text(text: str) -> str:
    """Return a text that is not blank.

    Raises:
        ValueError: if it is.
    """
    if not text.strip():
        raise ValueError("it is empty")
    return text


def read_predictions(
    path: Path,
    *,
    id_column: str,
    value_column: str,
    parse: Callable[[str], Value],
    expected: Collection[str],
    also_allowed: Collection[str] = (),
) -> dict[str, Value]:
    """Return the predictions in a submitted file by id, in the order of `expected`.

    The file is UTF-8 with a header of the two columns, in either order, and one row for each id, in any order.

    Args:
        parse: Makes a value of a text, or raises `ValueError` with the end of a sentence such as "it is not a number".
        expected: The ids that must be there.
        also_allowed: Ids that may be there, such as those of the other split. They are checked, too, and left out.

    Raises:
        InvalidSubmission: with the first thing that is wrong, for the agent to read.
    """
    name = path.name
    known = set(expected) | set(also_allowed)
    values: dict[str, Value] = {}
    for line, row_id, text in _rows(name, path.read_bytes(), id_column, value_column):
        if row_id not in known:
            raise InvalidSubmission(f"{name}, line {line}: there is no {id_column} {_shown.repr(row_id)}.")
        if row_id in values:
            raise InvalidSubmission(f"{name}, line {line}: the {id_column} {row_id} occurs a second time.")
        if not text.strip():
            raise InvalidSubmission(f"{name}, line {line}: the {value_column} of {id_column} {row_id} is empty.")
        try:
            values[row_id] = parse(text)
        except ValueError as error:
            raise InvalidSubmission(
                f"{name}, line {line}: the {value_column} of {id_column} {row_id} is {_shown.repr(text)}, and {error}."
            ) from None
    missing = [row_id for row_id in expected if row_id not in values]
    if missing:
        raise InvalidSubmission(
            f"{name} has no row for {len(missing):,} of {len(expected):,} {id_column}s that it must have, such as "
            f"{', '.join(missing[:3])}."
        )
    return {row_id: values[row_id] for row_id in expected}


def _rows(name: str, content: bytes, id_column: str, value_column: str) -> Iterator[tuple[int, str, str]]:
    """Yield line number, id and text of each row."""
    rows = _csv_rows(name, content)
    header = [column.strip() for column in next(rows, (0, []))[1]]
    if sorted(header) != sorted((id_column, value_column)):
        found = ", ".join(map(_shown.repr, header[:8])) or "nothing"
        hint = " Separate columns by commas." if len(header) == 1 and set(header[0]) & {";", "\t", "|"} else ""
        raise InvalidSubmission(
            f"{name}: its first line must name the columns {id_column},{value_column}; it has {found}.{hint}"
        )
    id_place, value_place = header.index(id_column), header.index(value_column)
    for line, row in rows:
        if not row:
            continue
        if len(row) != 2:
            raise InvalidSubmission(f"{name}, line {line}: it has {len(row)} values instead of 2.")
        yield line, row[id_place].strip(), row[value_place]


def _csv_rows(name: str, content: bytes) -> Iterator[tuple[int, list[str]]]:
    encoding = next((name for mark, name in _MARKS_OF_OTHER_ENCODINGS if content.startswith(mark)), None)
    if encoding is not None:
        raise InvalidSubmission(f"{name} is {encoding}; write it as UTF-8.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidSubmission(f"{name} is not UTF-8 (at byte {error.start:,}).") from None
    if "\0" in text:
        raise InvalidSubmission(f"{name} is not a text file: it has a zero byte.")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise InvalidSubmission(f"{name}, line {reader.line_num}: it is not valid CSV ({error}).") from None
