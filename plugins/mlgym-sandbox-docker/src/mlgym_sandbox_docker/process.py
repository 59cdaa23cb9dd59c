"""A process in a container, as the host sees it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mlgym_core.errors import SandboxError
from mlgym_core.sandbox.process_tree import ProcessTree, all_processes, send_signal
from mlgym_sandbox_docker.container import Container, Receiver
from mlgym_sandbox_docker.owners import is_alive
from mlgym_sandbox_docker.threads import in_thread

_END_SECONDS = 10.0
_CANNOT_BE_STARTED = 126
_SIGNALLED = 128
"""Engines report the end by a signal as this plus the signal's number, as shells do."""


class EngineProcess(ProcessTree):
    """A process in a container, seen from the host, where the engine runs.

    Orphans in a container become children of its first process. They count as descendants of the oldest of the
    processes that were started from outside and still run: an episode's shell, while helpers come and go. So do
    processes that wait, or are about to wait, to become helpers: an agent, who is the same user, might take them over.

    Args:
        container: Where it runs.
        receiver: What became the process, or None if it never ran.
        siblings: Those that were started in the same container before.
    """

    def __init__(self, container: Container, receiver: Receiver | None, siblings: Sequence[EngineProcess]) -> None:
        self._container = container
        self._receiver = receiver
        self._root = 0 if receiver is None else receiver.process_id
        self._namespace = _namespace(self._root)
        self._siblings = list(siblings)
        self._owner = os.getpid()
        # Its container does.
        self.counts_processor_time, self._processor_seconds = False, 0.0
        self._killed = False
        self._status: int | None = _CANNOT_BE_STARTED if receiver is None else None

    @property
    def has_ended(self) -> bool:
        """Whether the process itself is gone."""
        return self._receiver is None or not is_alive(self._root, self._receiver.started)

    def _descendants(self, *, with_helpers: bool = True) -> dict[int, tuple[int, int, int]]:
        table = all_processes()
        children: dict[int, list[int]] = {}
        for pid, (parent, _, _) in table.items():
            children.setdefault(parent, []).append(pid)
        found = _trees([] if self.has_ended else [self._root], children)
        self._siblings = [sibling for sibling in self._siblings if not sibling.has_ended]
        if not self._siblings and self._container.is_running:
            # The oldest child of the first process is the container's own.
            orphans = sorted(children.get(self._container.first_process, ()), key=lambda pid: (table[pid][2], pid))
            inside = {pid for pid in table if self._namespace and _namespace(pid) == self._namespace}
            inside = inside - {self._container.first_process, *orphans[:1]} if with_helpers else set()
            # Except what was started from outside since, and goes on.
            others = [root for root in self._container.roots() if root != self._root]
            found |= _trees([*orphans[1:], *inside], children) - _trees(others, children)
        return {pid: table[pid] for pid in found - {self._root} if pid in table}

    def descendants(self) -> list[int]:
        # What waits to become a helper was not started by an agent, who is told how many go on.
        return list(self._descendants(with_helpers=False))

    def open_files(self) -> list[Path]:
        found = []
        for process_id in [self._root, *self._descendants()] if self._root else ():
            folder = f"/proc/{process_id}/fd"
            with contextlib.suppress(OSError):
                found += [Path(folder, name) for name in os.listdir(folder)]
        return found

    def interrupt(self, since: float) -> None:
        if not self.has_ended:
            super().interrupt(since)

    def freeze(self) -> None:
        # The number 0 of one that never ran would mean our own group. What one that has ended left behind is frozen.
        if self._receiver is not None:
            super().freeze()

    def thaw(self) -> None:
        if self._receiver is not None:
            super().thaw()

    def limits_reached(self) -> Mapping[str, int]:
        return self._container.limits_reached()

    def end(self) -> None:
        """Kill the process and all descendants without waiting."""
        self.kill_descendants(since=0)
        if not self.has_ended:
            send_signal(self._root, signal.SIGKILL)
        self.kill_descendants(since=0)  # what it started meanwhile

    async def kill(self) -> None:
        if self._owner != os.getpid() or self._killed:
            return
        self._killed = True
        # What it started goes even if it has ended itself, as a shell does whose input ends; later kills would end
        # what others have started since.
        self.end()
        await self._wait_for_exit()
        self._disconnect()

    def _disconnect(self) -> None:
        if self._receiver is not None:
            self._receiver.close()

    async def wait(self) -> int:
        if self._status is None:
            await self._wait_for_exit()
            self._status = await in_thread(self._exit_status)
            self._disconnect()
        return self._status

    async def _wait_for_exit(self) -> None:
        if self.has_ended:
            return
        try:
            watch = os.pidfd_open(self._root)
        except ProcessLookupError:
            return
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        try:
            loop.add_reader(watch, ended.set)
            await ended.wait()
        finally:
            loop.remove_reader(watch)
            os.close(watch)

    def _exit_status(self) -> int:
        import docker

        assert self._receiver is not None
        api = self._container.engine.client.api
        limit = time.monotonic() + _END_SECONDS
        pause = 0.001
        try:
            while (details := api.exec_inspect(self._receiver.execution))["Running"] or details["ExitCode"] is None:
                if time.monotonic() > limit:
                    raise SandboxError("The container engine does not notice that a process has ended.")
                time.sleep(pause)
                pause = min(2 * pause, 0.1)
        except (docker.errors.DockerException, OSError):
            return -int(signal.SIGKILL)  # the container is gone, and took the process with it
        status = int(details["ExitCode"])
        number = status - _SIGNALLED
        return -number if number in set(signal.Signals) else status


def _trees(roots: Iterable[int], children: Mapping[int, Sequence[int]]) -> set[int]:
    """Return processes with all their descendants."""
    found: set[int] = set()
    queue = list(roots)
    while queue:
        if (pid := queue.pop()) not in found:
            found.add(pid)
            queue += children.get(pid, ())
    return found


def _namespace(process_id: int) -> str:
    """Return what names the process's namespace of ids, or an empty string if that cannot be told."""
    try:
        return os.readlink(f"/proc/{process_id}/ns/pid")
    except OSError:
        return ""  # it is gone, or another user's, such as the container's own
