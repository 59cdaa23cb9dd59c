"""Notes that episodes of a run share: a file of JSON lines for each agent and model, in the run's folder."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from mlgym_core.errors import ToolError
from mlgym_core.ids import slug
from mlgym_core.interfaces import Note, SharedNotes
from mlgym_core.locking import exclusive_lock

NOTES_SCHEMA = "mlgym.notes/1"
LONGEST_KEY = 100
"""In characters."""
LARGEST_NOTE = 16 << 10
"""In bytes of UTF-8."""
LARGEST_FILE = 1 << 20
"""In bytes: what all notes of an agent and model may take, those that were replaced included."""


def check_note(key: str, content: str) -> None:
    """Check that a note can be kept.

    Raises:
        ToolError: if it is empty, too long, or no text.
    """
    if not key.strip() or not content.strip():
        raise ToolError("A note needs a key and a content.")
    if len(key) > LONGEST_KEY or not key.isprintable():
        raise ToolError(f"The key is not usable: write up to {LONGEST_KEY} printable characters in one line.")
    try:
        size = len(content.encode())
    except UnicodeEncodeError:
        raise ToolError("The note holds a character that UTF-8 does not have.") from None
    if size > LARGEST_NOTE:
        raise ToolError(f"The note is too long: {size:,} bytes, of {LARGEST_NOTE:,}. Write down what matters of it.")


class NotesFile(SharedNotes):
    """The shared notes as one episode sees them.

    A note is a line, which is only ever appended, by one writer at a time. It is there whole or not at all.

    Args:
        run_folder: The run's folder; the notes lie in `notes`.
        agent: Only episodes of the same agent and model share notes.
        model: See `agent`.
        episode_id: The episode that writes.
        task: Its task.
    """

    def __init__(self, run_folder: Path, *, agent: str | None, model: str | None, episode_id: str, task: str) -> None:
        digest = hashlib.sha256(json.dumps([agent, model]).encode()).hexdigest()[:8]
        name = slug(agent or "") or "notes"
        self._path = run_folder / "notes" / f"{name}-{digest}.jsonl"
        self._episode_id = episode_id
        self._task = task

    async def read(self) -> Sequence[Note]:
        return await asyncio.to_thread(self._read)

    async def write(self, key: str, content: str) -> None:
        check_note(key, content)
        await asyncio.to_thread(self._append, key, content)

    def _read(self) -> list[Note]:
        try:
            with self._path.open("rb") as file:
                written = file.read(LARGEST_FILE)
        except FileNotFoundError:
            return []
        notes: dict[str, Note] = {}
        for line in written.split(b"\n"):
            try:
                fields = json.loads(line)
                note = Note(**{name: str(fields[name]) for name in ("key", "content", "episode_id", "task")})
            except (ValueError, KeyError, TypeError):
                # A full disk or a machine that went down leaves a part of a line.
                continue
            notes.pop(note.key, None)
            notes[note.key] = note
        return list(notes.values())

    def _append(self, key: str, content: str) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        note = {"key": key, "content": content, "episode_id": self._episode_id, "task": self._task}
        line = json.dumps({"schema": NOTES_SCHEMA, "written_at": round(time.time(), 3), **note}).encode() + b"\n"
        with exclusive_lock(self._path.with_suffix(".lock")), self._path.open("ab+", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(size - 1)
                # Not even a line that was cut off may take the next one with it.
                line = line if file.read(1) == b"\n" else b"\n" + line
            if size + len(line) > LARGEST_FILE:
                raise ToolError(
                    f"The memory is full: all notes of the run together may take {LARGEST_FILE:,} bytes. "
                    "Go on with those that are there."
                )
            file.write(line)
            os.fsync(file.fileno())
