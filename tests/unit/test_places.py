"""Places for gradings: never more at a time, none lost, whatever happens to those who wait."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mlgym_core import Host, make
from mlgym_core.grading import grader, places
from mlgym_core.grading.places import Places


def test_never_more_at_a_time_in_all_loops_together() -> None:
    two = Places(2)
    lock = threading.Lock()
    now = most = 0

    async def visit() -> None:
        nonlocal now, most
        async with two.one():
            with lock:
                now += 1
                most = max(most, now)
            await asyncio.sleep(0.001)
            with lock:
                now -= 1

    async def visits() -> None:
        await asyncio.gather(*[visit() for _ in range(25)])

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: asyncio.run(visits()), range(4)))
    assert (now, most) == (0, 2)


async def test_who_came_first_gets_one_first() -> None:
    one = Places(1)
    order = []

    async def visit(number: int) -> None:
        async with one.one():
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*map(visit, range(20)))
    assert order == list(range(20))


@pytest.mark.parametrize("is_given", [False, True])
async def test_a_place_of_somebody_who_goes_is_another_ones(is_given: bool) -> None:
    one = Places(1)

    async def visit() -> str:
        async with one.one():
            return "was there"

    async with one.one():
        waiting = asyncio.create_task(visit())
        following = asyncio.create_task(visit())
        await asyncio.sleep(0)
        if not is_given:
            waiting.cancel()
            await asyncio.sleep(0)
    if is_given:
        # It was given, but nobody has noticed.
        waiting.cancel()
    assert await asyncio.wait_for(following, 10.0) == "was there"
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await asyncio.wait_for(visit(), 10.0) == "was there"


def test_a_loop_that_is_closed_takes_no_place_along() -> None:
    one = Places(1)

    async def visit() -> None:
        async with one.one():
            pass

    def wait_a_little() -> None:
        loop = asyncio.new_event_loop()
        waiting = loop.create_task(visit())
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()
        # Nobody is to say so.
        waiting._log_destroy_pending = False  # type: ignore[attr-defined]

    async def hold() -> None:
        async with one.one():
            await asyncio.to_thread(wait_a_little)

    asyncio.run(hold())
    asyncio.run(asyncio.wait_for(visit(), 10.0))


def test_a_fork_has_places_of_its_own() -> None:
    async def hold() -> int:
        async with places.place_to_grade():
            return fork()

    def fork() -> int:
        if (child := os.fork()) == 0:
            os._exit(places._places._free)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    number = places._places._free
    assert asyncio.run(hold()) == number
    assert places._places._free == number


def test_gradings_take_turns(installed_examples: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = threading.Lock()
    now = most = 0
    grade = grader.grade_submission

    async def counted(*arguments: Any) -> Any:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        try:
            return await grade(*arguments)
        finally:
            with lock:
                now -= 1

    def play() -> float | None:
        with make("examples/number", sandbox="process") as env:
            env.reset()
            env.step("echo 0.5 > answer.txt")
            begins.wait(60.0)
            env.step({"tool": "submit"})
            assert env.result is not None
            assert env.result.compute is not None
            graded.append(env.result.compute.grading_s)
            return env.result.final

    monkeypatch.setattr("mlgym_core.env.grade_submission", counted)
    monkeypatch.setattr(places, "_places", Places(1))
    begins = threading.Barrier(6)
    graded: list[float] = []
    began = time.monotonic()
    with ThreadPoolExecutor(6) as threads:
        finals = list(threads.map(lambda _: play(), range(6)))
    seconds = time.monotonic() - began
    assert len(set(finals)) == 1
    assert most == 1
    # Waiting is none of it.
    assert sum(graded) <= seconds
