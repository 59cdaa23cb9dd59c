"""Messages between two processes of ours: pickles with their length before them, over a pair of sockets.

A pickle can run code where it is read. Both ends are the same program of the same user, and what servers and agents say
travels as texts within.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlgym_model_litellm.exchanges import Answered
from mlgym_model_litellm.failures import Failure

_HEAD = struct.Struct(">Q")
_MOST_AT_ONCE = 256 * 1024
"""Bytes that are read at a time."""


@dataclass(frozen=True)
class Environment:
    """To a call process: the environment variables from now on.

    Attributes:
        version: Tells which is newer, since they may come over several connections.
        variables: All of them.
    """

    version: int
    variables: Mapping[str, str]


@dataclass(frozen=True)
class Ready:
    """From a call process: it takes calls."""


@dataclass(frozen=True)
class Call:
    """To a call process: ask a provider.

    Attributes:
        number: Tells the calls of a connection apart.
        exchange: A pickled `Exchange`: what to ask, and whom. What agents put into it may be readable nowhere else.
        tells_text: Whether to send the text of the answer in parts as it comes.
    """

    number: int
    exchange: bytes
    tells_text: bool


@dataclass(frozen=True)
class Cancel:
    """To a call process: nobody waits for that call any more."""

    number: int


@dataclass(frozen=True)
class Text:
    """From a call process: a part of an answer's text."""

    number: int
    text: str


@dataclass(frozen=True)
class Outcome:
    """From a call process: what came of a call. Nothing if it could not read what to ask."""

    number: int
    outcome: Answered | Failure | None


def packed(message: object) -> bytes:
    """Return a message as it travels.

    Raises:
        Exception: of any kind, if the message holds what cannot travel.
    """
    content = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _HEAD.pack(len(content)) + content


class Frames:
    """One end of a connection, of the running event loop.

    Args:
        descriptor: Of the connection's socket, which is closed with this, also if nobody does.
        received: Is called with each message.
        lost: Is called when the connection is: the other end is gone, or nobody knows where the next message begins.
    """

    # Neither a transport of asyncio's nor a socket: both warn where their event loop is closed before them.
    def __init__(self, descriptor: int, received: Callable[[Any], None], lost: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._received = received
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._incoming = bytearray()
        self._outgoing = bytearray()
        os.set_blocking(descriptor, False)
        self._loop.add_reader(descriptor, self._read)

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        """Lose the connection if something breaks in between: an interrupt, or a message that cannot be read."""
        try:
            yield
        except BaseException:
            self._lose()
            raise

    def _lose(self) -> None:
        self.close()
        self._lost()

    def _read(self) -> None:
        if self.is_closed:
            # The loop had been about to do this.
            return
        with self._whole():
            try:
                data = os.read(self._descriptor, _MOST_AT_ONCE)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                data = b""
            if not data:
                self._lose()
                return
            self._incoming += data
            while len(self._incoming) >= _HEAD.size:
                (length,) = _HEAD.unpack_from(self._incoming)
                end = _HEAD.size + length
                if len(self._incoming) < end:
                    return
                content = bytes(self._incoming[_HEAD.size : end])
                del self._incoming[:end]
                self._received(pickle.loads(content))  # noqa: S301 - see above

    def write(self, frame: bytes) -> None:
        """Send what `packed` returned. Goes nowhere if the other end is gone."""
        if self.is_closed:
            return
        with self._whole():
            waits = bool(self._outgoing)
            self._outgoing += frame
            if not waits and not self._sent():
                self._loop.add_writer(self._descriptor, self._write_more)

    def _write_more(self) -> None:
        if self.is_closed:
            return
        with self._whole():
            if self._sent():
                self._loop.remove_writer(self._descriptor)

    def _sent(self) -> bool:
        """Send as much as the other end takes, and return whether that is all."""
        try:
            del self._outgoing[: os.write(self._descriptor, self._outgoing)]
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            # That the other end is gone shows when it is read from.
            self._outgoing.clear()
        return not self._outgoing

    @property
    def is_closed(self) -> bool:
        """Whether the connection is closed."""
        return self._descriptor < 0

    def close(self) -> None:
        """Close the connection at once. The loop may have been closed before."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        if not self._loop.is_closed():
            self._loop.remove_reader(descriptor)
            self._loop.remove_writer(descriptor)
        os.close(descriptor)

    def __del__(self) -> None:
        # Its event loop is gone, too: that would still watch it.
        if (descriptor := getattr(self, "_descriptor", -1)) >= 0:
            self._descriptor = -1
            os.close(descriptor)
