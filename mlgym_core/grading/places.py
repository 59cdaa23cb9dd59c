"""How many gradings go on at the same time in this process.

What is submitted has limits of wall time, since it may do nothing but wait. Dozens of gradings on a few processors
would run into them because of each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future

from mlgym_core.machine import usable_processors


class Places:
    """Places for coroutines of any event loops of this process.

    Args:
        number: How many there are.
    """

    def __init__(self, number: int) -> None:
        self._free = number
        self._waiting: deque[tuple[asyncio.AbstractEventLoop, Future[None]]] = deque()
        self._lock = threading.Lock()

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Have a place for a while. Who came first gets one first."""
        await self._take()
        try:
            yield
        finally:
            self._give()

    async def _take(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            given: Future[None] = Future()
            self._waiting.append((asyncio.get_running_loop(), given))
        try:
            await asyncio.wrap_future(given)
        except BaseException:
            # It may have been given at the same moment.
            if not given.cancel() and not given.cancelled():
                self._give()
            raise

    def _give(self) -> None:
        with self._lock:
            following = next(filter(Future.set_running_or_notify_cancel, self._who_waits()), None)
            if following is None:
                self._free += 1
        if following is not None:
            following.set_result(None)

    def _who_waits(self) -> Iterator[Future[None]]:
        while self._waiting:
            loop, given = self._waiting.popleft()
            if not loop.is_closed():
                yield given


_places = Places(usable_processors())


def place_to_grade() -> contextlib.AbstractAsyncContextManager[None]:
    """Return a block that waits for a place, of which there is one for each processor."""
    return _places.one()


def _begin_anew() -> None:
    """Forget who has places in the parent of a fork."""
    global _places
    _places = Places(usable_processors())


os.register_at_fork(after_in_child=_begin_anew)
