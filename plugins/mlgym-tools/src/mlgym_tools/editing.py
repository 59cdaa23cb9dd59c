"""The tools that change lines of the open file."""

from __future__ import annotations

from mlgym_core import Tool, ToolContext, ToolError, ToolResult
from mlgym_tools.documents import LARGEST_FILE, Document, numbered, split_lines
from mlgym_tools.syntax import NotChecked, SyntaxProblem, syntax_problem
from mlgym_tools.viewer import Viewer, show

_AROUND = 5
_LONGEST_EXCERPT = 100


class Edit(Tool):
    """Replaces lines."""

    async def run(self, context: ToolContext, first_line: int, last_line: int, text: str) -> ToolResult:
        """Replace the lines `first_line` to `last_line` of the open file by `text`; an empty text removes them.

        An edit that would break the syntax of a Python or JSON file is refused.
        """
        viewer, document = await _document_to_edit(context)
        lines = document.editable_lines()
        # A file that was just made has no lines, and agents think that it has an empty one.
        last = 0 if not lines and (first_line, last_line) == (1, 1) else last_line
        if not (1 <= first_line <= last_line and last <= len(lines)):
            raise ToolError(
                f"There are no lines {first_line} to {last_line}: lines count from 1, the first comes before the last, "
                f"and {document.path} has {len(lines):,}."
            )
        return await _change(context, viewer, document, lines, first_line, last, text)


class Insert(Tool):
    """Adds lines."""

    async def run(self, context: ToolContext, after_line: int, text: str) -> ToolResult:
        """Add `text` as lines of the open file after the line `after_line`; 0 adds them at the beginning.

        It is refused if it would break the syntax of a Python or JSON file.
        """
        viewer, document = await _document_to_edit(context)
        lines = document.editable_lines()
        if not 0 <= after_line <= len(lines):
            raise ToolError(f"There is no line {after_line}: {document.path} has {len(lines):,} lines.")
        if not text:
            raise ToolError("The text is empty. A newline alone is an empty line.")
        return await _change(context, viewer, document, lines, after_line + 1, after_line, text)


async def _document_to_edit(context: ToolContext) -> tuple[Viewer, Document]:
    """Return what is open.

    Raises:
        ToolError: if it is not what was last shown, so that the line numbers may be others.
    """
    viewer = await Viewer.current(context)
    document = await Document.read(context, viewer.path)
    if viewer.digest != document.digest:
        line = min(max(viewer.top, 1), max(len(document.lines), 1))
        window = await show(context, document, line)
        raise ToolError(
            "Nothing was changed: the file is no longer what was last shown, so that its lines may have other numbers. "
            f"It is now:\n{window}"
        )
    return viewer, document


async def _change(
    context: ToolContext, viewer: Viewer, document: Document, lines: list[str], first: int, last: int, text: str
) -> ToolResult:
    """Replace the lines from `first` to `last`, which may be the one before, by a text."""
    added = _lines_to_add(lines, first, last, text)
    changed = [*lines[: first - 1], *added, *lines[last:]]
    if added and first > 1 and not changed[first - 2].endswith("\n"):
        changed[first - 2] += _ending(lines)
    content = _encoded("".join(changed))
    note = ""
    try:
        problem = await syntax_problem(document.path, content)
        if problem is not None:
            if await syntax_problem(document.path, document.content) is None:
                raise ToolError(_refusal(document, lines, changed, first, last, len(added), problem))
            note = f"[The file was and is not sound, {problem}]\n"
    except NotChecked:
        note = "[The syntax was not checked: the file is too large or too deeply nested.]\n"
    await context.write_file(document.path, content)
    after = Document(document.path, content, changed)
    await viewer.at(context, after)
    done = f"{document.path}: {_counted(last - first + 1)} replaced by {_counted(len(added))}."
    return ToolResult(text=f"{done} It has {len(changed):,} now.\n{note}{_excerpt(changed, first, len(added))}")


def _lines_to_add(lines: list[str], first: int, last: int, text: str) -> list[str]:
    """Return the lines of a text with the endings that the lines around them have."""
    ending = _ending(lines[max(first - 2, 0) : last + 1] or lines)
    if ending == "\r\n":
        text = text.replace("\r\n", "\n").replace("\n", "\r\n")
    added = split_lines(text)
    # Only what comes last may have no ending, if that was so before.
    keeps_open_end = last == len(lines) and bool(lines) and not lines[-1].endswith("\n")
    if added and not added[-1].endswith("\n") and not keeps_open_end:
        added[-1] += ending
    return added


def _ending(lines: list[str]) -> str:
    ends = [line.endswith("\r\n") for line in lines if line.endswith("\n")]
    return "\r\n" if ends and all(ends) else "\n"


def _encoded(text: str) -> bytes:
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        raise ToolError(f"The text cannot be written as UTF-8: {error.reason}.") from None
    if b"\0" in content:
        raise ToolError("The text holds a NUL character.")
    if len(content) > LARGEST_FILE:
        raise ToolError(f"The file would be too large: {len(content):,} bytes, of {LARGEST_FILE:,}.")
    return content


def _refusal(
    document: Document, before: list[str], after: list[str], first: int, last: int, added: int, problem: SyntaxProblem
) -> str:
    return (
        f"Nothing was changed: the edit would break the syntax of {document.path}, {problem}.\n"
        f"With the edit, the lines would be:\n{_excerpt(after, first, added)}"
        f"They are still:\n{_excerpt(before, first, last - first + 1)}"
    )


def _excerpt(lines: list[str], first: int, count: int) -> str:
    """Return some lines with those around them."""
    top = max(first - _AROUND, 1)
    bottom = first + count - 1 + _AROUND
    text, _ = numbered(lines, top, min(bottom, top + _LONGEST_EXCERPT - 1))
    return text or "[empty]\n"


def _counted(count: int) -> str:
    return "1 line" if count == 1 else f"{count:,} lines"
