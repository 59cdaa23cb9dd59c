"""Calls that work one after the other, instead of all of them a little at a time.

An event loop goes on with every call that can go on. Ten whose answers came together would all be done when the last of
them is, send their next requests at the same moment, and have their answers together again. One after the other, they
are done after half of that time on average, and spread: each next answer comes when the one before is done with.
"""

from __future__ import annotations

import asyncio
from collections import deque

_LONGEST_SECONDS = 0.02
"""What takes longer is not work, but waiting: others go on meanwhile."""


class Turns:
    """Gives one call of an event loop after the other its turn."""

    def __init__(self) -> None:
        self._holder: Turn | None = None
        self._waiting: deque[tuple[Turn, asyncio.Future[None]]] = deque()
        self._end: asyncio.TimerHandle | None = None

    async def take(self, turn: Turn) -> None:
        """Wait until it is the call's turn."""
        if self._holder is None:
            self._give(turn)
            return
        given: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, given))
        try:
            await given
        except asyncio.CancelledError:
            # It may have been given at the same moment; whom nobody gave it is passed over.
            self.leave(turn)
            raise

    def leave(self, turn: Turn) -> None:
        """Let the next one have its turn, if it is still the turn of this one."""
        if self._holder is not turn:
            return
        if self._end is not None:
            self._end.cancel()
        self._holder = self._end = None
        while self._waiting:
            following, given = self._waiting.popleft()
            if not given.done():
                self._give(following)
                given.set_result(None)
                return

    def _give(self, turn: Turn) -> None:
        self._holder = turn
        self._end = asyncio.get_running_loop().call_later(_LONGEST_SECONDS, self.leave, turn)


class Turn:
    """The turns of one call: for a `with` block, in which it waits for its turn and leaves it as often as it likes.

    Args:
        turns: Of the event loop; None for a call that need not wait for others.
    """

    def __init__(self, turns: Turns | None) -> None:
        self._turns = turns

    def __enter__(self) -> Turn:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    async def take(self) -> None:
        """Wait for it, to work."""
        if self._turns is not None:
            await self._turns.take(self)

    def leave(self) -> None:
        """Let others work, while it waits for something."""
        if self._turns is not None:
            self._turns.leave(self)
