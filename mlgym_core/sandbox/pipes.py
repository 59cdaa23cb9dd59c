"""Reading the pipes of child processes without blocking the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from mlgym_core.interfaces import Sandbox

_CHUNK_BYTES = 1 << 18


def content_file(content: bytes) -> BinaryIO:
    """Return an anonymous file that holds `content`, at its start: standard input that nobody has to feed."""
    file: BinaryIO
    if hasattr(os, "memfd_create"):
        file = os.fdopen(os.memfd_create("mlgym"), "w+b")
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    file.write(content)
    file.flush()
    file.seek(0)
    return file


def resolve(future: asyncio.Future[None]) -> None:
    """Mark a future as done, for callbacks that may be called more than once."""
    if not future.done():
        future.set_result(None)


async def readable(descriptor: int) -> None:
    """Wait until `descriptor` can be read without blocking."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, resolve, ready)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


async def read_to_end(descriptor: int, limit: int, *, keep_tail: bool = False) -> bytes:
    """Read until the writers are gone and return at most `limit` bytes.

    Args:
        limit: Reading stops there, unless `keep_tail`: then all is read and the *last* `limit` bytes are kept.
    """
    content = bytearray()
    while True:
        await readable(descriptor)
        chunk = os.read(descriptor, _CHUNK_BYTES)
        if not chunk:
            return bytes(content)
        content += chunk
        if len(content) > limit:
            if not keep_tail:
                return bytes(content[:limit])
            del content[:-limit]


async def _copy_to_end(descriptor: int, limit: int, sink: BinaryIO) -> int:
    """Write what comes to `sink` until the writers are gone or there is more than `limit`; return how much came."""
    total = 0
    while total <= limit:
        await readable(descriptor)
        chunk = os.read(descriptor, _CHUNK_BYTES)
        if not chunk:
            break
        sink.write(chunk[: limit - total])
        total += len(chunk)
    return total


@dataclass(frozen=True)
class Completed:
    """What a finished process left behind.

    Attributes:
        status: None if it was ended for its output or its time.
        output: What it printed, unless that went elsewhere.
        error: The end of what it printed on standard error.
        cut_off: Whether it printed more than the limit.
    """

    status: int | None
    output: bytes
    error: str
    cut_off: bool = False


async def run_process(
    sandbox: Sandbox,
    command: Sequence[str],
    *,
    content: bytes | BinaryIO = b"",
    output_limit: int,
    seconds: float,
    sink: BinaryIO | None = None,
) -> Completed:
    """Run a short process in a sandbox.

    Args:
        content: Its standard input: bytes, or an open file.
        output_limit: How many bytes of its output are wanted; it is ended if there are more.
        seconds: How long it may take.
        sink: Where its output goes as it comes, instead of being returned.

    Raises:
        SandboxError: if it cannot be started.
    """
    output, output_in = os.pipe()
    error, error_in = os.pipe()
    try:
        with content_file(content) if isinstance(content, bytes) else contextlib.nullcontext(content) as stdin:
            process = await sandbox.spawn(command, stdin=stdin.fileno(), stdout=output_in, stderr=error_in)
    except BaseException:
        os.close(output)
        os.close(error)
        raise
    finally:
        os.close(output_in)
        os.close(error_in)
    collected = io.BytesIO()
    error_text = b""
    status = None
    cut_off = False
    try:
        async with asyncio.timeout(seconds):
            cut_off = await _copy_to_end(output, output_limit, sink or collected) > output_limit
            if not cut_off:
                error_text = await read_to_end(error, 4096, keep_tail=True)
                status = await process.wait()
    except TimeoutError:
        error_text = f"no answer within {seconds:g} s".encode()
    finally:
        await process.kill()
        os.close(output)
        os.close(error)
    said = error_text.decode("utf-8", "backslashreplace").strip()
    return Completed(status, collected.getvalue(), said, cut_off)
