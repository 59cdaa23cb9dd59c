"""The machine: how much of it there is to be used, and what a run says of it, so that its times can be read."""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path
from typing import Any


def usable_processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_machine() -> dict[str, Any]:
    """Return the processor's name, how many of them this process may use, and the memory in bytes."""
    return {
        "processor": _processor_name() or platform.machine(),
        "processors": usable_processors(),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
    }


def _processor_name() -> str | None:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return None
