"""Malformed submissions, made of a good one."""

from __future__ import annotations

import csv
import io
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mlgym_core.interfaces import SubmissionFile

Verdict = Literal["invalid", "same", "any"]
_SEED = 0
_NUMBER = re.compile(r"-?[0-9.]+(e[-+]?[0-9]+)?")


@dataclass(frozen=True)
class Variation:
    """A changed submission file.

    Attributes:
        name: What was changed, for people.
        content: The file; None if there is none.
        verdict: What the grader must say: that it is invalid, the same as of the good one, or anything but breaking.
    """

    name: str
    content: bytes | None
    verdict: Verdict


def variations(file: SubmissionFile, good: Path) -> Iterator[Variation]:
    """Yield changed versions of a submission file."""
    content = good.read_bytes()
    if file.required:
        yield Variation("no file", None, "invalid")
    yield Variation("an empty file", b"", "invalid" if file.required else "any")
    yield Variation("random bytes", random.Random(_SEED).randbytes(2000), "any")  # noqa: S311
    yield Variation("zero bytes", bytes(2000), "any")
    yield Variation("half of it", content[: len(content) // 2], "any")
    yield Variation("something behind its end", content + b"\xff\xfe\x00,,,\n\"'", "any")
    yield Variation("a file that is too large", content + b"\n" * (file.max_bytes + 1 - len(content)), "invalid")
    if file.path.endswith(".csv"):
        yield from _variations_of_table(content)


def _variations_of_table(content: bytes) -> Iterator[Variation]:
    header, *rows = list(csv.reader(io.StringIO(content.decode())))
    first, last = rows[0], len(header) - 1

    def table(name: str, rows: list[list[str]], verdict: Verdict = "invalid", head: list[str] = header) -> Variation:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([head, *rows])
        return Variation(name, text.getvalue().encode(), verdict)

    def with_value(value: str) -> list[list[str]]:
        return [[*row[:last], value] if row is first else row for row in rows]

    shuffled = rows.copy()
    random.Random(_SEED).shuffle(shuffled)  # noqa: S311
    yield table("its rows in another order", shuffled, "same")
    windows = content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    yield Variation("lines that end as on Windows", windows, "same")
    yield Variation("a byte order mark", b"\xef\xbb\xbf" + content, "same")
    yield Variation("UTF-16", content.decode().encode("utf-16"), "invalid")
    yield Variation("Latin-1 letters", content + "\xe9,\xe9\n".encode("latin-1"), "invalid")
    yield Variation("no header", content.partition(b"\n")[2], "invalid")
    yield table("other names of columns", rows, head=[f"{name}_" for name in header])
    yield table("one column only", [row[:1] for row in rows], head=header[:1])
    yield table("a column too many", [[*row, "0"] for row in rows], head=[*header, "extra"])
    yield table("a row that occurs twice", [*rows, first])
    yield table("no rows", [])
    yield table("every second row only", rows[::2])
    yield table("an id that is unknown", [*rows, ["no-such-id", *first[1:]]])
    for value in ("nan", "inf", "1e999", "", "no such value", "[1]", "=1+1", "\u0661", "9" * 5000):
        yield table(f"a value {value[:20]!r}", with_value(value), _verdict_on(value, rows))
    yield table("a field of a million letters", with_value("x" * 1_000_000), _verdict_on("x", rows))


def _verdict_on(value: str, rows: list[list[str]]) -> Verdict:
    """Return what a value must lead to: where all values are numbers, no other is valid; elsewhere texts may be."""
    are_numbers = all(_NUMBER.fullmatch(row[-1]) for row in rows)
    return "invalid" if are_numbers or not value else "any"
