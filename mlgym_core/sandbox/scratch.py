"""Temporary folders of episodes and gradings, which go with the process that made them, however it ends."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from mlgym_core.locking import exclusive_lock
from mlgym_core.settings import cache_dir

_roots: dict[int, tuple[Path, int]] = {}


def scratch_folder(purpose: str) -> Path:
    """Return a new empty folder that only this user can enter. Delete it with `remove_scratch`."""
    return Path(tempfile.mkdtemp(prefix=f"{purpose}-", dir=_own_root()))


def scratch_root() -> Path:
    """Return the folder in which this process's scratch folders are; nobody else deletes anything in it."""
    return _own_root()


def _parent() -> Path:
    parent = cache_dir() / "scratch"
    parent.mkdir(mode=0o700, exist_ok=True)
    return parent


def remove_scratch(folder: Path) -> None:
    """Delete a scratch folder, whatever was done in it: folders that nobody may enter, trees of any depth."""
    try:
        shutil.rmtree(folder)
    except (OSError, RecursionError):
        # The system's programs neither recurse nor build long paths.
        for command in (["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
            subprocess.run([*command, "--", str(folder)], check=False, capture_output=True)


def remove_abandoned() -> int:
    """Delete the scratch folders of processes that are gone and return how many there were."""
    parent = _parent()
    with exclusive_lock(parent.with_name("scratch.lock")):
        return _remove_abandoned(parent)


def _own_root() -> Path:
    process_id = os.getpid()
    if process_id not in _roots:
        parent = _parent()
        with exclusive_lock(parent.with_name("scratch.lock")):
            _remove_abandoned(parent)
            root = Path(tempfile.mkdtemp(prefix=f"{process_id}-", dir=parent))
            descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            # Held as long as the process lives, so that others can tell when the folder is nobody's any more.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        _roots.clear()
        _roots[process_id] = (root, descriptor)
        atexit.register(_remove_own, process_id)
    return _roots[process_id][0]


def _remove_own(process_id: int) -> None:
    if process_id == os.getpid() and process_id in _roots:
        remove_scratch(_roots.pop(process_id)[0])


def _remove_abandoned(parent: Path) -> int:
    removed = 0
    for folder in parent.iterdir():
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pass
        else:
            _end_processes_that_name(folder)
            remove_scratch(folder)
            removed += 1
        finally:
            os.close(descriptor)
    return removed


def _end_processes_that_name(folder: Path) -> None:
    """Kill processes whose command line names an abandoned folder.

    Sandboxes end with their runner. One that was just being started when that was killed may not have come to it.
    """
    name = f"{folder}/".encode()
    for entry in os.listdir("/proc") if Path("/proc").is_dir() else ():
        if entry.isdigit():
            with contextlib.suppress(OSError):
                if name in Path("/proc", entry, "cmdline").read_bytes():
                    os.kill(int(entry), signal.SIGKILL)
