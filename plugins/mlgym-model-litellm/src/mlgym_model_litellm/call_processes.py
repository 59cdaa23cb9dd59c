"""Processes that make calls for this one, where many go on at the same time.

LiteLLM takes milliseconds of a processor for each call. One interpreter runs Python code on one processor, so that the
calls of many episodes would wait for each other, and for the episodes' own work.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from mlgym_core import ModelError
from mlgym_model_litellm.exchanges import Answered, Exchange, OnText, attempt
from mlgym_model_litellm.failures import Failure
from mlgym_model_litellm.frames import Call, Cancel, Environment, Frames, Outcome, Ready, Text, packed
from mlgym_model_litellm.variables import decoded, raw_variables

Result = TypeVar("Result")

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

    One for each processor, up to four; none if there is only one processor, on which processes hold each other up.
    """
    processors = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(processors, _MOST) if processors > 1 else 0


async def run_on(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine on an event loop, which may be that of another thread. Cancelling this cancels it."""
    if asyncio.get_running_loop() is loop:
        return await coroutine
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, loop))


class CallProcesses:
    """The call processes of this process. They are started when they are needed, and go on until `close`.

    Each event loop that makes calls has a connection of its own with each of them: handing calls and answers over to
    another thread takes a fifth of a millisecond, as long as running a command in a shell.

    Args:
        loop: Makes the calls of this process, and starts the others. All but `attempt` belongs to it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # Other threads look at them meanwhile: they are replaced, never changed.
        self._processes: tuple[_CallProcess, ...] = ()
        self._calls = 0
        self._counting = threading.Lock()
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

        It may be called on any event loop.

        Args:
            exchange: What to ask, and whom.
            most: How many processes there may be.
            on_text: Is told the text of an answer in parts as it comes, in this thread or that of the calls.
        """
        with self._counted():
            if self._missing(most) > 0:
                self._loop.call_soon_threadsafe(self._start_what_is_missing, most)
            line = self._line() if most else None
            if line is not None and (outcome := await line.attempt(exchange, on_text)) is not None:
                return outcome
            return await run_on(self._loop, attempt(exchange, on_text))

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        with self._counting:
            self._calls += 1
        try:
            yield
        finally:
            with self._counting:
                self._calls -= 1

    def _missing(self, most: int) -> int:
        if self._calls < MANY_CALLS or not self._may_start:
            return 0
        return min(most, -(-self._calls // _CALLS_OF_A_PROCESS)) - len(self._processes)

    def _start_what_is_missing(self, most: int) -> None:
        for _ in range(self._missing(most)):
            try:
                self._processes += (_CallProcess(self._has_begun, self._ended),)
            except OSError:
                # There is no place for more processes or files. Calls work without.
                self._may_start = False
                return

    def _line(self) -> _Line | None:
        """Return a connection of the running event loop for the next call; None if there is none."""
        ready = [process for process in self._processes if process.is_ready]
        try:
            return _next(ready).line() if ready else None
        except OSError:
            # It has ended, or there is no place for more files.
            return None

    def _has_begun(self) -> None:
        """Keep what there is out of the search for garbage while many calls go on.

        All episodes stand still meanwhile: with LiteLLM in memory, each search takes tenths of a second.
        """
        if not self._froze and not gc.get_freeze_count():
            self._froze = True
            gc.collect()
            gc.freeze()

    def _ended(self, process: _CallProcess) -> None:
        self._processes = tuple(other for other in self._processes if other is not process)
        if not process.was_ready:
            # The next one would not work either.
            self._may_start = False

    def close(self) -> None:
        """End all processes. Calls that still go on have failed."""
        processes, self._processes = self._processes, ()
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
    """One of them, from its start on. It is started on the event loop that it belongs to.

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
        self._is_closed = False
        self._lines: dict[asyncio.AbstractEventLoop, _Line] = {}
        self._variables: Mapping[Any, Any] | None = None
        self._version = 0
        self._telling = threading.Lock()
        self._door, theirs = socket.socketpair()
        self._door.setblocking(False)
        with theirs:
            try:
                self._process = _start(theirs)
            except OSError:
                self._door.close()
                raise
        try:
            self._first = self.line()
        except OSError:
            self.close()
            raise
        # Only with all variables can it get ready.
        self._first.tell_variables()

    @property
    def id(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def calls(self) -> int:
        """How many calls it makes now."""
        return sum(line.calls for line in tuple(self._lines.values()))

    def line(self) -> _Line:
        """Return the connection of the running event loop.

        Raises:
            OSError: if there is none.
        """
        loop = asyncio.get_running_loop()
        line = self._lines.get(loop)
        if line is None or line.is_closed:
            self._drop_lines_of_closed_loops()
            line = self._lines[loop] = _Line(self, self._connected())
        return line

    def _connected(self) -> int:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            socket.send_fds(self._door, [b"+"], [theirs.fileno()])
            return ours.detach()

    def _drop_lines_of_closed_loops(self) -> None:
        for loop in tuple(self._lines):
            if loop.is_closed() and (line := self._lines.pop(loop, None)) is not None:
                line.close()

    def environment(self, known: int) -> Environment | None:
        """Return the environment variables as they are now, unless this is the version that somebody knows."""
        with self._telling:
            if raw_variables() != self._variables:
                self._variables = dict(raw_variables())
                self._version += 1
            return None if known == self._version else Environment(self._version, decoded(self._variables))

    def has_begun(self) -> None:
        """Take calls: it has said that it is ready."""
        self._has_begun()
        self.is_ready = self.was_ready = True

    def lost(self, line: _Line) -> int:
        """Return its exit status, since a connection was lost."""
        self.is_ready = False
        self._process.kill()
        status = self._process.wait()
        if not self._is_closed and line is self._first:
            self.close()
            self._ended(self)
        return status

    def close(self) -> None:
        """End it."""
        self._is_closed = True
        self.is_ready = False
        self._process.kill()
        self._process.wait()
        self._door.close()
        for line in tuple(self._lines.values()):
            line.close()


class _Line:
    """A connection of the running event loop with a call process."""

    def __init__(self, process: _CallProcess, descriptor: int) -> None:
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._frames = Frames(descriptor, self._received, self._lost)
        self._version = 0
        self._waiting: dict[int, tuple[asyncio.Future[Answered | Failure | None], str, OnText | None]] = {}
        self._numbers = 0

    @property
    def calls(self) -> int:
        """How many calls are made over it now."""
        return len(self._waiting)

    @property
    def is_closed(self) -> bool:
        """Whether it is no longer there."""
        return self._frames.is_closed

    def tell_variables(self) -> None:
        """Tell the process the environment variables, if they are not those that it was told here."""
        if (environment := self._process.environment(self._version)) is not None:
            self._version = environment.version
            self._frames.write(packed(environment))

    async def attempt(self, exchange: Exchange, on_text: OnText | None) -> Answered | Failure | None:
        """Ask a provider once, from there. None if the question cannot travel."""
        self._numbers += 1
        number = self._numbers
        self._process.last_began = time.monotonic()
        try:
            packed_exchange = pickle.dumps(exchange, pickle.HIGHEST_PROTOCOL)
        except Exception:  # noqa: BLE001 - what agents put into messages may raise anything
            # LiteLLM makes of such values what it can.
            return None
        future: asyncio.Future[Answered | Failure | None] = self._loop.create_future()
        self._waiting[number] = future, exchange.model, on_text
        self.tell_variables()
        self._frames.write(packed(Call(number, packed_exchange, on_text is not None)))
        try:
            return await future
        except asyncio.CancelledError:
            self._frames.write(packed(Cancel(number)))
            raise
        finally:
            self._waiting.pop(number, None)

    def _received(self, message: Any) -> None:
        if isinstance(message, Ready):
            self._process.has_begun()
        elif isinstance(message, Outcome) and message.number in self._waiting:
            future, *_ = self._waiting[message.number]
            if not future.done():
                future.set_result(message.outcome)
        elif isinstance(message, Text) and message.number in self._waiting:
            *_, on_text = self._waiting[message.number]
            if on_text is not None:
                on_text(message.text)

    def _lost(self) -> None:
        status = self._process.lost(self)
        for future, model, _ in self._waiting.values():
            if not future.done():
                error = ModelError(f"The process that asked {model} ended (exit status {status}).")
                future.set_result(Failure(error, retry=True, may_cost=True))

    def close(self) -> None:
        """Close it, from any thread: when its event loop gets to that. Calls that still go on have failed.

        Where the loop never does, it is closed as garbage.
        """
        if self._loop.is_closed():
            self._frames.close()
            return
        # It may be closed at this moment, by another thread.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._close)

    def _close(self) -> None:
        self._frames.close()
        self._lost()


def _start(door: socket.socket) -> subprocess.Popen[bytes]:
    """Start a process with its end of a socket."""
    descriptor = door.fileno()
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
