"""Leases on graphics processors: no two sandboxes on this machine use the same one."""

from __future__ import annotations

import fcntl
import os
import subprocess

from mlgym_core.errors import SandboxError
from mlgym_core.settings import cache_dir

SHARING_VARIABLE = "MLGYM_GPU_SHARING"
"""`1`, for all processes that lease graphics processors: a device may be leased more than once."""


def _devices() -> list[str]:
    """Return the devices that this process may use, by unique id."""
    try:
        listing = subprocess.run(
            ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise SandboxError(f"The task needs a GPU, and nvidia-smi does not list any ({error}).") from error
    by_index = dict(line.replace(" ", "").split(",", 1) for line in listing.splitlines() if "," in line)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return list(by_index.values())
    wanted = [name.strip() for name in visible.split(",")]
    return [uuid for index, uuid in by_index.items() if index in wanted or uuid in wanted]


def has_devices(process_id: int) -> bool:
    """Return whether a process, which may be in a container, sees any device; True if that cannot be told."""
    try:
        names = os.listdir(f"/proc/{process_id}/root/dev")
    except OSError:
        return True  # it belongs to another user, as in containers of engines that others run
    return any(name.startswith("nvidia") or name == "dxg" for name in names)


class GpuLease:
    """The exclusive use of some devices, until `release` or the end of this process.

    With `MLGYM_GPU_SHARING=1` the devices may also be leased by others.

    Args:
        count: How many.

    Attributes:
        devices: Their unique ids.

    Raises:
        SandboxError: if there are not as many, or too few are free.
    """

    def __init__(self, count: int) -> None:
        self.devices: list[str] = []
        self._locks: list[int] = []
        present = _devices()
        if len(present) < count:
            raise SandboxError(f"The task needs {count} GPUs, and there are {len(present)}.")
        shared = os.environ.get(SHARING_VARIABLE) == "1"
        folder = cache_dir() / "gpu-leases"
        folder.mkdir(exist_ok=True)
        for device in present:
            if len(self.devices) == count:
                break
            lock = os.open(folder / device, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            self._locks.append(lock)
            self.devices.append(device)
        if len(self.devices) < count:
            free = len(self.devices)
            self.release()
            raise SandboxError(
                f"The task needs {count} GPUs, of {len(present)} only {free} are free: other sandboxes use them. "
                f"Run fewer episodes at once, or let them share with {SHARING_VARIABLE}=1."
            )

    def release(self) -> None:
        """Let others have the devices. Does nothing the second time."""
        for lock in self._locks:
            os.close(lock)
        self._locks = []
