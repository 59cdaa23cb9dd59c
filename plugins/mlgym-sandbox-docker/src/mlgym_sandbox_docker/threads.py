"""Blocking calls from coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

_Result = TypeVar("_Result")


async def in_thread(function: Callable[[], _Result], abandoned: Callable[[_Result], None] | None = None) -> _Result:
    """Run a blocking function in a thread; if the caller is cancelled, `abandoned` gets the result."""
    future = asyncio.get_running_loop().run_in_executor(None, function)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if abandoned is not None:

            def dispose(done: asyncio.Future[_Result]) -> None:
                if not done.cancelled() and done.exception() is None:
                    abandoned(done.result())

            future.add_done_callback(dispose)
        raise
