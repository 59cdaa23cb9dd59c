"""Files and trees of files into a sandbox and out of it, through processes inside: as an agent would see them."""

from __future__ import annotations

import asyncio
import posixpath
import tarfile
import tempfile
from pathlib import Path
from typing import BinaryIO

from mlgym_core.errors import ToolError
from mlgym_core.interfaces import Sandbox
from mlgym_core.sandbox.pipes import Completed, run_process

_SECONDS = 60.0
_TREE_SECONDS = 600.0
# Whoever opens a pipe waits for the other end, which may never come.
_NO_PIPE = 'if [ -p "$1" ]; then echo "$1: It is a pipe" >&2; exit 1; fi; '
_READ = _NO_PIPE + 'exec cat -- "$1"'
_WRITE = _NO_PIPE + 'mkdir -p -- "$2" && cat > "$1"'
_UNPACK = 'mkdir -p -- "$1" && exec tar --extract --no-same-owner --directory "$1"'


async def read_file(sandbox: Sandbox, path: str, max_bytes: int) -> bytes:
    """Return up to `max_bytes` of a file in the sandbox, named by an absolute path.

    Raises:
        ToolError: if it cannot be read.
    """
    done = await run_process(sandbox, ["/bin/sh", "-c", _READ, "sh", path], output_limit=max_bytes, seconds=_SECONDS)
    _check(done, f"{path} cannot be read", may_be_cut_off=True)
    return done.output


async def save_file(sandbox: Sandbox, path: str, output: BinaryIO, max_bytes: int) -> None:
    """Write up to `max_bytes` of a file in the sandbox to `output`, as they come.

    Raises:
        ToolError: if it cannot be read.
    """
    done = await run_process(
        sandbox, ["/bin/cat", "--", path], output_limit=max_bytes, seconds=_TREE_SECONDS, sink=output
    )
    _check(done, f"{path} cannot be read", may_be_cut_off=True)


async def write_file(sandbox: Sandbox, path: str, content: bytes | BinaryIO) -> None:
    """Write a file in the sandbox, named by an absolute path, and make its parent folders.

    Args:
        content: The bytes, or a file of this machine that is read from where it stands.

    Raises:
        ToolError: if it cannot be written.
    """
    done = await run_process(
        sandbox,
        ["/bin/sh", "-c", _WRITE, "sh", path, posixpath.dirname(path)],
        content=content,
        output_limit=4096,
        seconds=_SECONDS if isinstance(content, bytes) else _TREE_SECONDS,
    )
    _check(done, f"{path} cannot be written")


async def upload_tree(sandbox: Sandbox, folder: Path, target: str) -> None:
    """Copy what is in a folder of this machine into the folder `target` of the sandbox, links as links.

    Raises:
        ToolError: if it cannot be written.
    """
    with tempfile.TemporaryFile() as archive:
        await asyncio.to_thread(_pack, folder, archive)
        archive.seek(0)
        done = await run_process(
            sandbox, ["/bin/sh", "-c", _UNPACK, "sh", target], content=archive, output_limit=4096, seconds=_TREE_SECONDS
        )
    _check(done, f"{target} cannot be written")


def _pack(folder: Path, archive: BinaryIO) -> None:
    with tarfile.open(fileobj=archive, mode="w|") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, arcname=path.name)


async def download_tree(sandbox: Sandbox, source: str, folder: Path, max_bytes: int) -> None:
    """Copy what is in the folder `source` of the sandbox into an empty folder of this machine.

    Nothing is written outside of it: links that lead out, devices and the like are refused.

    Raises:
        ToolError: if it cannot be read, is larger than `max_bytes`, or holds what is refused.
    """
    with tempfile.TemporaryFile() as archive:
        command = ["/bin/tar", "--create", "--directory", source, "."]
        done = await run_process(sandbox, command, output_limit=max_bytes, seconds=_TREE_SECONDS, sink=archive)
        if done.cut_off:
            raise ToolError(f"{source} is too large: more than {max_bytes:,} bytes.")
        _check(done, f"{source} cannot be read")
        archive.seek(0)
        try:
            await asyncio.to_thread(_unpack, archive, folder)
        except (tarfile.TarError, OSError) as error:
            raise ToolError(f"{source} cannot be copied: {error}") from None


def _unpack(archive: BinaryIO, folder: Path) -> None:
    with tarfile.open(fileobj=archive, mode="r|") as tar:
        tar.extractall(folder, filter="data")


def _check(done: Completed, failure: str, *, may_be_cut_off: bool = False) -> None:
    """Raise `failure` with the reason unless the process succeeded, or ended because its output was enough."""
    if done.status != 0 and not (may_be_cut_off and done.cut_off):
        # From a message such as `cat: x: No such file or directory`.
        reason = done.error.partition("\n")[0].rpartition(": ")[2].rstrip(".")
        raise ToolError(f"{failure}: {reason or 'it failed without a message'}.")
