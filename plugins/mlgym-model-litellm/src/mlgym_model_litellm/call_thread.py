"""The thread in which all calls of this process run, and from which other processes are started that make some."""

from __future__ import annotations

import asyncio
import os
import selectors
import threading
import weakref
from collections.abc import Coroutine
from typing import Any

from mlgym_model_litellm.call_executor import CallExecutor
from mlgym_model_litellm.call_processes import CallProcesses, Result, run_on

_of_parents: list[CallThread] = []


class CallThread:
    """A thread with an event loop, in which all calls of this process run.

    LiteLLM keeps its connections for an event loop, and environments come with event loops of their own. Besides, its
    work for one call does not hold up the episodes on other loops.

    Attributes:
        processes: Processes that make calls as well.
    """

    _current: CallThread | None = None
    _lock = threading.Lock()

    def __init__(self) -> None:
        # What `epoll` watches belongs to all that are forked: one that closes its copy of a connection would take it
        # out of the parent's watch, too. `poll` keeps nothing in the kernel.
        self._loop = asyncio.SelectorEventLoop(selectors.PollSelector())
        self._loop.set_default_executor(CallExecutor())
        self.processes = CallProcesses(self._loop)
        self._users: weakref.WeakKeyDictionary[object, asyncio.Semaphore | None] = weakref.WeakKeyDictionary()
        self._thread = threading.Thread(target=self._run, name="mlgym-litellm", daemon=True)
        self._thread.start()

    @classmethod
    def current(cls) -> CallThread:
        """Return the thread of this process, which is started when it is first needed."""
        with cls._lock:
            if cls._current is None:
                cls._current = CallThread()
            return cls._current

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def call(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine there. Cancelling this cancels it."""
        return await run_on(self._loop, coroutine)

    def enter(self, user: object, places: int | None) -> asyncio.Semaphore | None:
        """Count a model that has connections, if it is not counted.

        Args:
            user: The model.
            places: How many calls it makes at the same time at most.

        Returns:
            What its calls wait for in this thread's event loop, if there is such a limit.
        """
        with self._lock:
            if user not in self._users:
                self._users[user] = None if places is None else asyncio.Semaphore(places)
            return self._users[user]

    async def leave(self, user: object) -> None:
        """Count it no more. The last one closes the connections, which models share, and ends the processes."""
        with self._lock:
            self._users.pop(user, None)
            last = not self._users
        if last and self not in _of_parents:
            await self.call(self._close())

    async def _close(self) -> None:
        from mlgym_model_litellm.transport import close_connections

        self.processes.close()
        await close_connections()


def _begin_anew() -> None:
    """Forget the parent's thread after a fork, but keep it: LiteLLM tells connections apart by the ids of loops."""
    if CallThread._current is not None:
        _of_parents.append(CallThread._current)
        CallThread._current = None
    # Another thread of the parent may have held it.
    CallThread._lock = threading.Lock()


os.register_at_fork(after_in_child=_begin_anew)
