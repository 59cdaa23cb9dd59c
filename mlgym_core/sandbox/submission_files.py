"""Copying what the agent hands in out of its workspace, without being led anywhere else."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from mlgym_core.errors import InvalidSubmission
from mlgym_core.interfaces import SubmissionFile

_CHUNK_BYTES = 1 << 20


def copy_submission(workspace: Path, files: Sequence[SubmissionFile], destination: Path) -> None:
    """Copy the declared files from `workspace` to the empty folder `destination`.

    No symbolic link is followed, in any part of a path, and nothing but regular files is read.

    Raises:
        InvalidSubmission: if a required file is missing, or a file is not a plain file or too large.
    """
    root = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for file in files:
            _copy_file(root, file, destination)
    finally:
        os.close(root)


def _copy_file(root: int, file: SubmissionFile, destination: Path) -> None:
    try:
        descriptor = _open_beneath(root, file.path.split("/"))
    except FileNotFoundError:
        if file.required:
            raise InvalidSubmission(f"There is no {file.path} in the workspace.") from None
        return
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            reason = "is or lies behind a symbolic link; put the file itself there"
        elif error.errno == errno.ENOTDIR:
            reason = "lies behind something that is not a folder"
        else:
            reason = f"cannot be read ({error.strerror})"
        raise InvalidSubmission(f"{file.path} {reason}.") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidSubmission(f"{file.path} is not a regular file.")
        if status.st_size > file.max_bytes:
            raise InvalidSubmission(
                f"{file.path} is too large: {status.st_size:,} bytes, of {file.max_bytes:,} that are allowed."
            )
        target = destination / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as output:
            left = file.max_bytes
            while left > 0 and (chunk := os.read(descriptor, min(left, _CHUNK_BYTES))):
                output.write(chunk)
                left -= len(chunk)
        target.chmod(0o644)
    finally:
        os.close(descriptor)


def _open_beneath(root: int, parts: Sequence[str]) -> int:
    """Open a file for reading by its path below the folder `root`, without following any link."""
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError("A submission file is named by a plain relative path.")
    folder = os.dup(root)
    try:
        for part in parts[:-1]:
            deeper = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = deeper
        # Opening a named pipe must not wait for its writer, nor a device do anything.
        return os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY, dir_fd=folder)
    finally:
        os.close(folder)
