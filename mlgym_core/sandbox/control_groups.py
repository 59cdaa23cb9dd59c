"""Limits on memory and processes through control groups, where this machine lets us make some.

Both versions are supported: separate hierarchies (version 1) and the unified one (version 2), always below the
group that we run in ourselves, so that limits set on us hold for what we start.
"""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from mlgym_core.specs import Resources

_ROOT = Path("/sys/fs/cgroup")
_LIMITS = {"memory": "memory", "pids": "processes"}
_PREFIX = "mlgym-"
"""Of the names of groups; the process id of their owner follows."""


@dataclass(frozen=True)
class _Hierarchy:
    """The folder below which groups are made, and the files with the limit and with how often it was reached."""

    controller: str
    parent: Path
    limit_file: str
    events_file: str
    event: str


@functools.cache
def _hierarchies() -> dict[str, _Hierarchy]:
    """Return the usable controllers by name (`pids`, `memory`)."""
    try:
        own = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return {}
    candidates = []
    for line in own:
        _, controllers, path = line.split(":", 2)
        relative = path.lstrip("/")
        if controllers == "":
            candidates += [
                _Hierarchy("pids", _ROOT / relative, "pids.max", "pids.events", "max"),
                _Hierarchy("memory", _ROOT / relative, "memory.max", "memory.events", "oom_kill"),
            ]
        elif controllers == "pids":
            candidates.append(_Hierarchy("pids", _ROOT / "pids" / relative, "pids.max", "pids.events", "max"))
        elif controllers == "memory":
            files = ("memory.limit_in_bytes", "memory.oom_control", "oom_kill")
            candidates.append(_Hierarchy("memory", _ROOT / "memory" / relative, *files))
    usable = {hierarchy.controller: hierarchy for hierarchy in candidates if _works(hierarchy)}
    for hierarchy in usable.values():
        _remove_abandoned(hierarchy.parent)
    return usable


def _remove_abandoned(parent: Path) -> None:
    """Delete the groups of processes of ours that are gone. A group that still has processes cannot be deleted."""
    for folder in parent.glob(f"{_PREFIX}*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if not Path("/proc", owner).exists():
            with contextlib.suppress(OSError):
                folder.rmdir()


def _works(hierarchy: _Hierarchy) -> bool:
    if not (hierarchy.parent / "cgroup.procs").exists():
        return False  # the hierarchy is not mounted where it usually is
    probe = hierarchy.parent / f"{_PREFIX}{os.getpid()}-probe-{secrets.token_hex(4)}"
    try:
        probe.mkdir()
    except OSError:
        return False
    try:
        if not (probe / hierarchy.limit_file).exists():
            # Version 2 shows a limit only once the parent hands the controller down.
            (hierarchy.parent / "cgroup.subtree_control").write_text(f"+{hierarchy.controller}")
        (probe / hierarchy.limit_file).write_text(str(1 << 20))
    except OSError:
        return False
    finally:
        probe.rmdir()
    return True


def usable_controllers() -> frozenset[str]:
    """Return which of `memory` and `pids` can be limited here."""
    return frozenset(_hierarchies())


class ControlGroup:
    """A group for the processes of one sandbox.

    Raises:
        OSError: if the group cannot be made.
    """

    def __init__(self, resources: Resources) -> None:
        name = f"{_PREFIX}{os.getpid()}-{secrets.token_hex(8)}"
        limits = {"memory": resources.memory_bytes, "pids": resources.processes}
        self._folders: list[Path] = []
        self._events: dict[str, tuple[Path, str]] = {}
        for controller, limit in limits.items():
            hierarchy = _hierarchies().get(controller)
            if hierarchy is None or limit is None:
                continue
            folder = hierarchy.parent / name
            if folder not in self._folders:
                folder.mkdir()
                self._folders.append(folder)
            (folder / hierarchy.limit_file).write_text(str(limit))
            self._events[_LIMITS[controller]] = (folder / hierarchy.events_file, hierarchy.event)

    def joining(self, command: list[str]) -> list[str]:
        """Return a command that joins the group and then becomes `command`."""
        if not self._folders:
            return command
        joins = "".join(f"echo $$ > {folder}/cgroup.procs && " for folder in self._folders)
        return ["/bin/sh", "-c", f'{joins}exec "$@"', "sh", *command]

    def limits_reached(self) -> dict[str, int]:
        """Return how often each limit was reached: processes that the kernel ended, or refused to start."""
        reached = {}
        for name, (file, event) in self._events.items():
            with contextlib.suppress(OSError):
                counts = dict(line.split() for line in file.read_text().splitlines())
                reached[name] = int(counts.get(event, 0))
        return reached

    def remove(self) -> None:
        """Delete the group. As long as it has processes it stays: try again, or leave it to the next clean-up."""
        for folder in list(self._folders):
            with contextlib.suppress(OSError):
                folder.rmdir()
                self._folders.remove(folder)
