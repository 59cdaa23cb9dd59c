"""A process that makes calls for another one: `python -m mlgym_model_litellm.call_process SOCKET PARENT`.

It ends when the other end of its connection is closed, or its parent is gone, however that ended. What it does not find
in its own environment, keys above all, it is told over the connection: others can read a process's arguments and the
environment that it was started with.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import signal
import socket
import sys
from typing import Any

from mlgym_core import ModelError
from mlgym_model_litellm.call_executor import CallExecutor
from mlgym_model_litellm.exchanges import Answered, attempt
from mlgym_model_litellm.failures import Failure
from mlgym_model_litellm.frames import Call, Cancel, Environment, Frames, Outcome, Ready, Text, packed
from mlgym_model_litellm.library import load
from mlgym_model_litellm.turns import Turns

_SET_SIGNAL_OF_PARENTS_DEATH = 1
"""A request of `prctl` (linux/prctl.h)."""
_NEW_OBJECTS = 20_000
"""Objects, more than there were, after which to search for garbage among the new ones: those of a few calls."""


class CallServer:
    """Makes the calls that it is told to, all at the same time."""

    def __init__(self) -> None:
        # The kernel closes what is open; LiteLLM would take its time.
        self._frames = Frames(self._received, lost=lambda: os._exit(0))
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._turns = Turns()
        self._is_ready = False

    async def serve(self, connection: socket.socket) -> None:
        """Serve until the process ends."""
        loop = asyncio.get_running_loop()
        loop.set_default_executor(CallExecutor())
        await loop.create_unix_connection(lambda: self._frames, sock=connection)
        await asyncio.Event().wait()

    def _received(self, message: Any) -> None:
        if isinstance(message, Environment):
            os.environ.clear()
            os.environ.update(message.variables)
            if not self._is_ready:
                self._prepare()
        elif isinstance(message, Call):
            self._tasks[message.number] = asyncio.create_task(self._make(message))
        elif isinstance(message, Cancel) and (task := self._tasks.get(message.number)) is not None:
            task.cancel()

    def _prepare(self) -> None:
        load()
        gc.collect()
        # What LiteLLM consists of stays. Looking through it for what could go takes a tenth of a second each time.
        gc.freeze()
        # Nearly all of a call goes without that search. What lives while answers are awaited would be looked through
        # again and again, for a twentieth of the time.
        gc.set_threshold(_NEW_OBJECTS)
        self._is_ready = True
        self._frames.write(packed(Ready()))

    async def _make(self, call: Call) -> None:
        number = call.number

        def tell(text: str) -> None:
            self._frames.write(packed(Text(number, text)))

        outcome: Answered | Failure
        try:
            outcome = await attempt(call.exchange, tell if call.tells_text else None, self._turns)
            frame = packed(Outcome(number, outcome))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - somebody may wait for an outcome
            broken = ModelError(f"A call of {call.exchange.model} broke: {error!r}.")
            frame = packed(Outcome(number, Failure(broken, retry=False, may_cost=True)))
        finally:
            del self._tasks[number]
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
    connection = socket.socket(fileno=descriptor)
    asyncio.run(CallServer().serve(connection))


if __name__ == "__main__":
    main()
