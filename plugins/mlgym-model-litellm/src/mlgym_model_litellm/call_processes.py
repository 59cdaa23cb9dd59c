"""Processes that make calls for this one, where many go on at the same time.

LiteLLM takes milliseconds of a processor for each call. One interpreter runs Python code on one processor, so that the
calls of many episodes would wait for each other, and for the episodes' own work.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlgym_core import ModelError
from mlgym_model_litellm.exchanges import Answered, Exchange, OnText, attempt
from mlgym_model_litellm.failures import Failure
from mlgym_model_litellm.frames import Call, Cancel, Environment, Frames, Outcome, Ready, Text, packed

MANY_CALLS = 8
"""Calls at the same time from which on processes are started: fewer do not hold each other up."""
_CALLS_OF_A_PROCESS = 16
"""Calls at the same time for which there is one process. It makes more if there may be no further one."""
_MOST = 4
"""Processes, unless the user says otherwise."""
_NEEDED_TO_BEGIN = ("PATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "PYTHONHOME")
"""Environment variables that an interpreter may need before it can be told the others."""


def usual_number() -> int:
    """Return how many processes there may be, unless the user says otherwise.

    Two for each processor, up to four: calls that begin while an answer is read wait less. None if there is only one
    processor, on which processes hold each other up.
    """
    processors = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(2 * processors, _MOST) if processors > 1 else 0


class CallProcesses:
    """The call processes of an event loop. They are started when they are needed, and go on until `close`."""

    def __init__(self) -> None:
        self._processes: set[_CallProcess] = set()
        self._calls = 0
        self._may_start = True
        self._froze = False

    @property
    def ready(self) -> int:
        """How many processes take calls now."""
        return sum(process.is_ready for process in self._processes)

    @property
    def process_ids(self) -> list[int]:
        """The ids of the processes, also of those that do not take calls yet."""
        return [process.id for process in self._processes]

    async def attempt(self, exchange: Exchange, most: int, on_text: OnText | None = None) -> Answered | Failure:
        """Ask a provider once: from another process if there is one that takes calls, else from this one.

        Args:
            exchange: What to ask, and whom.
            most: How many processes there may be.
            on_text: Is told the text of an answer in parts as it comes.
        """
        self._calls += 1
        try:
            self._start_what_is_missing(most)
            ready = [process for process in self._processes if process.is_ready] if most else []
            if not ready:
                return await attempt(exchange, on_text)
            return await _next(ready).attempt(exchange, on_text)
        finally:
            self._calls -= 1

    def _start_what_is_missing(self, most: int) -> None:
        if self._calls < MANY_CALLS:
            return
        wanted = min(most, -(-self._calls // _CALLS_OF_A_PROCESS))
        while self._may_start and len(self._processes) < wanted:
            try:
                self._processes.add(_CallProcess(self._has_begun, self._ended))
            except OSError:
                # There is no place for more processes or files. Calls work without.
                self._may_start = False

    def _has_begun(self) -> None:
        """Keep what there is out of the search for garbage while many calls go on.

        All episodes stand still meanwhile: with LiteLLM in memory, each search takes tenths of a second.
        """
        if not self._froze and not gc.get_freeze_count():
            self._froze = True
            gc.collect()
            gc.freeze()

    def _ended(self, process: _CallProcess) -> None:
        self._processes.discard(process)
        if not process.was_ready:
            # The next one would not work either.
            self._may_start = False

    def close(self) -> None:
        """End all processes. Calls that still go on have failed."""
        processes, self._processes = self._processes, set()
        for process in processes:
            process.close()
        self._may_start = True
        if self._froze:
            self._froze = False
            gc.unfreeze()


def _next(processes: Sequence[_CallProcess]) -> _CallProcess:
    """Return the one that has to do with a call longest ago, unless it is held up.

    They take turns, since a call is work when it begins and when its answer comes. Answers that come together lead to
    calls that begin together: the one with the fewest calls would be that which has just had all those answers, so that
    it would have to begin all those calls as well, again and again.
    """
    crowd = 2 * min(process.calls for process in processes) + _CALLS_OF_A_PROCESS
    return min(processes, key=lambda process: (process.calls > crowd, process.last_began))


class _CallProcess:
    """One of them, from its start on.

    Args:
        has_begun: Is called just before it takes calls.
        ended: Is called with it when it has ended, unless by `close`.

    Attributes:
        is_ready: Whether it takes calls. LiteLLM takes seconds to import.
        was_ready: Whether it ever did.
        last_began: When it was last given a call, by `time.monotonic()`.

    Raises:
        OSError: if it cannot be started.
    """

    def __init__(self, has_begun: Callable[[], None], ended: Callable[[_CallProcess], None]) -> None:
        self.is_ready = False
        self.was_ready = False
        self.last_began = 0.0
        self._has_begun = has_begun
        self._ended = ended
        self._frames = Frames(self._received, self._lost)
        self._variables: Mapping[Any, Any] = {}
        self._waiting: dict[int, tuple[asyncio.Future[Answered | Failure], str, OnText | None]] = {}
        self._numbers = 0
        self._is_closed = False
        self._connection, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = _start(theirs)
            except OSError:
                self._connection.close()
                raise
        self._connecting = asyncio.create_task(self._connect())

    @property
    def id(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def calls(self) -> int:
        """How many calls it makes now."""
        return len(self._waiting)

    async def _connect(self) -> None:
        await asyncio.get_running_loop().create_unix_connection(lambda: self._frames, sock=self._connection)
        self._tell_variables()

    def _tell_variables(self) -> None:
        """Tell it the environment variables, if they are not those that it knows."""
        # What lies below it, where there is such: reading each variable takes as long as sending a call.
        variables: Mapping[Any, Any] = getattr(os.environ, "_data", None) or os.environ
        if variables != self._variables:
            self._variables = dict(variables)
            # Another thread may change them meanwhile.
            known = {name: value for name in list(os.environ) if (value := os.environ.get(name)) is not None}
            self._frames.write(packed(Environment(known)))

    async def attempt(self, exchange: Exchange, on_text: OnText | None) -> Answered | Failure:
        """Ask a provider once, from there."""
        self._numbers += 1
        number = self._numbers
        self.last_began = time.monotonic()
        try:
            frame = packed(Call(number, exchange, on_text is not None))
        except Exception:  # noqa: BLE001 - what agents put into messages may raise anything
            # LiteLLM makes of such values what it can, here as well.
            return await attempt(exchange, on_text)
        future: asyncio.Future[Answered | Failure] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future, exchange.model, on_text
        self._tell_variables()
        self._frames.write(frame)
        try:
            return await future
        except asyncio.CancelledError:
            self._frames.write(packed(Cancel(number)))
            raise
        finally:
            self._waiting.pop(number, None)

    def _received(self, message: Any) -> None:
        if isinstance(message, Ready):
            self._has_begun()
            self.is_ready = self.was_ready = True
        elif isinstance(message, Outcome) and message.number in self._waiting:
            future, *_ = self._waiting[message.number]
            if not future.done():
                future.set_result(message.outcome)
        elif isinstance(message, Text) and message.number in self._waiting:
            *_, on_text = self._waiting[message.number]
            if on_text is not None:
                on_text(message.text)

    def _lost(self) -> None:
        self.is_ready = False
        self._process.kill()
        status = self._process.wait()
        for future, model, _ in self._waiting.values():
            if not future.done():
                error = ModelError(f"The process that asked {model} ended (exit status {status}).")
                future.set_result(Failure(error, retry=True, may_cost=True))
        if not self._is_closed:
            self._ended(self)

    def close(self) -> None:
        """End it."""
        self._is_closed = True
        self.is_ready = False
        self._connecting.cancel()
        self._frames.close()
        self._connection.close()
        self._process.kill()
        self._process.wait()


def _start(connection: socket.socket) -> subprocess.Popen[bytes]:
    """Start a process with its end of a connection."""
    descriptor = connection.fileno()
    module = "mlgym_model_litellm.call_process"
    variables = {name: os.environ[name] for name in _NEEDED_TO_BEGIN if name in os.environ}
    return subprocess.Popen(
        # Without the working directory, in which there may be anything.
        [sys.executable, "-P", "-W", "ignore", "-m", module, str(descriptor), str(os.getpid())],
        env={**variables, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[descriptor],
        # Ctrl-C is for us; it goes on until it is closed.
        start_new_session=True,
    )
