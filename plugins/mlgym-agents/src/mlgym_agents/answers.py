"""Answers in plain text: the fenced blocks in them."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Only line feeds end a line: others that Python knows, such as form feeds, may stand in programs.
_LINE = re.compile(r"[^\n]*\n|[^\n]+\Z")
# The second group has the white space, too: if it could also belong to something else, matching a long run of it would
# take cubic time.
_FENCE = re.compile(r" {0,3}(`{3,})([^`]*)\Z")


@dataclass(frozen=True)
class Block:
    """A fenced block, as CommonMark has it: one that begins with four backticks ends with at least as many.

    Attributes:
        content: Its lines. They end in line feeds alone where the line that opens it ends in a carriage return.
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
    has_returns = False
    position = 0
    for line in _LINE.findall(text):
        position += len(line)
        match = _FENCE.match(line.rstrip("\r\n"))
        if not fence:
            if match is None:
                lines.append(line)
            else:
                fence, language, before, lines = match[1], match[2].strip(), "".join(lines), []
                has_returns = line.endswith("\r\n")
        elif match is not None and not match[2].strip() and len(match[1]) >= len(fence):
            content = "".join(lines)
            # No shell takes them, and they are not the model's point: all of its answer has them.
            blocks.append(Block(content.replace("\r\n", "\n") if has_returns else content, language, before, position))
            fence, lines = "", []
        else:
            lines.append(line)
    return blocks, bool(fence)
