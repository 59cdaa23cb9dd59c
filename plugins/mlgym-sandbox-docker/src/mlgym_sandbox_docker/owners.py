"""Whose a container is, so that those of processes that are gone can be removed."""

from __future__ import annotations

import os
from pathlib import Path

LABEL = "mlgym"
OWNER_LABEL = "mlgym.owner"
"""Of containers."""
BUILDER_LABEL = "mlgym.builder"
"""Of images: another name, since containers inherit the labels of their image."""


def own_identity() -> str:
    """Return what tells this process from every other: id, start time, boot of the machine, namespace of the id."""
    process_id = os.getpid()
    return f"{process_id}:{start_time(process_id)}:{_boot()}:{_namespace()}"


def is_gone(owner: str) -> bool:
    """Return whether the process with an identity has certainly ended.

    Of a process in another container that runs on the same machine nothing is known.
    """
    try:
        process_id, start, boot, namespace = owner.split(":")
    except ValueError:
        return False
    if boot != _boot():
        return True
    return namespace == _namespace() and start_time(int(process_id)) != start


def start_time(process_id: int) -> str:
    """Return when a process started, in clock ticks since boot, or an empty string if there is none."""
    try:
        stat = Path("/proc", str(process_id), "stat").read_bytes()
    except OSError:
        return ""
    # The second field is the program's name in parentheses and may hold anything.
    return stat[stat.rindex(b")") + 2 :].split()[19].decode()


def is_alive(process_id: int, start: str) -> bool:
    """Return whether the process with this id that started then still runs."""
    try:
        stat = Path("/proc", str(process_id), "stat").read_bytes()
    except OSError:
        return False
    fields = stat[stat.rindex(b")") + 2 :].split()
    return fields[0] not in (b"Z", b"X") and fields[19].decode() == start


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return ""
