"""The sandboxes `docker` and `podman`."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, TypeVar

from mlgym_core.errors import SandboxError
from mlgym_core.interfaces import Sandbox, SandboxLayout, SandboxProcess
from mlgym_core.sandbox.process_tree import ProcessTree, all_processes, send_signal
from mlgym_sandbox_docker.container import Container, as_sandbox_error, process_user
from mlgym_sandbox_docker.descriptors import receiving
from mlgym_sandbox_docker.engine import Engine, EngineName, Unreachable, find_engine
from mlgym_sandbox_docker.image import missing_image
from mlgym_sandbox_docker.stream import open_stream

_Result = TypeVar("_Result")
_START_SECONDS = 30.0
_END_SECONDS = 10.0
_CANNOT_BE_STARTED = 126
_SIGNALLED = 128
"""Engines report the end by a signal as this plus the signal's number, as shells do."""


class EngineSandbox(Sandbox):
    """A container, started at the first `spawn`, in which each `spawn` starts a process.

    It has no network unless granted, no capabilities, a read-only root, and an ordinary user.
    """

    capabilities: ClassVar[frozenset[str]] = frozenset({"network", "freeze"})
    engine_name: ClassVar[EngineName]

    def __init__(self, layout: SandboxLayout) -> None:
        super().__init__(layout)
        self._container: Container | None = None
        self._processes: list[EngineProcess] = []
        self._lock = threading.Lock()

    @classmethod
    def unavailable_reason(cls) -> str | None:
        return _unavailable_reason(cls.engine_name)

    @property
    def python(self) -> tuple[str, ...]:
        return ("python3",)

    def inside(self, source: Path) -> str:
        for mount in self.layout.mounts:
            if source == mount.source or mount.source in source.parents:
                return str(Path(mount.target, source.relative_to(mount.source)))
        raise ValueError(f"No mount of the sandbox shows {source}.")

    async def spawn(
        self,
        command: Sequence[str],
        *,
        stdin: int,
        stdout: int,
        stderr: int,
        leader: bool = False,
    ) -> SandboxProcess:
        # The caller closes its descriptors as soon as this returns or is cancelled.
        descriptors = [os.dup(descriptor) for descriptor in (stdin, stdout, stderr)]
        return await _in_thread(lambda: self._spawn(command, descriptors), abandoned=EngineProcess.end)

    def _spawn(self, command: Sequence[str], descriptors: Sequence[int]) -> EngineProcess:
        try:
            with self._lock:
                container, execution = self._prepare(receiving(command))
                self._processes = [process for process in self._processes if not process.has_ended]
                process = self._start(container, execution, descriptors)
                self._processes.append(process)
                return process
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _start(self, container: Container, execution: str, descriptors: Sequence[int]) -> EngineProcess:
        import docker

        connection = None
        try:
            connection = _start_execution(container.engine, execution)
            pid = _wait_for_start(container.engine, execution)
        except (docker.errors.APIError, _NotStartedError) as error:
            # Such as a container whose processes have used up its limits, which is nobody's fault but theirs.
            if not _exists(container.first_process):
                raise as_sandbox_error(container.engine, "A process could not be started", error) from error
            said = str(getattr(error, "explanation", "")) if connection is None else _last_words(connection)
            with contextlib.suppress(OSError):
                os.write(descriptors[2], f"The process could not be started: {said}\n".encode()[:4000])
            return EngineProcess(container, execution, 0, self._processes)
        except (docker.errors.DockerException, OSError) as error:
            raise as_sandbox_error(container.engine, "A process could not be started", error) from error
        process = EngineProcess(container, execution, pid, self._processes, connection)
        try:
            container.descriptors.send(descriptors, pid, lambda: _exists(pid))
        except SandboxError:
            process.end()
            raise
        return process

    def _prepare(self, command: Sequence[str]) -> tuple[Container, str]:
        """Return a running container, and the id of a process to start in it."""
        import docker

        if self._container is not None and not self._container.shows(self.layout):
            self._container.remove()
            self._container = None
        for attempt in (1, 2):
            if self._container is None:
                engine = find_engine(self.engine_name)
                if isinstance(engine, Unreachable):
                    raise SandboxError(engine.reason)
                self._container = Container(engine, self.layout)
            container = self._container
            try:
                created = container.engine.client.api.exec_create(
                    container.id,
                    list(command),
                    stdin=True,
                    user=":".join(map(str, process_user())),
                    workdir=self.layout.working_directory,
                )
            except (docker.errors.DockerException, OSError) as error:
                # It was ended from outside; what was kept is on the host.
                gone = isinstance(error, docker.errors.APIError) and error.status_code in (404, 409)
                container.remove()
                self._container = None
                if not gone or attempt == 2:
                    raise as_sandbox_error(container.engine, f"{command[0]} could not be started", error) from error
                continue
            return container, str(created["Id"])
        raise AssertionError("the second attempt returns or raises")

    async def close(self) -> None:
        await _in_thread(self._close)

    def _close(self) -> None:
        with self._lock:
            container, self._container = self._container, None
            if container is not None:
                container.remove()
            self._processes = []


class DockerSandbox(EngineSandbox):
    """Containers of a Docker engine on this machine."""

    engine_name = "docker"


