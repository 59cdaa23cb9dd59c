"""A started process with all its descendants, found through `/proc`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from mlgym_core.interfaces import SandboxProcess

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_MAXIMUM_ROUNDS = 100
"""A tree is signalled until a pass finds nothing new; a fork bomb without a limit could go on for ever."""
_TIME_TO_STOP = 0.5
"""Seconds for which processes that are to stop are waited for. What waits for a disk stops later."""
_PAUSE = 0.0002
"""Seconds until one looks again whether they have."""


PROCESS_TABLE = "process table: at least that much, without what ended unseen"
"""What counts processor time where no control group does."""


def processor_seconds_of(process_ids: Iterable[int]) -> float:
    """Return how much processor time processes used, with what they waited for of ended children, in seconds."""
    ticks = 0
    for process_id in process_ids:
        with contextlib.suppress(OSError):  # it has ended meanwhile, and whoever waited for it has its time
            stat = Path("/proc", str(process_id), "stat").read_bytes()
            # User and system time, the process's own and that of children that were waited for.
            ticks += sum(map(int, stat[stat.rindex(b")") + 2 :].split()[11:15]))
    return ticks / _TICKS_PER_SECOND


def all_processes() -> dict[int, tuple[int, int, int]]:
    """Return parent, session and start (in clock ticks since boot) of every process."""
    table = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = Path("/proc", entry, "stat").read_bytes()
        except OSError:
            continue
        # The second field is the program's name in parentheses and may hold anything.
        fields = stat[stat.rindex(b")") + 2 :].split()
        if fields[0] not in (b"Z", b"X"):
            table[int(entry)] = (int(fields[1]), int(fields[3]), int(fields[19]))
    return table


def children_below(process_id: int) -> list[int] | None:
    """Return the process ids of all descendants as the kernel lists them, or None where it does not.

    One that starts another at this moment may be missed.
    """
    found: list[int] = []
    pending = [process_id]
    while pending:
        with contextlib.suppress(OSError):  # it has ended meanwhile
            for listing in Path("/proc", str(pending.pop()), "task").glob("*/children"):
                pending += (children := [int(child) for child in listing.read_text().split()])
                found += children
    return found if found or Path("/proc/self/task", str(os.getpid()), "children").exists() else None


def send_signal(process_id: int, number: signal.Signals) -> None:
    """Send a signal to a process, if it still exists."""
    if process_id <= 0:
        return  # a group of processes, such as our own
    with contextlib.suppress(ProcessLookupError):
        os.kill(process_id, number)


def _has_in_environment(process_id: int, entry: bytes) -> bool:
    try:
        return entry in Path("/proc", str(process_id), "environ").read_bytes().split(b"\0")
    except OSError:
        return False


class ProcessTree(SandboxProcess):
    """A process on this machine and its descendants.

    Args:
        process: What was started.
        root: Process id of the tree's root, if that is not the started process but, say, its child in a
            namespace; everything that loses its parent in that namespace becomes a child of the root.
        cookie: An entry of the process's environment that no other process has. It tells descendants that left both
            their parent and the session, where no namespace holds them.
        counts_processor_time: Whether `processor_seconds` goes on to know what was used before the end. It takes a look
            at all processes then.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        root: int | None = None,
        cookie: bytes | None = None,
        *,
        counts_processor_time: bool = False,
    ) -> None:
        self.counts_processor_time = counts_processor_time
        self._processor_seconds = 0.0
        self._cookie = cookie
        self._process = process
        self._root = process.pid if root is None else root
        self._owner = os.getpid()

    @property
    def root(self) -> int:
        """The process id of the tree's root."""
        return self._root

    def note_processor_time(self) -> None:
        """Take note of what was used so far, as far as the process table shows it, if that is wanted at all."""
        if self.counts_processor_time and self._process.returncode is None:
            everyone = {self._process.pid, self.root, *self.descendants()}
            self._processor_seconds = max(self._processor_seconds, processor_seconds_of(everyone))

    def processor_seconds(self) -> float | None:
        """Return how much processor time was used, in seconds, at least; None if it is not counted.

        What ends without anybody waiting for it, and is not there when somebody looks, is missing.
        """
        self.note_processor_time()
        return self._processor_seconds if self.counts_processor_time else None

    def _descendants(self) -> dict[int, tuple[int, int, int]]:
        table = all_processes()
        # Daemons leave their parent but, unless they go to some length, stay in the session.
        members = {self.root} | {pid for pid, (_, session, _) in table.items() if session == self._process.pid}
        if self._cookie is not None:
            members |= {pid for pid in table if _has_in_environment(pid, self._cookie)}
        children: dict[int, list[int]] = {}
        for pid, (parent, _, _) in table.items():
            children.setdefault(parent, []).append(pid)
        queue = list(members)
        while queue:
            for child in children.get(queue.pop(), ()):
                if child not in members:
                    members.add(child)
                    queue.append(child)
        return {pid: table[pid] for pid in members - {self.root, self._process.pid} if pid in table}

    def descendants(self) -> list[int]:
        return list(self._descendants())

    def open_files(self) -> list[Path]:
        found = []
        for pid in [self.root, *self.descendants()]:
            folder = f"/proc/{pid}/fd"
            with contextlib.suppress(OSError):
                found += [Path(folder, name) for name in os.listdir(folder)]
        return found

    def interrupt(self, since: float) -> None:
        # As a terminal does it: all of the root's group at the same moment. A shell takes an interrupt for its own only
        # if the child that it waits for dies of it, too; a child found by looking around may have ended meanwhile.
        # Background jobs ignore it.
        with contextlib.suppress(ProcessLookupError):
            group = os.getpgid(self.root)
            if group != os.getpgrp():
                os.killpg(group, signal.SIGINT)
        for pid in self._started_after(since):
            send_signal(pid, signal.SIGINT)

    def kill_descendants(self, since: float) -> None:
        for _ in range(_MAXIMUM_ROUNDS):
            doomed = self._started_after(since)
            if not doomed:
                return
            # Stopping them all first keeps a process from starting another while its siblings are being killed.
            for pid in doomed:
                send_signal(pid, signal.SIGSTOP)
            for pid in doomed:
                send_signal(pid, signal.SIGKILL)

    def _started_after(self, since: float) -> list[int]:
        """Return the descendants that are neither older nor descend from an older one."""
        table = self._descendants()
        spared = {pid for pid, (_, _, start) in table.items() if start < int(since * _TICKS_PER_SECOND)}
        return [pid for pid in table if not self._has_ancestor_in(pid, spared, table)]

    @staticmethod
    def _has_ancestor_in(pid: int, spared: set[int], table: dict[int, tuple[int, int, int]]) -> bool:
        while pid in table:
            if pid in spared:
                return True
            pid = table[pid][0]
        return False

    def freeze(self) -> None:
        frozen: set[int] = set()
        for _ in range(_MAXIMUM_ROUNDS):
            fresh = set(self._descendants()) | {self.root}
            if fresh <= frozen:
                return
            for pid in fresh - frozen:
                send_signal(pid, signal.SIGSTOP)
            # One that runs on another processor meanwhile may still write, and start another.
            _wait_until_stopped(fresh - frozen)
            frozen |= fresh

    def thaw(self) -> None:
        for pid in [*self._descendants(), self.root]:
            send_signal(pid, signal.SIGCONT)

    async def kill(self) -> None:
        # A forked child inherits this object; the processes are its parent's.
        if self._process.returncode is not None or self._owner != os.getpid():
            return
        self._kill_now()
        await self.wait()

    def _kill_now(self) -> None:
        self.note_processor_time()
        self.kill_descendants(since=0)
        send_signal(self.root, signal.SIGKILL)
        if self._process.poll() is None:
            self._process.kill()

    async def wait(self) -> int:
        # As long as nobody has asked for its status, the table shows what it and its children used.
        self.note_processor_time()
        if self._process.poll() is None:
            await _wait_for_exit(self._process)
            self.note_processor_time()
            self._process.wait()
        return int(self._process.returncode)


def _wait_until_stopped(process_ids: Iterable[int]) -> None:
    """Wait until processes that were told to stop have done so, each with all of its threads, or have ended."""
    end = time.monotonic() + _TIME_TO_STOP
    for process_id in process_ids:
        while _runs(process_id) and time.monotonic() < end:
            time.sleep(_PAUSE)


def _runs(process_id: int) -> bool:
    for thread in Path("/proc", str(process_id), "task").glob("*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            stat = thread.read_bytes()
            if stat[stat.rindex(b")") + 2 :][:1] not in b"TtZX":
                return True
    return False


async def _wait_for_exit(process: subprocess.Popen[bytes]) -> None:
    if not hasattr(os, "pidfd_open"):
        await asyncio.to_thread(process.wait)
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    descriptor = os.pidfd_open(process.pid)
    try:
        loop.add_reader(descriptor, ended.set)
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
