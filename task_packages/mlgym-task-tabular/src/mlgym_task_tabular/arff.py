"""Reading ARFF, the text format in which OpenML publishes tables. Standard library only."""

from __future__ import annotations

import re

from mlgym_core import DataError

_ATTRIBUTE = re.compile(r"""@attribute\s+(?:'([^']*)'|"([^"]*)"|(\S+))\s+\S""", re.IGNORECASE)
# Each alternative begins with another character, so that there is one way to read a text, and time is linear.
_VALUE = re.compile(
    r"""\s*(?:'(?P<single>(?:[^'\\]|\\.)*)'|"(?P<double>(?:[^"\\]|\\.)*)"|(?P<bare>[^,'"][^,]*)?)\s*(?P<end>,|$)"""
)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}


def read_arff(text: str) -> tuple[list[str], list[list[str]]]:
    """Return the names of the attributes, and the rows with a text for each; a missing value (`?`) is empty.

    Nothing is made of the attributes' types. Sparse rows (`{0 value, …}`) are not supported.

    Raises:
        DataError: if it is not a dense ARFF table.
    """
    names: list[str] = []
    lines = iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        stripped = line.strip()
        if stripped.lower().startswith("@attribute"):
            match = _ATTRIBUTE.match(stripped)
            if match is None:
                raise DataError(f"Line {number} of the ARFF file is not the declaration of an attribute.")
            names.append(next(group for group in match.groups() if group is not None))
        elif stripped.lower() == "@data":
            break
    else:
        raise DataError("It is not an ARFF file: there is no line @DATA.")
    rows = []
    for number, line in lines:
        stripped = line.strip()
        if not stripped or stripped.startswith("%"):
            continue
        row = _values(stripped, number)
        if len(row) != len(names):
            raise DataError(
                f"Line {number} of the ARFF file has {len(row)} values, and there are {len(names)} attributes."
            )
        rows.append(row)
    return names, rows


def _values(line: str, number: int) -> list[str]:
    values = []
    position = 0
    while True:
        match = _VALUE.match(line, position)
        if match is None or line.startswith("{"):
            raise DataError(f"Line {number} of the ARFF file cannot be read.")
        bare, quoted = match["bare"], match["single"] if match["single"] is not None else match["double"]
        if quoted is not None:
            values.append(_ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[1]), quoted))
        else:
            value = (bare or "").strip()
            values.append("" if value == "?" else value)
        if not match["end"]:
            return values
        position = match.end()
