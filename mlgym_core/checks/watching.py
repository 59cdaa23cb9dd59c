"""Ends code that holds up the event loop: one that never waits with `await` stops limits and interrupts, too."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import signal
import threading
import weakref
from collections.abc import Iterator
from types import FrameType

from mlgym_core.checks.findings import CheckFailed

LONGEST_PAUSE = 60.0
"""Seconds for which the loop may be held up; a machine that is busy does so for one or two."""
_AGAIN = 0.02
"""Seconds until it is raised again, for code that catches it: sooner or later it comes where nothing does."""


_LONG_ELSEWHERE = 500
"""How often the loop may be found held up by something else, such as a task that was started, before that is ended."""


_CALLED_BY_COLLECTOR = frozenset(map(inspect.getfile, (weakref.WeakSet, weakref.WeakValueDictionary)))
"""Modules whose functions the interpreter calls when objects go."""


class HeldUp(BaseException):
    """Raised in code that holds up the event loop."""


@contextlib.contextmanager
def nothing_held_up(code: object, remedy: str) -> Iterator[None]:
    """Raise `HeldUp` in whatever holds up the running event loop for too long; where signals go elsewhere, do nothing.

    Args:
        code: The code object of what is watched, such as that of an agent's `run`: what it calls is interrupted, and
            what cleans up after it is not.
        remedy: What to do about it.

    Raises:
        CheckFailed: if something did, with the place.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    longest, places, elsewhere = LONGEST_PAUSE, list[str](), 0

    def interrupt(_: int, frame: FrameType | None) -> None:
        nonlocal elsewhere
        if frame is None or (elsewhere < _LONG_ELSEWHERE and not _reaches(frame, code)):
            elsewhere += 1
            return
        places.append(f"{frame.f_code.co_filename}, line {frame.f_lineno}")
        raise HeldUp

    loop = asyncio.get_running_loop()
    beating: asyncio.TimerHandle

    def beat() -> None:
        nonlocal beating
        signal.setitimer(signal.ITIMER_REAL, longest, _AGAIN)
        beating = loop.call_later(longest / 4, beat)

    before = signal.signal(signal.SIGALRM, interrupt)
    beat()
    try:
        with contextlib.suppress(HeldUp):
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        beating.cancel()
        signal.signal(signal.SIGALRM, before)
    if places:
        raise CheckFailed(
            f"it holds up everything else for {longest:g} s, limits and interrupts too, at {places[0]}",
            remedy,
        )


def _reaches(frame: FrameType | None, code: object) -> bool:
    """Whether what is raised in a frame comes to some code: it is the code's own, or that of what it calls.

    What is raised while objects are taken down is only printed by the interpreter.
    """
    while frame is not None:
        if frame.f_code is code:
            return True
        if frame.f_code.co_name == "__del__" or frame.f_code.co_filename in _CALLED_BY_COLLECTOR:
            return False
        frame = frame.f_back
    return False
