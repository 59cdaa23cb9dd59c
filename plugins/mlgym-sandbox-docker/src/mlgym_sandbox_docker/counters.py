"""What a container's processes used, and how often they came up against its limits, as the kernel counts it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from mlgym_core.sandbox.control_groups import counters_of, read_counter

_ROOT = Path("/sys/fs/cgroup")
_LIMITS = {"memory": "memory", "pids": "processes", "cpu": "cpu"}
"""What the kernel's controllers limit, by the names that sandboxes use."""
_UNIFIED = {
    "memory": ("memory.events", "oom_kill"),
    "processes": ("pids.events", "max"),
    "cpu": ("cpu.stat", "nr_throttled"),
}
"""For each limit the file that counts, and the name of the count, in version 2 of control groups."""
_SEPARATE = {**_UNIFIED, "memory": ("memory.oom_control", "oom_kill")}
"""The same in version 1, where each controller has its own tree."""


def limit_counters(process_id: int) -> dict[str, tuple[Path, str]]:
    """Return for each limit the file that counts for a process's control group, and the name of the count."""
    counters: dict[str, tuple[Path, str]] = {}
    try:
        lines = Path("/proc", str(process_id), "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers:
            for controller in controllers.split(","):
                if (limit := _LIMITS.get(controller)) is not None:
                    file, count = _SEPARATE[limit]
                    _add(counters, limit, _ROOT / controllers / path[1:] / file, count)
                    _add(counters, limit, _ROOT / controller / path[1:] / file, count)
        else:
            for limit, (file, count) in _UNIFIED.items():
                _add(counters, limit, _ROOT / path[1:] / file, count)
    return counters


def _add(counters: dict[str, tuple[Path, str]], limit: str, file: Path, count: str) -> None:
    if file.is_file():
        counters[limit] = (file, count)


def read_counters(counters: Mapping[str, tuple[Path, str]]) -> dict[str, int]:
    """Return the counts; those of a group that is gone are left out."""
    counts = {}
    for limit, (file, name) in counters.items():
        with contextlib.suppress(OSError):
            lines = dict(line.split() for line in file.read_text(encoding="ascii").splitlines())
            counts[limit] = int(lines.get(name, 0))
    return counts


class ProcessorTime:
    """The processor time of a container's control group, where it can be seen from here.

    Args:
        process_id: The container's first process, on this machine.
    """

    def __init__(self, process_id: int) -> None:
        self._seconds: float | None = None
        try:
            candidates = counters_of(str(process_id))
        except OSError:
            candidates = []
        self._counter = next((one for one in candidates if read_counter(one, one.parent) is not None), None)

    def seconds(self) -> float | None:
        """Return what was used so far; of a group that is gone, what was last seen; None if that is nothing."""
        if self._counter is not None:
            found = read_counter(self._counter, self._counter.parent)
            self._seconds = self._seconds if found is None else found
        return self._seconds
