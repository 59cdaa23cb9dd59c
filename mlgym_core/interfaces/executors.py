"""Executors: ways of running many episodes."""

from __future__ import annotations

import abc
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlgym_core.types import EpisodeResult


class Executor(abc.ABC):
    """A way of running many episodes."""

    @abc.abstractmethod
    def execute(
        self, episodes: Sequence[Callable[[], Awaitable[EpisodeResult]]], parallel: int
    ) -> AsyncIterator[EpisodeResult]:
        """Run the episodes, at most `parallel` at a time, and yield each result when it is there."""
