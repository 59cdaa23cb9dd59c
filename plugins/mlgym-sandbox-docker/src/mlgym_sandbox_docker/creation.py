"""What the engine is asked for when a container is created."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mlgym_core.interfaces import SandboxLayout
from mlgym_core.sandbox.environments import ADDED_PACKAGES, PIP_REFUSAL, write_pip_programs, write_pip_refusal
from mlgym_core.sandbox.stored import stored_folder
from mlgym_core.sandbox.system_view import DATA_FOLDER, outermost
from mlgym_core.specs import Resources
from mlgym_sandbox_docker.builds import PACKAGES
from mlgym_sandbox_docker.descriptors import HANDOVER
from mlgym_sandbox_docker.engine import Engine, hardened
from mlgym_sandbox_docker.folders import process_user
from mlgym_sandbox_docker.image import Image
from mlgym_sandbox_docker.owners import LABEL, OWNER_LABEL, own_identity

_IDLE_USER = "65534:65534"
"""The first processes of a container belong to somebody else, so that its other processes cannot end them."""
_IDLE_PROGRAM = "/bin/cat"
"""It waits for the end of its input, which is a connection that this process holds: the engine ends the container as
soon as this process is gone, however it ended."""
_TEMPORARY = "/tmp"  # noqa: S108 - a path of the sandbox
_PODMAN_FOLDERS = ("/run", "/var/tmp")  # noqa: S108
_NO_PIP = "/opt/no-pip"
_NANO = 10**9


def creation_request(
    engine: Engine, image: Image, layout: SandboxLayout, handover: Path, devices: list[str]
) -> dict[str, Any]:
    """Return the engine's description of a container that shows a layout.

    Args:
        handover: The host's folder with the socket for descriptors.
        devices: Unique ids of the graphics processors that it gets.
    """
    from docker.types import Mount as BindMount

    mounts = [
        BindMount(mount.target, str(mount.source), type="bind", read_only=not mount.writable) for mount in layout.mounts
    ]
    mounts.append(BindMount(HANDOVER, str(handover), type="bind", read_only=True))
    if not layout.network:
        mounts.append(BindMount(_NO_PIP, str(_pip_refusal()), type="bind", read_only=True))
    host = engine.client.api.create_host_config(
        mounts=mounts,
        network_mode="bridge" if layout.network else "none",
        tmpfs=_temporary_folders(engine, image, layout),
        shm_size=layout.temporary_bytes,
        **_limits(layout.resources or Resources()),
        **_devices(devices),
        **hardened(engine),
    )
    host["AutoRemove"] = True
    if engine.name == "podman" and process_user()[0] == os.getuid():
        host["UsernsMode"] = "keep-id"  # our user inside is our user outside
    return {
        "Image": image.id,
        "Entrypoint": [_IDLE_PROGRAM],
        "Cmd": [],
        "User": _IDLE_USER,
        "Env": [f"{key}={value}" for key, value in _environment(layout, image.path).items()],
        "Hostname": "sandbox",
        "Healthcheck": {"Test": ["NONE"]},  # the image's own would run as a process among the agent's
        "Labels": {LABEL: "1", OWNER_LABEL: own_identity()},
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "HostConfig": host,
    }


def _temporary_folders(engine: Engine, image: Image, layout: SandboxLayout) -> dict[str, str]:
    """Return the folders in memory, limited in size: `/tmp`, and what would be a volume without any limit."""
    targets = {mount.target for mount in layout.mounts}
    options = f"rw,exec,nosuid,nodev,mode=1777,size={layout.temporary_bytes}"
    folders = dict.fromkeys((_TEMPORARY, *image.volumes), options)
    hidden = map(str, outermost(map(Path, (DATA_FOLDER, *layout.hidden))))
    folders |= dict.fromkeys(hidden, "ro,nosuid,nodev,noexec,size=4k")
    if engine.name == "podman":
        # Where the root is read-only, it puts folders in memory there, of any size.
        folders |= dict.fromkeys(_PODMAN_FOLDERS, "ro,noexec,nosuid,nodev")
    return {folder: options for folder, options in folders.items() if folder not in targets}


def _limits(resources: Resources) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    if resources.memory_bytes is not None:
        limits |= {"mem_limit": resources.memory_bytes, "memswap_limit": resources.memory_bytes}
    if resources.processes is not None:
        limits["pids_limit"] = resources.processes
    if resources.cpus is not None:
        limits["nano_cpus"] = int(resources.cpus * _NANO)
    return limits


def _devices(devices: list[str]) -> dict[str, Any]:
    from docker.types import DeviceRequest

    return {"device_requests": [DeviceRequest(device_ids=devices, capabilities=[["gpu"]])]} if devices else {}


def _environment(layout: SandboxLayout, path: str) -> dict[str, str]:
    folders = [f"{layout.home}/{ADDED_PACKAGES}/bin"] if layout.network else [f"{_NO_PIP}/bin"]
    modules = [layout.environment.get("PYTHONPATH", "")] if layout.network else [_NO_PIP]
    if layout.packages is not None:
        folders.append(f"{PACKAGES}/bin")
        modules.insert(0, PACKAGES)
    return {
        "HOME": layout.home,
        "USER": "agent",
        "LOGNAME": "agent",
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "TMPDIR": _TEMPORARY,
        **layout.environment,
        "PATH": ":".join([*folders, path]),
        "PYTHONPATH": ":".join(filter(None, modules)),
    }


def _pip_refusal() -> Path:
    """Return a folder with a `pip` that says why it does nothing, whatever the image has."""

    def fill(folder: Path) -> None:
        write_pip_refusal(folder)
        (folder / "bin").mkdir()
        write_pip_programs(folder / "bin")

    return stored_folder("no-pip", PIP_REFUSAL, fill)
