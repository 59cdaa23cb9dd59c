"""The sandboxes `docker` and `podman`."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import mlgym_sandbox_docker.engine as engines
from mlgym_core.errors import SandboxError
from mlgym_core.interfaces import Sandbox, SandboxLayout, SandboxProcess
from mlgym_sandbox_docker.container import Container, ContainerGoneError, NotStartedError, Receiver
from mlgym_sandbox_docker.engine import EngineName, Unreachable, find_engine
from mlgym_sandbox_docker.image import missing_image
from mlgym_sandbox_docker.pool import start_container
from mlgym_sandbox_docker.process import EngineProcess
from mlgym_sandbox_docker.threads import in_thread

_LIMITS = {"memory": "MemoryLimit", "processes": "PidsLimit", "cpu": "CpuCfsQuota"}
"""What engines say of the limits that they can hold."""


class EngineSandbox(Sandbox):
    """A container, started at the first `spawn`, in which each `spawn` starts a process.

    It has no network unless granted, no capabilities, a read-only root, and an ordinary user.
    """

    capabilities: ClassVar[frozenset[str]] = frozenset({"network", "gpu", "image", "freeze"})
    engine_name: ClassVar[EngineName]

    def __init__(self, layout: SandboxLayout) -> None:
        super().__init__(layout)
        self._container: Container | None = None
        self._processes: list[EngineProcess] = []
        self._has_leader = False
        self._processor_seconds_before: float | None = 0.0
        """What those containers used that are gone."""
        self._lock = threading.Lock()

    @classmethod
    def unavailable_reason(cls) -> str | None:
        return _unavailable_reason(cls.engine_name)

    @classmethod
    def limits(cls) -> Mapping[str, str]:
        engine = find_engine(cls.engine_name)
        if isinstance(engine, Unreachable):
            return {}
        said = engines.engine_information(engine)
        holder = f"control groups of {engine.title} {said.get('ServerVersion', '')}".strip()
        return {limit: holder for limit, key in _LIMITS.items() if said.get(key)}

    @classmethod
    def processor_time_counter(cls) -> str | None:
        if cls.unavailable_reason() is not None or not Path("/sys/fs/cgroup").is_dir():
            return None
        return "control group of the container"

    def processor_seconds(self) -> float | None:
        return _sum(self._processor_seconds_before, self._container)

    @classmethod
    def remove_abandoned(cls) -> Mapping[str, int]:
        import docker

        engine = find_engine(cls.engine_name)
        if isinstance(engine, Unreachable):
            return {}
        try:
            return engines.remove_abandoned(engine)
        except (docker.errors.DockerException, OSError):
            engines.forget_engine(engine)
            return {}

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
        return await in_thread(lambda: self._spawn(command, descriptors, leader), abandoned=EngineProcess.end)

    def _spawn(self, command: Sequence[str], descriptors: Sequence[int], leader: bool) -> EngineProcess:
        try:
            with self._lock:
                process = self._start(command, descriptors, leader)
                self._has_leader |= leader
                if self._has_leader and self._container is not None:
                    # Helpers will follow: whatever reads and writes files for the agent.
                    self._container.start_ahead()
                return process
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _start(self, command: Sequence[str], descriptors: Sequence[int], leader: bool) -> EngineProcess:
        """Start a process, in a new container if the one at hand is gone.

        A leader that cannot begin gets a new one, too: what earlier processes left, such as files in memory, may have
        used up the limits, and without a leader it is of no use to anybody.
        """
        for is_last in (False, True):
            container = self._running_container()
            receiver: Receiver | None = None
            try:
                another = leader and self._has_leader
                receiver = container.start_process(command, descriptors, trusts_waiting=not another)
            except ContainerGoneError:
                # It was ended from outside; what was kept is on the host.
                self._drop_container()
                continue
            except NotStartedError as error:
                if leader and not is_last:
                    self._drop_container()
                    continue
                # Its processes have used up its limits, which is nobody's fault but theirs.
                with contextlib.suppress(OSError):
                    os.write(descriptors[2], f"The process could not be started: {error}\n".encode()[:4000])
            except SandboxError:
                self._drop_container()
                raise
            self._processes = [process for process in self._processes if not process.has_ended]
            process = EngineProcess(container, receiver, self._processes)
            self._processes.append(process)
            return process
        raise SandboxError(f"{command[0]} could not be started: its container ends as soon as it is started.")

    def _running_container(self) -> Container:
        if self._container is not None and not self._container.shows(self.layout):
            self._drop_container()
        if self._container is None:
            engine = find_engine(self.engine_name)
            if isinstance(engine, Unreachable):
                raise SandboxError(engine.reason)
            self._container = start_container(engine, self.layout)
        return self._container

    def _drop_container(self) -> None:
        container, self._container = self._container, None
        self._processes = []
        self._has_leader = False
        if container is not None:
            container.remove()
            self._processor_seconds_before = _sum(self._processor_seconds_before, container)

    async def close(self) -> None:
        await in_thread(self._close)

    def _close(self) -> None:
        with self._lock:
            self._drop_container()


def _sum(before: float | None, container: Container | None) -> float | None:
    """Return the processor time of earlier containers and of one more, in seconds; None if one is unknown."""
    if before is None or container is None:
        return before
    seconds = container.processor_seconds()
    return None if seconds is None else before + seconds


class DockerSandbox(EngineSandbox):
    """Containers of a Docker engine on this machine."""

    engine_name = "docker"


class PodmanSandbox(EngineSandbox):
    """Containers of a Podman engine on this machine, through its Docker-compatible service."""

    engine_name = "podman"


@functools.cache
def _unavailable_reason(name: EngineName) -> str | None:
    engine = find_engine(name)
    if isinstance(engine, Unreachable):
        return engine.reason
    try:
        return missing_image(engine)
    except SandboxError as error:
        return str(error)
