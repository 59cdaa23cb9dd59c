"""One container: its settings, its start, its end."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlgym_core.errors import SandboxError
from mlgym_core.interfaces import SandboxLayout
from mlgym_core.settings import cache_dir
from mlgym_core.specs import Resources
from mlgym_sandbox_docker.descriptors import HANDOVER, DescriptorSender
from mlgym_sandbox_docker.engine import Engine, forget_engine
from mlgym_sandbox_docker.gpus import GpuLease
from mlgym_sandbox_docker.image import provide_image
from mlgym_sandbox_docker.owners import LABEL, OWNER_LABEL, own_identity
from mlgym_sandbox_docker.stream import open_stream

PACKAGES = "/opt/packages"
"""Where the layout's packages appear."""
_ORDINARY_USER = 1000
_IDLE_USER = "65534:65534"
"""The first processes of a container belong to somebody else, so that its other processes cannot end them."""
_IDLE_PROGRAM = "/bin/cat"
"""It waits for the end of its input, which is a connection that this process holds: the engine ends the container as
soon as this process is gone, however it ended."""
_TEMPORARY = "/tmp"  # noqa: S108 - a path of the sandbox
_SHARED_MEMORY = "/dev/shm"  # noqa: S108


def process_user() -> tuple[int, int]:
    """Return user and group of a container's processes: ours, so that files stay ours, unless we are root."""
    return (os.getuid(), os.getgid()) if os.getuid() != 0 else (_ORDINARY_USER, _ORDINARY_USER)


class Container:
    """A running container with a layout. All methods block.

    Raises:
        SandboxError: if it cannot be started.
    """

    def __init__(self, engine: Engine, layout: SandboxLayout) -> None:
        self.engine = engine
        self._folders = _identities(layout)
        self._owner = os.getpid()
        self._lease: GpuLease | None = None
        self.descriptors = DescriptorSender()
        self._alive: socket.socket | None = None
        self.id = ""
        resources = layout.resources or Resources()
        try:
            if resources.gpus > 0:
                self._lease = GpuLease(resources.gpus)
            _hand_over(layout)
            self.id = self._create(layout, resources)
            self._alive = open_stream(engine.socket_path, engine.path(f"/containers/{self.id}/attach?stream=1&stdin=1"))
            engine.client.api.start(self.id)
            self.first_process: int = engine.client.api.inspect_container(self.id)["State"]["Pid"]
            if not _is_first_in_namespace(self.first_process):
                raise SandboxError(
                    "The processes of containers cannot be seen here: the engine runs in a virtual machine, or mlgym "
                    "in a container. Run mlgym on the machine of the engine itself."
                )
        except BaseException as error:
            self.remove()
            if isinstance(error, SandboxError):
                raise
            raise as_sandbox_error(engine, "A container could not be started", error) from error

    def _create(self, layout: SandboxLayout, resources: Resources) -> str:
        from docker.types import DeviceRequest, Mount as BindMount, Ulimit

        image = provide_image(self.engine)
        mounts = [
            BindMount(mount.target, str(mount.source), type="bind", read_only=not mount.writable)
            for mount in layout.mounts
        ]
        mounts.append(BindMount(HANDOVER, str(self.descriptors.folder), type="bind", read_only=True))
        if layout.packages is not None:
            mounts.append(BindMount(PACKAGES, str(layout.packages), type="bind", read_only=True))
        targets = {mount.target for mount in layout.mounts}
        options: dict[str, Any] = {
            "cap_drop": ["ALL"],
            "init": True,
            "ipc_mode": "private",
            "log_config": {"type": "none"},
            "mounts": mounts,
            "network_mode": "bridge" if layout.network else "none",
            "read_only": True,
            "security_opt": ["no-new-privileges"],
            "shm_size": layout.temporary_bytes,
        }
        if _TEMPORARY not in targets:
            options["tmpfs"] = {_TEMPORARY: f"rw,exec,nosuid,nodev,mode=1777,size={layout.temporary_bytes}"}
        if resources.memory_bytes is not None:
            options |= {"mem_limit": resources.memory_bytes, "memswap_limit": resources.memory_bytes}
        if resources.processes is not None:
            options["pids_limit"] = resources.processes
        if self._lease is not None:
            options["device_requests"] = [DeviceRequest(device_ids=self._lease.devices, capabilities=[["gpu"]])]
        if self.engine.name == "podman":
            # Its own defaults may be more than its service is allowed to hand down, and then nothing starts.
            files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            processes = min(resource.getrlimit(resource.RLIMIT_NPROC)[1], _largest_process_id())
            options["ulimits"] = [
                Ulimit(name=name, soft=limit, hard=limit) for name, limit in (("nofile", files), ("nproc", processes))
            ]
        api = self.engine.client.api
        host = api.create_host_config(**options)
        host["AutoRemove"] = True
        if self.engine.name == "podman" and os.getuid() != 0:
            host["UsernsMode"] = "keep-id"  # our user inside is our user outside
        created = api.create_container_from_config(
            {
                "Image": image.name,
                "Entrypoint": [_IDLE_PROGRAM],
                "Cmd": [],
                "User": _IDLE_USER,
                "Env": [f"{key}={value}" for key, value in _environment(layout, image.path).items()],
                "Hostname": "sandbox",
                "Labels": {LABEL: "1", OWNER_LABEL: own_identity()},
                "OpenStdin": True,
                "StdinOnce": True,
                "AttachStdin": True,
                "HostConfig": host,
            }
        )
        return str(created["Id"])

    def shows(self, layout: SandboxLayout) -> bool:
        """Return whether the folders that it shows are still those of the layout, and not deleted ones."""
        return self._folders == _identities(layout)

    def control_group_files(self) -> dict[str, tuple[Path, str]]:
        """Return for each limit the file of the kernel that counts how often it was reached, and the counter's name."""
        files = {}
        try:
            lines = Path("/proc", str(self.first_process), "cgroup").read_text(encoding="utf-8").splitlines()
        except OSError:
            return {}
        for line in lines:
            _, controllers, path = line.split(":", 2)
            root = Path("/sys/fs/cgroup")
            if not controllers:
                candidates = {
                    "memory": (root / path[1:] / "memory.events", "oom_kill"),
                    "processes": (root / path[1:] / "pids.events", "max"),
                }
            else:
                candidates = {
                    "memory": (root / "memory" / path[1:] / "memory.oom_control", "oom_kill"),
                    "processes": (root / "pids" / path[1:] / "pids.events", "max"),
                }
                wanted = {"memory": "memory", "pids": "processes"}
                names = {wanted[name] for name in controllers.split(",") if name in wanted}
                candidates = {name: found for name, found in candidates.items() if name in names}
            files.update({name: found for name, found in candidates.items() if found[0].is_file()})
        return files

    def remove(self) -> None:
        """End the container and everything in it, and free what it used. Does nothing the second time."""
        import docker

        if self._owner != os.getpid():
            return  # a forked child has a copy of the object; the container is its parent's
        if self.id:
            with contextlib.suppress(docker.errors.DockerException, OSError):  # it is gone, or the engine is
                self.engine.client.api.remove_container(self.id, force=True, v=True)
            self.id = ""
        if self._alive is not None:
            self._alive.close()
            self._alive = None
        if self._lease is not None:
            self._lease.release()
        self.descriptors.close()


