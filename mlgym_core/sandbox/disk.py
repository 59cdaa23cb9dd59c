"""A limit on the disk that an agent's files take together.

No file system that an ordinary user can mount keeps such a limit on a folder, so that it is watched, several times a
second, by a thread that does nothing else: what an agent left in the background writes between its commands, too. The
size of a single file is limited by the kernel.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import subprocess
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path

from mlgym_core.sandbox.shell import Shell, ShellResult

_WATCH_SECONDS = 0.2
_IDLE_SECONDS = 1.0
"""How often it is asked whether there is anything that could write between commands."""
_LARGEST_RATE = 4e9
"""Bytes per second that may be written without our looking before the limit could be exceeded."""
_SHARE_OF_LOOKING = 0.1
"""Of the time that may be spent on looking at many files, near the limit."""
_FILE_TOO_LARGE = 128 + signal.SIGXFSZ
"""Exit status of what the kernel ended because its file reached the limit."""


class DiskLimit:
    """Holds the files of an agent to a size, from `begin` to `end`.

    Args:
        limit: In bytes.
        folder: On the file system that the files are on.
        shell: Whose processes are ended.
        areas: Returns the host's paths of what counts, as the sandbox sees it.
        ignored: Returns how many bytes of that do not count.
    """

    def __init__(
        self,
        limit: int,
        folder: Path,
        shell: Shell,
        areas: Callable[[], Sequence[Path]],
        ignored: Callable[[], int] = lambda: 0,
    ) -> None:
        self.limit = limit
        self.used = 0
        self._folder = folder
        self._shell = shell
        self._areas = areas
        self._ignored = ignored
        self._nearly = limit * 7 // 8
        self._slack = limit // 64
        """The kernel may account for a little more even after the last byte was written."""
        self._free = free_bytes(folder)
        self._tolerated = limit
        """What is there already is not what a command writes; but it must not become more."""
        self._runs = False
        self._stopped = False
        self._due = 0.0
        self._earliest = 0.0
        self._looking = threading.Lock()

    def begin(self) -> None:
        """Watch from now on."""
        self.forget()
        _watched.add(self)
        _start_watching()

    def end(self) -> None:
        """Watch no longer."""
        _watched.discard(self)
        with self._looking:  # whoever is at it finishes first
            self._runs = False

    def forget(self) -> None:
        """Look again soon, since the files are others now."""
        self._due = self._earliest = 0.0
        self.used, self._tolerated = 0, self.limit

    async def while_running(self, command: Awaitable[ShellResult]) -> ShellResult:
        """Wait for a command, which is ended if the limit is exceeded and matters get worse.

        The result names the limit `disk` if it is exceeded after the command, or the command was ended for it.
        """
        self._stopped = False
        self._runs = True
        try:
            result = await command
            # Whoever is over the limit is told at once when he no longer is.
            if self.used > self.limit or self._should_look():
                await asyncio.to_thread(self._look, tolerates=True)
        finally:
            self._runs = False
        if self._stopped:
            return result.stopped_at("disk")
        if self.used > self.limit:
            return result.with_limit("disk")
        return result.with_limit("file") if result.exit_code == _FILE_TOO_LARGE else result

    def _should_look(self) -> bool:
        """Return whether the limit may be exceeded: after some time in any case, or if the disk has got fuller.

        Room that is taken at once, without writing, is seen by the latter; the former cannot be hidden by somebody
        else who frees as much as the agent takes.
        """
        now = time.monotonic()
        if now < self._earliest:
            return False
        taken = max(self._free - free_bytes(self._folder), 0)
        if self.used + taken > self._nearly:
            return True
        if now > self._due and not self._runs and not self._shell.background_processes():
            self._due = now + _IDLE_SECONDS
        return now > self._due

    def watch(self) -> None:
        """Look if that may be necessary, and end what writes too much."""
        if self._should_look() and self._look():
            # A loop of the shell's own needs to be told; what runs in the background is just killed.
            self._stopped |= self._shell.expire_soon()
            self._shell.kill_descendants()

    def _look(self, *, tolerates: bool = False) -> bool:
        """Measure, and return whether the limit is exceeded by more than is tolerated.

        Args:
            tolerates: From now on, what is there is tolerated.
        """
        with self._looking:
            began = time.monotonic()
            self._free = free_bytes(self._folder)
            with contextlib.suppress(OSError):  # the sandbox has just ended
                areas = self._areas()
                self.used = max(disk_bytes(areas) - self._ignored(), 0) + _deleted_bytes(self._shell.open_files())
            ended = time.monotonic()
            self._earliest = ended + (ended - began) / _SHARE_OF_LOOKING
            self._due = max(ended + max(self._nearly - self.used, 0) / _LARGEST_RATE, self._earliest)
            present = self.used + self._slack
            self._tolerated = max(self.limit, present if tolerates else min(self._tolerated, present))
            return self.used > self._tolerated


_watched: weakref.WeakSet[DiskLimit] = weakref.WeakSet()
_watcher: tuple[int, threading.Thread] | None = None


def _start_watching() -> None:
    """Start the thread that watches, unless it runs. A forked child has none."""
    global _watcher
    if _watcher is None or _watcher[0] != os.getpid() or not _watcher[1].is_alive():
        _watcher = (os.getpid(), threading.Thread(target=_watch, name="mlgym-disk", daemon=True))
        _watcher[1].start()


def _watch() -> None:
    while limits := list(_watched):
        for limit in limits:
            # One that breaks must not keep the others from being watched.
            with contextlib.suppress(Exception):
                limit.watch()
        del limits
        time.sleep(_WATCH_SECONDS)


os.register_at_fork(after_in_child=_watched.clear)


def free_bytes(folder: Path) -> int:
    """Return how much room the file system of a folder has left."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def disk_bytes(folders: Sequence[Path]) -> int:
    """Return the size on disk of all files below the folders, each counted once, in a tree of any depth."""
    command = ["du", "--summarize", "--total", "--block-size=1", "--no-dereference", "--", *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
    if "cannot read directory" in done.stderr:
        # Folders that their owner has locked himself out of; we are the owner.
        locked = ["find", *map(str, folders), "-type", "d", "!", "-perm", "-u+rx", "-exec", "chmod", "u+rx", "{}", "+"]
        subprocess.run(locked, capture_output=True, check=False)
        done = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
    total = done.stdout.rstrip("\n").rpartition("\n")[2].partition("\t")[0]
    return int(total) if total.isdecimal() else 0


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
