"""One container: its start, the processes in it, its end."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import time
import weakref
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mlgym_core.errors import SandboxError
from mlgym_core.interfaces import SandboxLayout
from mlgym_core.sandbox.process_tree import send_signal
from mlgym_core.sandbox.scratch import remove_scratch
from mlgym_sandbox_docker.counters import ProcessorTime, limit_counters, read_counters
from mlgym_sandbox_docker.creation import creation_request
from mlgym_sandbox_docker.descriptors import RECEIVER, Connection, DescriptorSender
from mlgym_sandbox_docker.engine import Engine, as_sandbox_error, remove_container
from mlgym_sandbox_docker.folders import (
    forget_shown,
    hand_over,
    identity,
    note_shown,
    process_user,
    put_in_place,
)
from mlgym_sandbox_docker.gpus import GpuLease, has_devices
from mlgym_sandbox_docker.image import provide_image
from mlgym_sandbox_docker.owners import is_alive, start_time
from mlgym_sandbox_docker.stream import open_stream

_START_SECONDS = 30.0
_ANSWER_SECONDS = 10.0
_THREADS = 4
_executor: tuple[int, ThreadPoolExecutor] | None = None
_containers: weakref.WeakSet[Container] = weakref.WeakSet()


class ContainerGoneError(Exception):
    """A container was ended from outside."""


class NotStartedError(Exception):
    """The engine could not start a process in a container that runs, such as one that has used up its limits."""


@dataclass(frozen=True)
class Receiver:
    """A process in a container that waits to become another.

    Attributes:
        execution: The engine's id of it.
        process_id: On this machine.
        started: What tells it from a later process with the same id.
        connection: Through which it is told; None if it ended first.
        stream: What must stay open as long as the process is of interest.
    """

    execution: str
    process_id: int
    started: str
    connection: Connection | None
    stream: socket.socket | None

    def close(self) -> None:
        """Let go of it."""
        for end in (self.connection, self.stream):
            if end is not None:
                end.close()


class Container:
    """A running container with a layout. All methods block.

    Attributes:
        name: By which the engine knows it.
        first_process: Id on this machine of the process that is number 1 in it.
        leftovers: Folders that are deleted with it.

    Raises:
        SandboxError: if it cannot be started.
    """

    def __init__(self, engine: Engine, layout: SandboxLayout) -> None:
        self.engine = engine
        # Chosen here, so that it can be removed even if the engine's answer never came.
        self.name = f"mlgym-{secrets.token_hex(8)}"
        self.leftovers: list[Path] = []
        self._layout = layout
        self._shown = [identity(mount.source) for mount in layout.mounts]
        self._owner = os.getpid()
        self._lease: GpuLease | None = None
        self._alive: socket.socket | None = None
        self._ahead: Future[Receiver] | None = None
        self._begun: list[Receiver] = []
        self._is_removed = False
        self._processor_time: ProcessorTime | None = None
        self._descriptors = DescriptorSender()
        note_shown(self._shown)
        _containers.add(self)
        gpus = 0 if layout.resources is None else layout.resources.gpus
        try:
            if gpus > 0:
                self._lease = GpuLease(gpus)
            hand_over(layout.mounts)
            self._create(layout)
            request = engine.path(f"/containers/{self.name}/attach?stream=1&stdin=1")
            self._alive = open_stream(engine.socket_path, request)
            engine.client.api.start(self.name)
            self.first_process: int = engine.client.api.inspect_container(self.name)["State"]["Pid"]
            if not _is_first_in_namespace(self.first_process):
                raise SandboxError(
                    "The processes of containers cannot be seen here: the engine runs in a virtual machine, or mlgym "
                    "in a container. Run mlgym on the machine of the engine itself."
                )
            if self._lease is not None and not has_devices(self.first_process):
                raise SandboxError(
                    f"The {engine.title} engine gave the container no GPU. Install the NVIDIA Container Toolkit and "
                    "set the engine up for it."
                )
            self._started = start_time(self.first_process)
        except BaseException as error:
            self.remove()
            if isinstance(error, SandboxError):
                raise
            raise as_sandbox_error(engine, "A container could not be started", error) from error
        self._counters = limit_counters(self.first_process)
        self._processor_time = ProcessorTime(self.first_process)

    def _create(self, layout: SandboxLayout) -> None:
        import docker

        api = self.engine.client.api
        devices = [] if self._lease is None else self._lease.devices
        for is_last in (False, True):
            image = provide_image(self.engine, layout)
            request = creation_request(self.engine, image, layout, self._descriptors.folder, devices)
            try:
                api.create_container_from_config(request, self.name)
            except docker.errors.NotFound:
                # It was removed since we looked; it can be had again.
                self.engine.images.clear()
                if is_last:
                    raise
            else:
                return

    @property
    def is_running(self) -> bool:
        """Whether its first process lives."""
        return is_alive(self.first_process, self._started)

    def shows(self, layout: SandboxLayout) -> bool:
        """Return whether the folders that it shows are still those of the layout, and not deleted ones."""
        return self._shown == [identity(mount.source) for mount in layout.mounts]

    def show(self, layout: SandboxLayout) -> None:
        """Make a container that was started on stand-ins show a layout's folders.

        Raises:
            OSError: if that is impossible. The layout's folders are then as they were, and the container is of no use.
        """
        pairs = zip(layout.mounts, self._layout.mounts, strict=True)
        replaced = [(mount, present.source) for mount, present in pairs if mount.source != present.source]
        hand_over([mount for mount, _ in replaced])
        for mount, substitute in replaced:
            put_in_place(mount, substitute)
        forget_shown(self._shown)
        self._layout = layout
        self._shown = [identity(mount.source) for mount in layout.mounts]
        note_shown(self._shown)

    def start_ahead(self, *, wait: bool = False) -> None:
        """Start a process that waits to become another, so that the next one begins at once.

        Raises:
            SandboxError: if it is waited for and cannot be started.
        """
        if self._ahead is not None:
            return
        if not wait:
            with contextlib.suppress(RuntimeError):  # the interpreter is ending
                self._ahead = _background().submit(self._start_receiver)
            return
        self._ahead = Future()
        try:
            self._ahead.set_result(self._start_receiver())
        except (ContainerGoneError, NotStartedError) as error:
            self._ahead = None
            raise SandboxError(f"No process can be started in a new container: {error}") from error

    def waiting(self) -> list[int]:
        """Return the ids on this machine of the processes that were started ahead."""
        ahead = self._ahead
        return [ahead.result().process_id] if ahead is not None and ahead.done() and not ahead.exception() else []

    def roots(self) -> list[int]:
        """Return the ids on this machine of the processes that `start_process` started and that still run."""
        self._begun = [receiver for receiver in self._begun if is_alive(receiver.process_id, receiver.started)]
        return [receiver.process_id for receiver in self._begun]

    def start_process(
        self, command: Sequence[str], descriptors: Sequence[int], *, trusts_waiting: bool = True
    ) -> Receiver:
        """Start a process, and return what it was before it became `command`.

        Args:
            trusts_waiting: Whether one that was started ahead will do, though an agent may have stopped it, or worse.

        Raises:
            ContainerGoneError: if the container does not run.
            NotStartedError: if it is at its limits.
            SandboxError: if the engine fails.
        """
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            with contextlib.suppress(ContainerGoneError, NotStartedError, SandboxError):
                receiver = ahead.result()
                if not trusts_waiting:
                    send_signal(receiver.process_id, signal.SIGKILL)
                elif receiver.connection is not None and receiver.connection.send(command, descriptors):
                    self._begun.append(receiver)
                    return receiver
                receiver.close()  # an agent has ended it
        receiver = self._start_receiver()
        if receiver.connection is None or not receiver.connection.send(command, descriptors):
            receiver.close()
            if not self.is_running:
                raise ContainerGoneError
            raise NotStartedError("it ended before it began")
        self._begun.append(receiver)
        return receiver

    def _start_receiver(self) -> Receiver:
        import docker

        api = self.engine.client.api
        stream = None
        try:
            execution = str(
                api.exec_create(
                    self.name,
                    list(RECEIVER),
                    stdin=True,
                    user=":".join(map(str, process_user())),
                    workdir=self._layout.working_directory,
                )["Id"]
            )
            if self.engine.name == "docker":
                api.exec_start(execution, detach=True)
            else:
                # Podman does not keep the exit status of a process that it started detached.
                request = self.engine.path(f"/exec/{execution}/start")
                stream = open_stream(self.engine.socket_path, request, {"Detach": False, "Tty": False})
            process_id = self._wait_for_start(execution, stream)
            started = start_time(process_id)
            connection = self._descriptors.accept(process_id, lambda: is_alive(process_id, started))
        except BaseException as error:
            if stream is not None:
                stream.close()
            if isinstance(error, docker.errors.APIError):
                if error.status_code in (404, 409) or not self.is_running:
                    raise ContainerGoneError from error
                raise NotStartedError(str(error.explanation)) from error
            if isinstance(error, NotStartedError) and not self.is_running:
                raise ContainerGoneError from error
            if isinstance(error, SandboxError | NotStartedError):
                raise
            raise as_sandbox_error(self.engine, "A process could not be started", error) from error
        return Receiver(execution, process_id, started, connection, stream)

    def _wait_for_start(self, execution: str, stream: socket.socket | None) -> int:
        """Wait until a process runs, and return its id on this machine."""
        limit = time.monotonic() + _START_SECONDS
        pause = 0.002
        while not (details := self.engine.client.api.exec_inspect(execution))["Pid"]:
            if details["ExitCode"]:
                raise NotStartedError(_last_words(stream))
            if time.monotonic() > limit:
                raise SandboxError(f"The container engine did not start a process within {_START_SECONDS:g} s.")
            time.sleep(pause)
            pause = min(1.5 * pause, 0.05)
        return int(details["Pid"])

    def limits_reached(self) -> dict[str, int]:
        """Return how often its processes came up against each limit."""
        return read_counters(self._counters)

    def processor_seconds(self) -> float | None:
        """Return how much processor time all its processes used since it was started; None if unknown.

        Of a container that is gone, that is what was last seen.
        """
        return None if self._processor_time is None else self._processor_time.seconds()

    def remove(self) -> None:
        """End the container and everything in it, and free what it used. Does nothing the second time."""
        if self._owner != os.getpid() or self._is_removed:
            return  # a forked child has a copy of the object; the container is its parent's
        self.processor_seconds()  # the last chance to see it
        self._is_removed = True
        remove_container(self.engine, self.name)
        if self._ahead is not None:
            self._ahead.add_done_callback(_close_receiver)
        self.let_go()
        forget_shown(self._shown)
        self._descriptors.close()
        for folder in self.leftovers:
            remove_scratch(folder)

    def let_go(self) -> None:
        """Close what keeps the container, and the devices that it uses, for this process."""
        if self._alive is not None:
            self._alive.close()
            self._alive = None
        if self._lease is not None:
            self._lease.release()


def _close_receiver(ahead: Future[Receiver]) -> None:
    if not ahead.cancelled() and ahead.exception() is None:
        ahead.result().close()


def _background() -> ThreadPoolExecutor:
    global _executor
    # Threads do not survive a fork, so that a child process needs an executor of its own.
    if _executor is None or _executor[0] != os.getpid():
        _executor = (os.getpid(), ThreadPoolExecutor(_THREADS, thread_name_prefix="mlgym-containers"))
    return _executor[1]


def _let_go_of_all() -> None:
    """Leave the parent's containers to it alone: they must not live as long as its forked child does."""
    for container in list(_containers):
        container.let_go()


os.register_at_fork(after_in_child=_let_go_of_all)


def _last_words(stream: socket.socket | None) -> str:
    """Return what an engine says of a process that it could not start."""
    if stream is not None:
        stream.settimeout(_ANSWER_SECONDS)
        with contextlib.suppress(OSError):
            return stream.recv(4000).decode("utf-8", "backslashreplace").strip()
    return ""


def _is_first_in_namespace(process_id: int) -> bool:
    try:
        status = Path("/proc", str(process_id), "status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    ids = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
    return len(ids) > 1 and ids[-1] == "1"
