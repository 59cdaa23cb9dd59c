"""A process that makes calls for another one: `python -m mlgym_model_litellm.call_process SOCKET PARENT`.

Over the socket it is handed connections, one for each event loop of its parent that makes calls. It ends when the other
end of the socket is closed, or its parent is gone, however that ended. What it does not find in its own environment,
keys above all, it is told over a connection: others can read a process's arguments and the environment that it was
started with.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import pickle
import signal
import socket
import sys
from typing import Any

from mlgym_core import ModelError
from mlgym_model_litellm.call_executor import CallExecutor
from mlgym_model_litellm.exchanges import Answered, Exchange, OnText, attempt
from mlgym_model_litellm.failures import Failure
from mlgym_model_litellm.frames import Call, Cancel, Environment, Frames, Outcome, Ready, Text, packed
from mlgym_model_litellm.library import load
from mlgym_model_litellm.turns import Turns

_SET_SIGNAL_OF_PARENTS_DEATH = 1
"""A request of `prctl` (linux/prctl.h)."""
_NEW_OBJECTS = 20_000
"""Objects, more than there were, after which to search for garbage among the new ones: those of a few calls."""


class CallServer:
    """Makes the calls that it is told to, all at the same time.

    Args:
        door: The socket over which it is handed connections.
    """

    def __init__(self, door: socket.socket) -> None:
        self._door = door
        self._lines: set[_Line] = set()
        self._turns = Turns()
        self._version = 0

    async def serve(self) -> None:
        """Serve until the process ends."""
        loop = asyncio.get_running_loop()
        loop.set_default_executor(CallExecutor())
        loop.add_reader(self._door, self._let_in)
        await asyncio.Event().wait()

    def _let_in(self) -> None:
        try:
            anything, descriptors, *_ = socket.recv_fds(self._door, 1, 1)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            anything, descriptors = b"", []
        if not anything:
            # The kernel closes what is open; LiteLLM would take its time.
            os._exit(0)
        for descriptor in descriptors:
            self._lines.add(_Line(self, descriptor))

    def left(self, line: _Line) -> None:
        """Forget a connection that was closed."""
        self._lines.discard(line)

    def learn(self, environment: Environment) -> bool:
        """Take over environment variables, unless newer ones are known, and return whether they are the first."""
        if environment.version > self._version:
            os.environ.clear()
            os.environ.update(environment.variables)
        before, self._version = self._version, max(self._version, environment.version)
        if before == 0:
            _prepare()
        return before == 0

    async def make(self, exchange: Exchange, on_text: OnText | None) -> Answered | Failure:
        """Make a call when it is its turn."""
        return await attempt(exchange, on_text, self._turns)


def _prepare() -> None:
    load()
    gc.collect()
    # What LiteLLM consists of stays. Looking through it for what could go takes a tenth of a second each time.
    gc.freeze()
    # Nearly all of a call goes without that search. What lives while answers are awaited would be looked through again
    # and again, for a twentieth of the time.
    gc.set_threshold(_NEW_OBJECTS)


class _Line:
    """A connection with an event loop of the parent."""

    def __init__(self, server: CallServer, descriptor: int) -> None:
        self._server = server
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._frames = Frames(descriptor, self._received, self._lost)

    def _received(self, message: Any) -> None:
        if isinstance(message, Environment):
            if self._server.learn(message):
                self._frames.write(packed(Ready()))
        elif isinstance(message, Call):
            task = self._tasks[message.number] = asyncio.create_task(self._make(message))
            # Not by the task itself: one that is cancelled at once does not even begin.
            task.add_done_callback(lambda _: self._tasks.pop(message.number, None))
        elif isinstance(message, Cancel) and message.number in self._tasks:
            self._tasks[message.number].cancel()

    def _lost(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        self._server.left(self)

    async def _make(self, call: Call) -> None:
        number = call.number

        def tell(text: str) -> None:
            self._frames.write(packed(Text(number, text)))

        try:
            exchange: Exchange = pickle.loads(call.exchange)  # noqa: S301 - see `frames`
        except Exception:  # noqa: BLE001 - it may hold objects of classes that are not found here
            self._frames.write(packed(Outcome(number, None)))
            return
        try:
            frame = packed(Outcome(number, await self._server.make(exchange, tell if call.tells_text else None)))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - somebody may wait for an outcome
            broken = ModelError(f"A call of {exchange.model} broke: {error!r}.")
            frame = packed(Outcome(number, Failure(broken, retry=False, may_cost=True)))
        self._frames.write(frame)


def die_with_parent(parent: int) -> None:
    """Let this process be killed when its parent ends, where the kernel does that.

    The connection's end tells, too, unless a process that the parent forked has a copy of it.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_SIGNAL_OF_PARENTS_DEATH, signal.SIGKILL)
    # It may have ended before.
    if os.getppid() != parent:
        sys.exit()


def main() -> None:
    """Run the process."""
    descriptor, parent = map(int, sys.argv[1:])
    die_with_parent(parent)
    door = socket.socket(fileno=descriptor)
    door.setblocking(False)
    asyncio.run(CallServer(door).serve())


if __name__ == "__main__":
    main()
