"""Frames between the grader and a submission process.

A frame is a length (four bytes, little-endian) and that many bytes. Requests are marshalled: that keeps tuples, and
is safe because the reader is the one who is not trusted. Answers must never be unmarshalled (bytes made for the
purpose could crash the reader), so they are JSON after a byte that tells a result from an error.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time

SOCKET_NAME = "wire"
START_SECONDS = 60.0
"""How long the two ends wait for each other."""
LENGTH_BYTES = 4
RESULT = b"="
ERROR = b"!"


class WireClosed(Exception):  # noqa: N818 - an event
    """The other side is gone."""


def listen(folder: str) -> socket.socket:
    """Return the grader's socket in `folder`, on which the submission process will be heard."""
    listener = socket.socket(socket.AF_UNIX)
    # The path of a socket may have no more than about 100 characters; the name alone always fits.
    with contextlib.chdir(folder):
        listener.bind(SOCKET_NAME)
    listener.listen(1)
    listener.settimeout(START_SECONDS)
    return listener


def connect(folder: str) -> socket.socket:
    """Return the submission's end of the wire in `folder`, once the grader listens there.

    Raises:
        WireClosed: if it never does.
    """
    deadline = time.monotonic() + START_SECONDS
    with contextlib.chdir(folder):
        while time.monotonic() < deadline:
            wire = socket.socket(socket.AF_UNIX)
            try:
                wire.connect(SOCKET_NAME)
                return wire
            except (FileNotFoundError, ConnectionRefusedError):
                # Both processes are being started at once; nothing tells which is first.
                wire.close()
                time.sleep(0.002)
    raise WireClosed


class FrameTooLarge(Exception):  # noqa: N818 - an event
    """The other side announced more bytes than are allowed."""


def write_frame(descriptor: int, content: bytes) -> None:
    """Write a frame.

    Raises:
        WireClosed: if nobody reads any more.
    """
    frame = len(content).to_bytes(LENGTH_BYTES, "little") + content
    try:
        written = os.write(descriptor, frame)
        while written < len(frame):
            frame = frame[written:]
            written = os.write(descriptor, frame)
    except (BrokenPipeError, ConnectionResetError) as error:
        raise WireClosed from error


class FrameReader:
    """Reads frames from a descriptor.

    Args:
        limit: The largest frame that is accepted, in bytes.
    """

    def __init__(self, descriptor: int, limit: int) -> None:
        self._descriptor = descriptor
        self._limit = limit
        self._buffer = b""

    def complete(self) -> bytes | None:
        """Return the next frame if all of it was received.

        Raises:
            FrameTooLarge: if a frame exceeds the limit.
        """
        buffer = self._buffer
        if len(buffer) < LENGTH_BYTES:
            return None
        end = LENGTH_BYTES + int.from_bytes(buffer[:LENGTH_BYTES], "little")
        if end > self._limit:
            raise FrameTooLarge
        if len(buffer) < end:
            return None
        self._buffer = buffer[end:]
        return buffer[LENGTH_BYTES:end]

    def receive(self) -> None:
        """Wait for more bytes.

        Raises:
            WireClosed: if no more will come.
            BlockingIOError: if the descriptor has a time limit and it passed.
        """
        try:
            chunk = os.read(self._descriptor, 1 << 16)
        except ConnectionResetError as error:
            raise WireClosed from error
        if not chunk:
            raise WireClosed
        self._buffer += chunk
