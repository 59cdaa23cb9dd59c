"""Messages between two processes of ours: pickles with their length before them, over a pair of sockets.

A pickle can run code where it is read. Both ends are the same program of the same user, and what servers and agents say
travels as texts within.
"""

from __future__ import annotations

import asyncio
import pickle
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mlgym_model_litellm.exchanges import Answered, Exchange
from mlgym_model_litellm.failures import Failure

_HEAD = struct.Struct(">Q")


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


class Frames(asyncio.Protocol):
    """One end of the connection.

    Args:
        received: Is called with each message.
        lost: Is called when the other end is gone.
    """

    def __init__(self, received: Callable[[Any], None], lost: Callable[[], None]) -> None:
        self._received = received
        self._lost = lost
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to write to."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Hand over the messages that are complete."""
        self._buffer += data
        while len(self._buffer) >= _HEAD.size:
            (length,) = _HEAD.unpack_from(self._buffer)
            end = _HEAD.size + length
            if len(self._buffer) < end:
                return
            content = bytes(self._buffer[_HEAD.size : end])
            del self._buffer[:end]
            self._received(pickle.loads(content))  # noqa: S301 - see above

    def connection_lost(self, error: Exception | None) -> None:
        """Say so."""
        self._lost()

    def write(self, frame: bytes) -> None:
        """Send what `packed` returned. Goes nowhere if the other end is gone."""
        if self._transport is not None:
            self._transport.write(frame)

    def close(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()
