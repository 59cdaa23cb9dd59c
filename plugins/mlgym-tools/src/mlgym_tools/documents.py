"""Files as lines."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from mlgym_core import ToolContext, ToolError

LARGEST_FILE = 10 << 20
LONGEST_SHOWN_LINE = 500
_LONGEST_TEXT = 1 << 16


@dataclass(frozen=True)
class Document:
    """A file as it was read.

    Attributes:
        path: Its absolute path in the sandbox.
        lines: Its lines with their endings; only a line feed ends a line.
    """

    path: str
    content: bytes = field(repr=False)
    lines: list[str] = field(repr=False)

    @classmethod
    async def read(cls, context: ToolContext, path: str) -> Document:
        """Read a file of the sandbox.

        Raises:
            ToolError: if it cannot be read, or is too large.
        """
        content = await context.read_file(path, LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise ToolError(f"{path} is too large: the limit is {LARGEST_FILE >> 20} MiB. Use the shell.")
        return cls(path, content, split_lines(content.decode("utf-8", "backslashreplace")))

    @property
    def digest(self) -> str:
        """What differs when the content does."""
        return hashlib.sha256(self.content).hexdigest()

    def editable_lines(self) -> list[str]:
        """Return the lines, to be changed.

        Raises:
            ToolError: if what is written back would not be the same bytes where nothing is changed.
        """
        if b"\0" in self.content:
            raise ToolError(f"{self.path} cannot be edited: it holds NUL characters and is no text. Use the shell.")
        try:
            return split_lines(self.content.decode())
        except UnicodeDecodeError as error:
            line = self.content.count(b"\n", 0, error.start) + 1
            raise ToolError(
                f"{self.path} cannot be edited: it is not UTF-8, first in line {line} (byte 0x"
                f"{self.content[error.start]:02x}). Use the shell."
            ) from None


def split_lines(text: str) -> list[str]:
    """Return the lines of a text with their endings; unlike `str.splitlines`, only line feeds end one."""
    lines = text.split("\n")
    return [line + "\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def escaped(text: str) -> str:
    """Return a text with escapes for what cannot be printed, so that it is one line."""
    return "".join(
        character if character.isprintable() or character == "\t" else character.encode("unicode_escape").decode()
        for character in text
    )


def shown_line(line: str) -> str:
    """Return a line without its ending, cut if it is long, with escapes for what cannot be printed."""
    line = line.removesuffix("\n").removesuffix("\r")
    cut = len(line) - LONGEST_SHOWN_LINE
    text = escaped(line[:LONGEST_SHOWN_LINE])
    return f"{text} [… {cut:,} more characters]" if cut > 0 else text


def numbered(lines: list[str], first: int, last: int) -> tuple[str, int]:
    """Return lines with their numbers, each ended, and the number of the last one that there is room for."""
    parts: list[str] = []
    size = 0
    for number in range(first, min(last, len(lines)) + 1):
        part = f"{number}:{shown_line(lines[number - 1])}\n"
        size += len(part)
        if parts and size > _LONGEST_TEXT:
            return "".join(parts), number - 1
        parts.append(part)
    return "".join(parts), first - 1 + len(parts)