def as_sandbox_error(engine: Engine, what: str, error: BaseException) -> BaseException:
    """Return what to raise for a failed request: a `SandboxError`, unless it is something else altogether."""
    import docker
    import requests

    if isinstance(error, requests.ConnectionError | ConnectionError | FileNotFoundError):
        forget_engine(engine)
        return SandboxError(f"{what}: the {engine.name.capitalize()} engine no longer answers. Start it again.")
    if isinstance(error, docker.errors.DockerException | OSError):
        return SandboxError(f"{what}: {getattr(error, 'explanation', None) or error}")
    return error


def _environment(layout: SandboxLayout, path: str) -> dict[str, str]:
    environment = {
        "PATH": path,
        "HOME": layout.home,
        "USER": "agent",
        "LOGNAME": "agent",
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "TMPDIR": _TEMPORARY,
    }
    if layout.packages is not None:
        environment["PATH"] = f"{PACKAGES}/bin:{path}"
        environment["PYTHONPATH"] = PACKAGES
    return {**environment, **layout.environment}


def _is_first_in_namespace(pid: int) -> bool:
    try:
        status = Path("/proc", str(pid), "status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    ids = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
    return len(ids) > 1 and ids[-1] == "1"


def _largest_process_id() -> int:
    return int(Path("/proc/sys/kernel/pid_max").read_text(encoding="ascii"))


def _identities(layout: SandboxLayout) -> list[tuple[int, int]]:
    statuses = [mount.source.stat() for mount in layout.mounts]
    return [(status.st_dev, status.st_ino) for status in statuses]


def _hand_over(layout: SandboxLayout) -> None:
    """Let the container's user write what is writable and read the rest, if that user is not us.

    Only what lies in our own cache, which nobody else can enter, becomes readable; other folders are left alone.
    """
    user, group = process_user()
    if user == os.getuid():
        return
    cache = cache_dir()
    for mount in layout.mounts:
        if mount.writable:
            for path in _tree(mount.source):
                os.chown(path, user, group, follow_symlinks=False)
        elif cache in mount.source.parents:
            for path in _tree(mount.source):
                mode = path.lstat().st_mode
                wanted = 0o555 if stat.S_ISDIR(mode) else 0o444
                if not stat.S_ISLNK(mode) and mode & wanted != wanted:
                    path.chmod(stat.S_IMODE(mode) | wanted)


def _tree(root: Path) -> Iterator[Path]:
    yield root
    for folder, folders, files in os.walk(root):
        yield from (Path(folder, name) for name in folders + files)
