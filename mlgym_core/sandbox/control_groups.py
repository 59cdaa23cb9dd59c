"""Limits on memory, processes and processor time, and how much of it was used, through control groups.

They are there where this machine lets us make some. Both versions are supported: separate hierarchies (version 1) and
the unified one (version 2), always below the group that we run in ourselves, so that limits set on us hold for what we
start.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlgym_core.specs import Resources

_ROOT = Path("/sys/fs/cgroup")
_PREFIX = "mlgym-"
"""Of the names of groups; the process id of their owner follows."""
_PERIOD_MICROSECONDS = 100_000
"""Processor time is handed out for each such period; it is the kernel's default."""


@dataclass(frozen=True)
class _Hierarchy:
    """Where groups for one limit are made.

    Attributes:
        limit: The limit's name: `memory`, `processes` or `cpu`.
        controller: The kernel's name for it.
        version: Of control groups.
        parent: The folder below which groups are made.
        limit_file: Of a group, with the limit.
        events_file: Of a group, with how often it was reached.
        event: The counter's name there.
    """

    limit: str
    controller: str
    version: int
    parent: Path
    limit_file: str
    events_file: str
    event: str

    def text(self, value: float) -> str:
        """Return what to write into the limit's file."""
        if self.limit != "cpu":
            return str(int(value))
        quota = max(int(value * _PERIOD_MICROSECONDS), 1000)
        return str(quota) if self.version == 1 else f"{quota} {_PERIOD_MICROSECONDS}"


_FILES = {
    # limit: controller, then limit, events and event in version 1, and the same in version 2
    "memory": ("memory", "memory.limit_in_bytes memory.oom_control oom_kill", "memory.max memory.events oom_kill"),
    "processes": ("pids", "pids.max pids.events max", "pids.max pids.events max"),
    "cpu": ("cpu", "cpu.cfs_quota_us cpu.stat nr_throttled", "cpu.max cpu.stat nr_throttled"),
}


@dataclass(frozen=True)
class _Counter:
    """Where groups are made that count processor time.

    Attributes:
        version: Of control groups.
        parent: The folder below which groups are made.
        file: Of a group, with what its processes used, ended ones included.
    """

    version: int
    parent: Path
    file: str

    def seconds(self, text: str) -> float:
        """Return what the file's content says, in seconds.

        Raises:
            ValueError: if it says nothing.
        """
        if self.version == 1:
            return int(text) / 1e9
        return int(dict(line.split() for line in text.splitlines())["usage_usec"]) / 1e6


def counters_of(process: str) -> list[_Counter]:
    """Return where the processor time of a process's groups may be counted, whether or not we may look there.

    Args:
        process: A process id, or `self`.

    Raises:
        OSError: if there is no such process.
    """
    found = []
    for line in Path("/proc", process, "cgroup").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            found.append(_Counter(2, _ROOT / path.lstrip("/"), "cpu.stat"))
        elif "cpuacct" in controllers.split(","):
            folder = _ROOT / controllers if (_ROOT / controllers).is_dir() else _ROOT / "cpuacct"
            found.append(_Counter(1, folder / path.lstrip("/"), "cpuacct.usage"))
    # Where there are both, the tree of version 2 has no controllers, and may not be mounted where it usually is.
    return sorted(found, key=lambda counter: counter.version)


def read_counter(counter: _Counter, group: Path) -> float | None:
    """Return what the processes of a group used, in seconds; None if that cannot be read."""
    try:
        return counter.seconds((group / counter.file).read_text(encoding="ascii"))
    except (OSError, ValueError, KeyError):
        return None


@functools.cache
def _counter() -> _Counter | None:
    """Return where groups can be made that count processor time, or None."""
    try:
        return next((counter for counter in counters_of("self") if _counts(counter)), None)
    except OSError:
        return None


def _counts(counter: _Counter) -> bool:
    if not (counter.parent / "cgroup.procs").exists():
        return False
    probe = counter.parent / f"{_PREFIX}{os.getpid()}-probe-{secrets.token_hex(4)}"
    try:
        probe.mkdir()
    except OSError:
        return False
    try:
        # Where groups can be made, but none of our processes be moved there, nothing would be counted.
        return read_counter(counter, probe) is not None and os.access(probe / "cgroup.procs", os.W_OK)
    finally:
        probe.rmdir()


def processor_time_counter() -> str | None:
    """Return what counts the processor time of groups here, with its version, or None if nothing does."""
    counter = _counter()
    return None if counter is None else f"control group (version {counter.version})"


def _candidates() -> list[_Hierarchy]:
    """Return the hierarchies that we are in ourselves, whether or not we may make groups there."""
    found = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for limit, (controller, first, second) in _FILES.items():
            if controllers == "":
                found.append(_Hierarchy(limit, controller, 2, _ROOT / path.lstrip("/"), *second.split()))
            elif controller in controllers.split(","):
                folder = _ROOT / controllers if (_ROOT / controllers).is_dir() else _ROOT / controller
                found.append(_Hierarchy(limit, controller, 1, folder / path.lstrip("/"), *first.split()))
    return found