class PodmanSandbox(EngineSandbox):
    """Containers of a Podman engine on this machine, through its Docker-compatible service."""

    engine_name = "podman"


class EngineProcess(ProcessTree):
    """A process in a container, seen from the host, where the engine runs.

    Orphans in a container become children of its first process. They count as descendants of the oldest of the
    processes that were started from outside and still run: an episode's shell, while helpers come and go.

    Args:
        container: Where it runs.
        execution: The engine's id of it.
        root: Its process id on the host, or 0 if it never ran.
        siblings: Those that were started in the same container before.
        connection: Kept open as long as the process is of interest.
    """

    def __init__(
        self,
        container: Container,
        execution: str,
        root: int,
        siblings: Sequence[EngineProcess],
        connection: socket.socket | None = None,
    ) -> None:
        self._container = container
        self._execution = execution
        self._root = root
        self._siblings = list(siblings)
        self._connection = connection
        self._owner = os.getpid()
        self._killed = False
        self._status: int | None = None if root else _CANNOT_BE_STARTED

    @property
    def has_ended(self) -> bool:
        """Whether the process itself is gone."""
        return not _exists(self._root)

    def _descendants(self) -> dict[int, tuple[int, int, int]]:
        table = all_processes()
        children: dict[int, list[int]] = {}
        for pid, (parent, _, _) in table.items():
            children.setdefault(parent, []).append(pid)
        first = self._container.first_process
        queue = [self._root] if self._root else []
        self._siblings = [sibling for sibling in self._siblings if not sibling.has_ended]
        if not self._siblings:
            # The first child of the first process is the container's own.
            queue += sorted(children.get(first, ()))[1:]
        found = {}
        while queue:
            pid = queue.pop()
            if pid in table and pid not in found:
                found[pid] = table[pid]
                queue += children.get(pid, ())
        found.pop(self._root, None)
        return found

    def limits_reached(self) -> Mapping[str, int]:
        reached = {}
        for name, (file, counter) in self._container.control_group_files().items():
            with contextlib.suppress(OSError):
                counts = dict(line.split() for line in file.read_text(encoding="ascii").splitlines())
                reached[name] = int(counts.get(counter, 0))
        return reached

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
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def wait(self) -> int:
        if self._status is None:
            await self._wait_for_exit()
            self._status = await _in_thread(self._exit_status)
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

        api = self._container.engine.client.api
        limit = time.monotonic() + _END_SECONDS
        pause = 0.001
        try:
            while (details := api.exec_inspect(self._execution))["Running"] or details["ExitCode"] is None:
                if time.monotonic() > limit:
                    raise SandboxError("The container engine does not notice that a process has ended.")
                time.sleep(pause)
                pause = min(2 * pause, 0.1)
        except (docker.errors.DockerException, OSError):
            return -int(signal.SIGKILL)  # the container is gone, and took the process with it
        status = int(details["ExitCode"])
        number = status - _SIGNALLED
        return -number if number in set(signal.Signals) else status


class _NotStartedError(Exception):
    """The engine tried, and could not start a process."""


def _exists(pid: int) -> bool:
    try:
        stat = Path("/proc", str(pid), "stat").read_bytes()
    except OSError:
        return False
    return stat[stat.rindex(b")") + 2 :][:1] not in (b"Z", b"X")


def _start_execution(engine: Engine, execution: str) -> socket.socket | None:
    """Start a process that was created, and return the connection that must stay open, if any."""
    if engine.name == "docker":
        engine.client.api.exec_start(execution, detach=True)
        return None
    # Podman does not keep the exit status of a process that it started detached.
    request = engine.path(f"/exec/{execution}/start")
    return open_stream(engine.socket_path, request, {"Detach": False, "Tty": False})


def _last_words(connection: socket.socket) -> str:
    """Return what an engine says of a process that it could not start, and close the connection."""
    with connection:
        connection.settimeout(_END_SECONDS)
        with contextlib.suppress(OSError):
            return connection.recv(4000).decode("utf-8", "backslashreplace").strip()
    return ""


def _wait_for_start(engine: Engine, execution: str) -> int:
    """Wait until a process runs, and return its id on this machine."""
    limit = time.monotonic() + _START_SECONDS
    pause = 0.002
    while not (details := engine.client.api.exec_inspect(execution))["Pid"]:
        if details["ExitCode"]:
            raise _NotStartedError
        if time.monotonic() > limit:
            raise SandboxError(f"The container engine did not start a process within {_START_SECONDS:g} s.")
        time.sleep(pause)
        pause = min(1.5 * pause, 0.05)
    return int(details["Pid"])


async def _in_thread(function: Callable[[], _Result], abandoned: Callable[[_Result], None] | None = None) -> _Result:
    """Run a blocking function in a thread; if the caller is cancelled, `abandoned` gets the result."""
    future = asyncio.get_running_loop().run_in_executor(None, function)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if abandoned is not None:

            def dispose(done: asyncio.Future[_Result]) -> None:
                if not done.cancelled() and done.exception() is None:
                    abandoned(done.result())

            future.add_done_callback(dispose)
        raise


@functools.cache
def _unavailable_reason(name: EngineName) -> str | None:
    engine = find_engine(name)
    return engine.reason if isinstance(engine, Unreachable) else missing_image(engine)
