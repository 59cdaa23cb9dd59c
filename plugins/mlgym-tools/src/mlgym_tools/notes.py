"""Notes that are kept for an episode: a file in the sandbox, which the agent may see and change."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pydantic import BaseModel, ValidationError

from mlgym_core import Note, ToolContext, ToolError, check_note
from mlgym_tools.shell import ask

_NAME = "notes.jsonl"
_LARGEST = 1 << 20
_LOOK = (
    f'p="$HOME/{_NAME}"; if [ -L "$p" ]; then builtin printf l; elif [ -f "$p" ]; then builtin printf f; '
    'elif [ -e "$p" ]; then builtin printf s; else builtin printf n; fi; builtin printf %s "$p"'
)


class _Line(BaseModel):
    key: str
    content: str


async def read_notes(context: ToolContext) -> Sequence[Note]:
    """Return the last note of each key, the oldest first. Lines of the file that are no notes are left out.

    Raises:
        ToolError: if the file is something else than a plain one of reasonable size.
    """
    _, written = await _file(context)
    notes: dict[str, Note] = {}
    for line in written.split(b"\n"):
        try:
            found = _Line.model_validate_json(line)
        except ValidationError:
            continue
        notes.pop(found.key, None)
        notes[found.key] = Note(key=found.key, content=found.content, episode_id="", task="")
    return list(notes.values())


async def write_note(context: ToolContext, key: str, content: str) -> None:
    """Add a note to the file.

    Raises:
        ToolError: if it cannot be kept.
    """
    check_note(key, content)
    path, written = await _file(context)
    if written and not written.endswith(b"\n"):
        written += b"\n"
    written += json.dumps({"key": key, "content": content}).encode() + b"\n"
    if len(written) > _LARGEST:
        raise ToolError(f"The memory is full: {path} may have {_LARGEST:,} bytes. Remove lines of it with the shell.")
    await context.write_file(path, written)


async def _file(context: ToolContext) -> tuple[str, bytes]:
    """Return the file's path and what is in it."""
    answer = await ask(context, _LOOK)
    kind, path = answer[:1], answer[1:]
    if not path.startswith("/"):
        raise ToolError("The memory has no place: HOME is not set to a folder.")
    if kind == "n":
        return path, b""
    if kind != "f":
        # A program of the agent's may have put a pipe there that nobody writes to.
        raise ToolError(f"The memory cannot be used: {path} is no plain file. Remove it.")
    written = await context.read_file(path, _LARGEST + 1)
    if len(written) > _LARGEST:
        raise ToolError(f"The memory cannot be used: {path} has more than {_LARGEST:,} bytes. Remove lines of it.")
    return path, written
