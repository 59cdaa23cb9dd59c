"""What the sandboxes of a process leave on this machine: nothing, once they are closed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mlgym_core.settings import cache_dir
from mlgym_sandbox_docker.engine import Engine, find_engine

CONTROL_GROUPS = Path("/sys/fs/cgroup")


def command_lines() -> Iterator[tuple[int, bytes]]:
    """Yield process id and command line of every process of this machine."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                yield int(entry), Path("/proc", entry, "cmdline").read_bytes()


def bwrap_processes(owner: int) -> list[int]:
    """Return the `bwrap` processes whose arguments name a scratch folder of the process `owner`."""
    own = f"/scratch/{owner}-".encode()
    return [pid for pid, line in command_lines() if own in line and b"bwrap" in line.split(b"\0")[0]]


def docker() -> Engine | None:
    """Return the Docker engine, if one works here."""
    engine = find_engine("docker")
    return engine if isinstance(engine, Engine) else None


def containers(owner: int) -> list[str]:
    """Return the ids of the containers that the process `owner` made."""
    engine = docker()
    if engine is None:
        return []
    listed: list[dict[str, Any]] = engine.client.api.containers(all=True, filters={"label": "mlgym=1"})
    return [str(entry["Id"]) for entry in listed if entry["Labels"]["mlgym.owner"].startswith(f"{owner}:")]


def unused_volumes() -> set[str]:
    """Return the names of the engine's volumes that no container uses."""
    engine = docker()
    if engine is None:
        return set()
    listed: list[dict[str, Any]] | None = engine.client.api.volumes(filters={"dangling": True})["Volumes"]
    return {str(entry["Name"]) for entry in listed or ()}


def scratch_folders(owner: int, cache: Path | None = None) -> list[Path]:
    """Return what lies in the scratch folder of the process `owner`."""
    return sorted((cache or cache_dir()).glob(f"scratch/{owner}-*/*"))


def control_groups(owner: int) -> list[Path]:
    """Return the control groups of the sandboxes of the process `owner`."""
    found = []
    for folder, names, _ in os.walk(CONTROL_GROUPS):
        found += [Path(folder, name) for name in names if name.startswith(f"mlgym-{owner}-")]
    return found


def mounts(owner: int) -> list[str]:
    """Return the mount points of ours that show scratch folders of the process `owner`."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if f"/scratch/{owner}-" in line]


LEFTOVERS: dict[str, Callable[[int], list[Any]]] = {
    "bwrap processes": bwrap_processes,
    "containers": containers,
    "scratch folders": scratch_folders,
    "control groups": control_groups,
    "mounts": mounts,
}


def leftovers(owner: int) -> dict[str, list[Any]]:
    """Return whatever is left of the sandboxes of the process `owner`, by kind."""
    found = {kind: look(owner) for kind, look in LEFTOVERS.items()}
    return {kind: things for kind, things in found.items() if things}
