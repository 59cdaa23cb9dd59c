"""The tools that show files."""

from __future__ import annotations

from mlgym_core import Tool, ToolContext, ToolError, ToolResult
from mlgym_tools.documents import Document
from mlgym_tools.shell import ask, quoted_path
from mlgym_tools.viewer import WINDOW, Viewer, absolute_file, show


class Open(Tool):
    """Opens files."""

    async def run(self, context: ToolContext, path: str, line: int = 1) -> ToolResult:
        """Open a file in the viewer and show 1,000 lines of it, from `line` on, with their numbers."""
        document = await Document.read(context, await absolute_file(context, path))
        return ToolResult(text=await show(context, document, line))


class Goto(Tool):
    """Moves the window to a line."""

    async def run(self, context: ToolContext, line: int) -> ToolResult:
        """Show 1,000 lines of the open file, from `line` on."""
        viewer = await Viewer.current(context)
        document = await Document.read(context, viewer.path)
        return ToolResult(text=await show(context, document, line, known_digest=viewer.digest))


class ScrollUp(Tool):
    """Moves the window up."""

    async def run(self, context: ToolContext) -> ToolResult:
        """Show the 1,000 lines of the open file above those that are shown."""
        viewer = await Viewer.current(context)
        document = await Document.read(context, viewer.path)
        if viewer.top <= 1 and viewer.digest == document.digest:
            raise ToolError("The first line is already shown.")
        line = min(max(viewer.top - WINDOW, 1), max(len(document.lines), 1))
        return ToolResult(text=await show(context, document, line, known_digest=viewer.digest))


class ScrollDown(Tool):
    """Moves the window down."""

    async def run(self, context: ToolContext) -> ToolResult:
        """Show the 1,000 lines of the open file below those that are shown."""
        viewer = await Viewer.current(context)
        document = await Document.read(context, viewer.path)
        if viewer.bottom >= len(document.lines) and viewer.digest == document.digest:
            raise ToolError("The last line is already shown.")
        line = max(min(viewer.bottom + 1, len(document.lines)), 1)
        return ToolResult(text=await show(context, document, line, known_digest=viewer.digest))


class Create(Tool):
    """Makes files."""

    async def run(self, context: ToolContext, path: str) -> ToolResult:
        """Make an empty file, and its folder if needed, and open it. It must not exist yet."""
        word = quoted_path(path)
        if await ask(context, f"if [ -e {word} ] || [ -L {word} ]; then builtin printf yes; fi"):
            raise ToolError(f"{path} exists already. Use open.")
        await context.write_file(path, b"")
        document = await Document.read(context, await absolute_file(context, path))
        return ToolResult(text=await show(context, document, 1))
