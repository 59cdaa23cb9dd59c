"""Folders stacked on one another by the kernel (overlayfs): what is below is seen, and what changes is kept apart."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

LONGEST_OPTIONS = 3500
"""Length that the paths of a stack may have together: the kernel takes one page (4,096 bytes) of options."""
_TARGET = "/tmp"  # noqa: S108 - a path of the sandbox
_PROBE = "read text < file && [ $text = below ] && echo above > file && rm gone && [ ! -e gone ]"
_PATH_PREFIX = len("/oldroot:")
"""What bwrap and the kernel add to each path."""


def work_folder(upper: Path) -> Path:
    """Return the folder that the kernel needs beside the one that takes the changes."""
    return upper.with_name(f"{upper.name}.work")


def stack_is_too_high(layers: tuple[Path, ...], upper: Path) -> bool:
    """Return whether the kernel would not take so many layers with such long paths."""
    paths = (*layers, upper, work_folder(upper))
    return sum(len(str(path).encode()) + _PATH_PREFIX for path in paths) > LONGEST_OPTIONS


@functools.cache
def overlays_work(program: str | None, folder: Path) -> bool:
    """Return whether `program` (bwrap) can stack folders that lie in `folder`.

    That depends on the kernel and on the file system.
    """
    if program is None:
        return False
    probe = Path(tempfile.mkdtemp(prefix="overlay-probe-", dir=folder))
    try:
        lower, upper = probe / "lower", probe / "upper"
        for path in (lower, upper, work_folder(upper)):
            path.mkdir()
        (lower / "file").write_text("below\n")
        (lower / "gone").write_text("below\n")
        stack = ["--overlay-src", str(lower), "--overlay", str(upper), str(work_folder(upper)), _TARGET]
        done = subprocess.run(
            [program, "--unshare-all", "--ro-bind", "/", "/", *stack, "--chdir", _TARGET, "/bin/sh", "-c", _PROBE],
            capture_output=True,
            check=False,
        )
        return done.returncode == 0 and (upper / "file").read_text() == "above\n"
    except OSError:
        return False
    finally:
        # What is in the kernel's own folder can be entered by nobody but root.
        subprocess.run(["chmod", "-R", "u+rwx", str(probe)], check=False, capture_output=True)
        shutil.rmtree(probe, ignore_errors=True)
