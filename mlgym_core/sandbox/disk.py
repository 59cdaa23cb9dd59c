"""A limit on the disk that an agent's files take together.

No file system that an ordinary user can mount keeps such a limit on a folder, so that it is watched: after each
command, and several times a second while one runs. The size of a single file is limited by the kernel.
"""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path

from mlgym_core.sandbox.areas import disk_bytes, free_bytes
from mlgym_core.sandbox.shell import Shell, ShellResult

_WATCH_SECONDS = 0.2
_LARGEST_RATE = 4e9
"""Bytes per second that may be written without our looking before the limit could be exceeded."""
_SHARE_OF_LOOKING = 0.1
"""Of the time that may be spent on looking at many files, near the limit."""
_FILE_TOO_LARGE = 128 + signal.SIGXFSZ
"""Exit status of what the kernel ended because its file reached the limit."""


class DiskLimit:
    """Holds the files of an agent to a size.

    Args:
        limit: In bytes.
        folder: On the file system that the files are on.
        areas: The folders that the agent can write to.
        shell: Whose commands are ended.
        carried: Returns the size of what shows through the areas' own files.
    """

    def __init__(
        self, limit: int, folder: Path, areas: Sequence[Path], shell: Shell, carried: Callable[[], int]
    ) -> None:
        self.limit = limit
        self.used = 0
        self._folder = folder
        self._areas = areas
        self._shell = shell
        self._carried = carried
        self._nearly = limit * 7 // 8
        self._free = free_bytes(folder)
        self._due = 0.0
        self._at_start = 0
        self._stopped = False
        self._looking: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle

    async def while_running(self, command: Awaitable[ShellResult]) -> ShellResult:
        """Wait for a command, and end it if the limit is exceeded and it makes matters worse.

        The result names the limit `disk` if it is exceeded after the command.
        """
        self._stopped = False
        self._at_start = self.used
        self._watch_later()
        try:
            result = await command
        finally:
            self._timer.cancel()
            if self._looking is not None:
                await self._looking
        if self._should_look():
            await self._measure()
        if self.used <= self.limit:
            return result.with_limit("disk") if result.exit_code == _FILE_TOO_LARGE else result
        return result.stopped_at("disk") if self._stopped else result.with_limit("disk")

    def forget(self) -> None:
        """Look again after the next command, since the files are others now."""
        self._due = 0.0

    def _watch_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_WATCH_SECONDS, self._watch)

    def _watch(self) -> None:
        if self._should_look() and (self._looking is None or self._looking.done()):
            self._looking = asyncio.get_running_loop().create_task(self._look())
        self._watch_later()

    def _should_look(self) -> bool:
        """Return whether the limit may be exceeded: after some time in any case, or if the disk has got fuller.

        Room that is taken at once, without writing, is seen by the latter; the former cannot be hidden by somebody
        else who frees as much as the agent takes.
        """
        taken = max(self._free - free_bytes(self._folder), 0)
        return time.monotonic() > self._due or self.used + taken > self._nearly

    async def _look(self) -> None:
        await self._measure()
        if self.used > max(self.limit, self._at_start):
            self._stopped |= self._shell.expire()

    async def _measure(self) -> None:
        began = time.monotonic()
        self._free = free_bytes(self._folder)
        self.used = await asyncio.to_thread(self._size)
        ended = time.monotonic()
        unhurried = max(self._nearly - self.used, 0) / _LARGEST_RATE
        self._due = ended + max(unhurried, (ended - began) / _SHARE_OF_LOOKING)

    def _size(self) -> int:
        return disk_bytes(self._areas) + self._carried() + _deleted_bytes(self._shell.open_files())


def _deleted_bytes(open_files: Iterable[Path]) -> int:
    """Return the size of files that have no name any more, but are open."""
    sizes = {}
    for link in open_files:
        try:
            status = link.stat()
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 0 and not _is_in_memory(link):
                sizes[status.st_dev, status.st_ino] = status.st_blocks * 512
        except OSError:
            continue
    return sum(sizes.values())


def _is_in_memory(link: Path) -> bool:
    return os.readlink(link).startswith(("/memfd:", "/dev/", "/SYSV"))
