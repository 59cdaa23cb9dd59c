"""The executor that needs nothing but this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from mlgym_core.interfaces import Executor
from mlgym_core.types import EpisodeResult


class LocalExecutor(Executor):
    """Runs episodes concurrently on this process's event loop; their work is done by processes of their own."""

    async def execute(
        self, episodes: Sequence[Callable[[], Awaitable[EpisodeResult]]], parallel: int
    ) -> AsyncIterator[EpisodeResult]:
        """Run the episodes, at most `parallel` at a time, and yield each result when it is there."""
        places = asyncio.Semaphore(parallel)

        async def play(episode: Callable[[], Awaitable[EpisodeResult]]) -> EpisodeResult:
            async with places:
                return await episode()

        tasks = [asyncio.ensure_future(play(episode)) for episode in episodes]
        try:
            for finished in asyncio.as_completed(tasks):
                yield await finished
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
