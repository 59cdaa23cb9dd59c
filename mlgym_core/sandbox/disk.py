"""A limit on the disk that an agent's files take together.

No file system that an ordinary user can mount keeps such a limit on a folder, so that it is watched: after each
command, and several times a second while one runs. The size of a single file is limited by the kernel.
"""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path

from mlgym_core.sandbox.areas import disk_bytes, free_bytes
from mlgym_core.sandbox.shell import Shell, ShellResult

_WATCH_SECONDS = 0.2
_LONGEST_TRUST_SECONDS = 10.0
_SHARE_OF_LOOKING = 0.01
"""Somebody else who frees as much as the agent writes would hide that. So the files are looked at now and then in any
case, but for no more than this share of the time."""


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
        self._free = free_bytes(folder)
        self._trusted_until = time.monotonic() + _LONGEST_TRUST_SECONDS
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
            return result
        return result.stopped_at("disk") if self._stopped else result.with_limit("disk")

    def _watch_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_WATCH_SECONDS, self._watch)

    def _watch(self) -> None:
        if self._should_look() and (self._looking is None or self._looking.done()):
            self._looking = asyncio.get_running_loop().create_task(self._look())
        self._watch_later()

    def _should_look(self) -> bool:
        """Return whether the limit may be exceeded: what was written since the last look came off the free room."""
        written = max(self._free - free_bytes(self._folder), 0)
        return self.used + written > self.limit * 7 // 8 or time.monotonic() > self._trusted_until

    async def _look(self) -> None:
        await self._measure()
        if self.used > max(self.limit, self._at_start):
            self._stopped = True
            self._shell.expire()

    async def _measure(self) -> None:
        began = time.monotonic()
        self._free = free_bytes(self._folder)
        self.used = await asyncio.to_thread(self._size)
        ended = time.monotonic()
        self._trusted_until = ended + max(_LONGEST_TRUST_SECONDS, (ended - began) / _SHARE_OF_LOOKING)

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
