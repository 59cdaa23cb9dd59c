"""The folders that an agent can write to, as layers that snapshots and forks share."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import weakref
from collections.abc import Iterable
from pathlib import Path

from mlgym_core.errors import SandboxError
from mlgym_core.sandbox.overlays import work_folder
from mlgym_core.sandbox.scratch import remove_scratch, scratch_folder

AREAS = ("workspace", "home", "tmp")
"""Names of the folders."""


class Layer:
    """Folders of that name which change no more; deleted when nobody refers to the layer any longer.

    Attributes:
        folder: On the host, with a folder for each area in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        weakref.finalize(self, _remove_in, os.getpid(), folder)

    @classmethod
    def of_changes(cls, folder: Path) -> Layer:
        """Take the areas in `folder` away as a layer, and put empty ones there."""
        layer = cls(scratch_folder("layer"))
        for name in AREAS:
            mode = (folder / name).stat().st_mode
            (folder / name).rename(layer.folder / name)
            (folder / name).mkdir()
            (folder / name).chmod(mode & 0o7777)
            remove_work_folder(folder / name)
        return layer

    @functools.cached_property
    def filled(self) -> frozenset[str]:
        """Names of the areas in which there is anything; the others need not be shown."""
        return frozenset(name for name in AREAS if not is_empty([self.folder / name]))


def _remove_in(process_id: int, folder: Path) -> None:
    # A forked child drops its copy of the object; the folder is its parent's.
    if process_id == os.getpid():
        remove_scratch(folder)


def remove_work_folder(area: Path) -> None:
    """Delete the kernel's own folder beside an area, if there is one."""
    if work_folder(area).exists():
        remove_scratch(work_folder(area))


def copy_area(source: Path, destination: Path) -> None:
    """Copy the contents of a folder into another, links as links, sharing blocks where the file system can.

    Raises:
        SandboxError: if something cannot be copied.
    """
    # Whoever owns a folder may have locked himself out of it; we are the owner.
    with contextlib.suppress(OSError):
        source.chmod(source.stat().st_mode | 0o700)
    command = ["cp", "--archive", "--reflink=auto", "--no-target-directory", "--", f"{source}/.", str(destination)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SandboxError(f"The agent's files could not be copied: {done.stderr.strip()[-500:]}")


def is_empty(areas: Iterable[Path]) -> bool:
    """Return whether there is nothing in any of the folders."""
    for area in areas:
        with os.scandir(area) as entries:
            if next(entries, None) is not None:
                return False
    return True
