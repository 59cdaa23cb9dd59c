"""Messages between two processes of ours: pickles with their length before them, over a pair of sockets.

A pickle can run code where it is read. Both ends are the same program of the same user, and what servers and agents say
travels as texts within.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mlgym_model_litellm.exchanges import Answered, Exchange
from mlgym_model_litellm.failures import Failure

_HEAD = struct.Struct(">Q")
_MOST_AT_ONCE = 256 * 1024
"""Bytes that are read at a time."""


@dataclass(frozen=True)
class Environment:
    """To a call process: the environment variables from now on."""

    variables: Mapping[str, str]


@dataclass(frozen=True)
class Ready:
    """From a call process: it takes calls."""


@dataclass(frozen=True)
class Call:
    """To a call process: ask a provider.

    Attributes:
        number: Tells the calls of a process apart.
        exchange: What to ask, and whom.
        tells_text: Whether to send the text of the answer in parts as it comes.
    """

    number: int
    exchange: Exchange
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
    """From a call process: what came of a call."""

    number: int
    outcome: Answered | Failure


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
        connection: Is closed with it.
        received: Is called with each message.
        lost: Is called when the other end is gone.
    """

    def __init__(
        self, connection: socket.socket, received: Callable[[Any], None], lost: Callable[[], None]
    ) -> None:  # fmt: skip
        self._connection = connection
        self._received = received
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._incoming = bytearray()
        self._outgoing = bytearray()
        connection.setblocking(False)
        # A transport of asyncio's could not be closed any more once its loop is.
        self._loop.add_reader(connection, self._read)

    def _read(self) -> None:
        try:
            data = self._connection.recv(_MOST_AT_ONCE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            self._lost()
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
        waits = bool(self._outgoing)
        self._outgoing += frame
        if not waits and not self._sent():
            self._loop.add_writer(self._connection, self._write_more)

    def _write_more(self) -> None:
        if self._sent():
            self._loop.remove_writer(self._connection)

    def _sent(self) -> bool:
        """Send as much as the other end takes, and return whether that is all."""
        try:
            del self._outgoing[: self._connection.send(self._outgoing)]
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            # That the other end is gone shows when it is read from.
            self._outgoing.clear()
        return not self._outgoing

    @property
    def is_closed(self) -> bool:
        """Whether the connection is closed."""
        return self._connection.fileno() < 0

    def close(self) -> None:
        """Close the connection at once. The loop may have been closed before."""
        if not self.is_closed and not self._loop.is_closed():
            self._loop.remove_reader(self._connection)
            self._loop.remove_writer(self._connection)
        self._connection.close()
