"""The six basic tools."""

from __future__ import annotations

from mlgym_core.errors import ToolError
from mlgym_core.interfaces import Tool, ToolContext, ToolResult

_LARGEST_FILE = 10 << 20
_DEFAULT_LINES = 1000
_LONGEST_TEXT = 1 << 16


class Bash(Tool):
    """Runs shell commands."""

    async def run(self, context: ToolContext, command: str) -> ToolResult:
        """Run a command in a bash shell that keeps its working directory, variables and functions."""
        return await context.run_shell(command)


class ReadFile(Tool):
    """Shows files."""

    async def run(
        self, context: ToolContext, path: str, first_line: int = 1, lines: int = _DEFAULT_LINES
    ) -> ToolResult:
        """Return a text file, or the part of it that starts at `first_line` and has at most `lines` lines."""
        if first_line < 1 or lines < 1:
            raise ToolError("first_line and lines count from 1.")
        content = await context.read_file(path, _LARGEST_FILE)
        every = content.decode("utf-8", "backslashreplace").splitlines(keepends=True)
        chosen = every[first_line - 1 : first_line - 1 + lines]
        text = "".join(chosen)
        cut = len(text) > _LONGEST_TEXT
        if cut:
            text = text[:_LONGEST_TEXT]
        if cut or len(chosen) < len(every):
            ending = "" if text.endswith("\n") or not text else "\n"
            last = first_line - 1 + text.count("\n") + (not text.endswith("\n"))
            text += f"{ending}[lines {first_line} to {last} of {len(every)}]"
        return ToolResult(text=text, truncated=cut)


class WriteFile(Tool):
    """Writes files."""

    async def run(self, context: ToolContext, path: str, content: str) -> ToolResult:
        """Write a text file, replacing it if it exists; its folder is made if needed."""
        encoded = _encoded(content)
        await context.write_file(path, encoded)
        return ToolResult(text=f"Wrote {len(encoded):,} bytes to {path}.")


class EditFile(Tool):
    """Changes files."""

    async def run(self, context: ToolContext, path: str, old: str, new: str) -> ToolResult:
        """Replace the text `old`, which must occur exactly once in the file, by `new`."""
        if not old:
            raise ToolError("The text to replace is empty. Use write_file to write a whole file.")
        content = await context.read_file(path, _LARGEST_FILE)
        if len(content) >= _LARGEST_FILE:
            raise ToolError(f"{path} is too large to edit: the limit is {_LARGEST_FILE >> 20} MiB.")
        # Bytes that are not UTF-8 come through unchanged.
        before = content.decode("utf-8", "surrogateescape")
        count = before.count(old)
        if count == 0:
            raise ToolError(f"The text to replace does not occur in {path}. It must match exactly, spaces included.")
        if count > 1:
            raise ToolError(
                f"The text to replace occurs {count} times in {path}. Add lines around it until it is unique."
            )
        await context.write_file(path, _encoded(before.replace(old, new)))
        line = before[: before.index(old)].count("\n") + 1
        return ToolResult(text=f"Replaced the text at line {line} of {path}.")


class Validate(Tool):
    """Grades on the validation split."""

    async def run(self, context: ToolContext) -> ToolResult:
        """Grade what is in the workspace on the validation split and return the score. How often is limited."""
        return await context.validate()


class Submit(Tool):
    """Ends the episode."""

    async def run(self, context: ToolContext) -> ToolResult:
        """Submit what is in the workspace for the final grading. This ends the episode."""
        return await context.submit()


def _encoded(text: str) -> bytes:
    """Return a text as UTF-8; surrogates that stand for other bytes become those bytes.

    Raises:
        ToolError: if the text holds other surrogates, or is too large.
    """
    try:
        content = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ToolError(f"The text cannot be written as UTF-8: {error.reason} at character {error.start}.") from None
    if len(content) > _LARGEST_FILE:
        raise ToolError(f"The text is too large: {len(content):,} bytes, of {_LARGEST_FILE:,} at a time.")
    return content