@functools.cache
def _hierarchies() -> dict[str, _Hierarchy]:
    """Return the hierarchies in which groups can be made, by the name of the limit."""
    try:
        usable = {hierarchy.limit: hierarchy for hierarchy in _candidates() if _works(hierarchy)}
    except OSError:
        return {}
    for parent in _parents(usable):
        _remove_abandoned(parent)
    return usable


def _parents(hierarchies: Mapping[str, _Hierarchy]) -> set[Path]:
    """Return the folders below which groups are made."""
    counter = _counter()
    return {hierarchy.parent for hierarchy in hierarchies.values()} | (set() if counter is None else {counter.parent})


def remove_abandoned_groups() -> int:
    """Delete the groups of processes of ours that are gone, and return how many there were."""
    return sum(_remove_abandoned(parent) for parent in _parents(_hierarchies()))


def _remove_abandoned(parent: Path) -> int:
    """Delete abandoned groups below `parent`. A group that still has processes cannot be deleted."""
    removed = 0
    for folder in parent.glob(f"{_PREFIX}*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if not Path("/proc", owner).exists():
            with contextlib.suppress(OSError):
                folder.rmdir()
                removed += 1
    return removed


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
        (probe / hierarchy.limit_file).write_text(hierarchy.text(1 << 20 if hierarchy.limit == "memory" else 1))
    except OSError:
        return False
    finally:
        probe.rmdir()
    return True


def usable_controllers() -> Mapping[str, str]:
    """Return which of `memory`, `processes` and `cpu` can be limited here, each with the version that does it."""
    return {limit: f"version {hierarchy.version}" for limit, hierarchy in _hierarchies().items()}


_removable: list[Path] = []
"""Folders of groups that nobody uses any more. Processes with much memory take a while to end."""


def _remove_removable() -> None:
    left = []
    for folder in _removable:
        try:
            folder.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            left.append(folder)
    _removable[:] = left


atexit.register(_remove_removable)


class ControlGroup:
    """A group for the processes of one sandbox.

    Raises:
        OSError: if the group cannot be made.
    """

    def __init__(self, resources: Resources) -> None:
        name = f"{_PREFIX}{os.getpid()}-{secrets.token_hex(8)}"
        limits = {"memory": resources.memory_bytes, "processes": resources.processes, "cpu": resources.cpus}
        self._folders: list[Path] = []
        self._joins = ""
        self._events: dict[str, tuple[Path, str]] = {}
        self._counting: Path | None = None
        self._processor_seconds: float | None = None
        for limit, value in limits.items():
            hierarchy = _hierarchies().get(limit)
            if hierarchy is None or value is None:
                continue
            folder = self._make(hierarchy.parent / name, hierarchy.version)
            (folder / hierarchy.limit_file).write_text(hierarchy.text(value))
            self._events[limit] = (folder / hierarchy.events_file, hierarchy.event)
        if (counter := _counter()) is not None:
            self._counting = self._make(counter.parent / name, counter.version)

    def _make(self, folder: Path, version: int) -> Path:
        """Make the group's folder in a hierarchy, once, and return it."""
        if folder not in self._folders:
            folder.mkdir()
            self._folders.append(folder)
            # A thread that moves itself alone need not wait until the kernel has stopped all forks of the machine,
            # which takes longer than everything else. Version 2 moves whole processes only.
            self._joins += f"echo 0 > {folder}/{'tasks' if version == 1 else 'cgroup.procs'} && "
        return folder

    def joining(self, command: Sequence[str]) -> list[str]:
        """Return a command that joins the group and then becomes `command`."""
        if not self._folders:
            return list(command)
        return ["/bin/sh", "-c", f'{self._joins}exec "$@"', "sh", *command]

    def limits_reached(self) -> dict[str, int]:
        """Return how often each limit was reached.

        That is processes that the kernel ended (`memory`) or refused to start (`processes`), and periods in which
        they would have used more processor time (`cpu`).
        """
        reached = {}
        for name, (file, event) in self._events.items():
            with contextlib.suppress(OSError):
                counts = dict(line.split() for line in file.read_text().splitlines())
                reached[name] = int(counts.get(event, 0))
        return reached

    def processor_seconds(self) -> float | None:
        """Return how much processor time all processes used that were ever in it, in seconds; None if unknown.

        Of a group that was removed, that is what it was then.
        """
        counter = _counter()
        if self._counting is not None and counter is not None:
            found = read_counter(counter, self._counting)
            self._processor_seconds = self._processor_seconds if found is None else found
        return self._processor_seconds

    def remove(self) -> None:
        """Delete the group. As long as it has processes it stays, and is deleted with the next one after they ended."""
        self.processor_seconds()
        self._counting = None
        _removable.extend(self._folders)
        self._folders = []
        _remove_removable()
