"""Ends code that holds up the event loop: one that never waits with `await` stops limits and interrupts, too."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from mlgym_core.checks.findings import CheckFailed

LONGEST_PAUSE = 60.0
"""Seconds for which the loop may be held up; a machine that is busy does so for one or two."""
_AGAIN = 0.02
"""Seconds until it is raised again, for code that catches it: sooner or later it comes where nothing does."""


class HeldUp(BaseException):
    """Raised in code that holds up the event loop."""


@contextlib.contextmanager
def nothing_held_up() -> Iterator[None]:
    """Raise `HeldUp` in whatever holds up the running event loop for too long; where signals go elsewhere, do nothing.

    Raises:
        CheckFailed: if something did, with the place.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    longest, places = LONGEST_PAUSE, list[str]()

    def interrupt(_: int, frame: FrameType | None) -> None:
        if frame is not None:
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
            "Wait with `await`, and let BudgetExhausted, EpisodeOver and ModelError pass. An ordinary `def run` may "
            "block: it gets a thread of its own.",
        )
