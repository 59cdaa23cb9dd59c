"""Answers in plain text: the fenced blocks in them."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FENCE = re.compile(r" {0,3}(`{3,})[ \t]*([^`\n]*?)[ \t]*$")


@dataclass(frozen=True)
class Block:
    """A fenced block, as CommonMark has it: one that begins with four backticks ends with at least as many.

    Attributes:
        content: Its lines.
        language: What stands after the opening backticks.
        before: The text between it and the block before.
        end: Where it ends in the text.
    """

    content: str
    language: str
    before: str
    end: int


def fenced_blocks(text: str) -> tuple[list[Block], bool]:
    """Return the fenced blocks of a text, and whether the last one is left open; that one is not returned."""
    blocks: list[Block] = []
    fence = language = before = ""
    lines: list[str] = []
    position = 0
    for line in text.splitlines(keepends=True):
        position += len(line)
        match = _FENCE.match(line.rstrip("\r\n"))
        if not fence:
            if match is None:
                lines.append(line)
            else:
                fence, language, before, lines = match[1], match[2], "".join(lines), []
        elif match is not None and not match[2] and len(match[1]) >= len(fence):
            blocks.append(Block("".join(lines), language, before, position))
            fence, lines = "", []
        else:
            lines.append(line)
    return blocks, bool(fence)
