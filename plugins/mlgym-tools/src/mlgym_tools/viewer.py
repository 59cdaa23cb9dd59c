"""What is open in the viewer of an episode."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mlgym_core import ToolContext, ToolError
from mlgym_tools.documents import Document, numbered
from mlgym_tools.shell import ask, quoted_path

WINDOW = 1000
_VARIABLE = "__mlgym_viewer"


@dataclass(frozen=True)
class Viewer:
    """An open file and the part of it that is shown.

    It is kept in a variable of the episode's shell. So it is gone with the episode, comes along with forks, and goes
    back when a snapshot is restored; tools are shared by all of these. What agents do to the variable harms only them.

    Attributes:
        path: The file's absolute path in the sandbox.
        top: First line that was shown.
        bottom: Last line that was shown.
        digest: Of the content at that time.
    """

    path: str
    top: int
    bottom: int
    digest: str

    @classmethod
    async def current(cls, context: ToolContext) -> Viewer:
        """Return the viewer of an episode.

        Raises:
            ToolError: if no file is open.
        """
        answer = await ask(context, f'builtin printf %s "${{{_VARIABLE}-}}"')
        try:
            viewer: Viewer = _ADAPTER.validate_json(base64.b64decode(answer, validate=True))
        except (ValueError, ValidationError):
            raise ToolError("No file is open. Use open or create first.") from None
        return viewer

    async def keep(self, context: ToolContext) -> None:
        """Make it the viewer of the episode."""
        state: dict[str, Any] = asdict(self)
        word = base64.b64encode(json.dumps(state).encode()).decode()
        await context.run_shell(f"{{ {_VARIABLE}='{word}'; }} 2>/dev/null")

    async def at(self, context: ToolContext, document: Document) -> None:
        """Keep that the document is what was shown last."""
        await replace(self, digest=document.digest).keep(context)


_ADAPTER = TypeAdapter(Viewer)


async def show(context: ToolContext, document: Document, line: int, *, known_digest: str | None = None) -> str:
    """Open a document at a line and return the window.

    Args:
        known_digest: What was shown before of the same file, to say whether it is still so.

    Raises:
        ToolError: if it has no such line.
    """
    count = len(document.lines)
    if not 1 <= line <= max(count, 1):
        raise ToolError(f"{document.path} has no line {line}: it has {count:,} lines.")
    text, last = numbered(document.lines, line, line + WINDOW - 1)
    await Viewer(document.path, line, last, document.digest).keep(context)
    if not count:
        return f"[{document.path} is empty]\n"
    header = f"[{document.path}, lines {line} to {last} of {count}]\n"
    if known_digest is not None and known_digest != document.digest:
        header = f"[The file has changed since it was last shown.]\n{header}"
    if last == count and not document.content.endswith(b"\n"):
        text += "[no newline at the end]\n"
    return header + text


async def absolute_file(context: ToolContext, path: str) -> str:
    """Return the absolute path of a file in the sandbox.

    Raises:
        ToolError: if there is no such file.
    """
    word = quoted_path(path)
    answer = await ask(
        context,
        f"if [ -d {word} ]; then builtin printf d; elif [ -f {word} ]; then builtin printf f; "
        f'elif [ -e {word} ]; then builtin printf s; else builtin printf n; fi; builtin printf %s "$PWD"',
    )
    kind, folder = answer[:1], answer[1:]
    if kind == "d":
        raise ToolError(f"{path} is a folder.")
    if kind == "s":
        raise ToolError(f"{path} is no plain file.")
    if kind != "f":
        raise ToolError(f"There is no file {path}.")
    return path if path.startswith("/") else f"{folder.rstrip('/')}/{path}"
