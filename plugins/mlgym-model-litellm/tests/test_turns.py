"""Turns: one call after the other, and nobody waits for one that is not at work."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from mlgym_core.testing import ScriptedAnswer, ScriptedModelServer
from mlgym_model_litellm import call_processes, turns
from mlgym_model_litellm.exchanges import Answered, Exchange, attempt
from mlgym_model_litellm.turns import Turn, Turns


async def work(all_turns: Turns, done: list[str], name: str) -> None:
    """Work in three parts, with others going on in between if nothing keeps them from that."""
    with Turn(all_turns) as turn:
        await turn.take()
        for part in range(3):
            done.append(f"{name}{part}")
            await asyncio.sleep(0)


async def test_work_is_done_one_after_the_other() -> None:
    done: list[str] = []
    all_turns = Turns()
    await asyncio.gather(*[work(all_turns, done, name) for name in "abc"])
    assert done == ["a0", "a1", "a2", "b0", "b1", "b2", "c0", "c1", "c2"]


async def test_who_waits_lets_others_work() -> None:
    done: list[str] = []
    all_turns = Turns()
    came = asyncio.Event()

    async def ask() -> None:
        with Turn(all_turns) as turn:
            await turn.take()
            done.append("asked")
            turn.leave()
            await came.wait()
            await turn.take()
            done.append("answered")

    asking = asyncio.create_task(ask())
    await asyncio.sleep(0)
    await work(all_turns, done, "b")
    came.set()
    await asking
    assert done == ["asked", "b0", "b1", "b2", "answered"]


async def test_who_waits_without_saying_so_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_LONGEST_SECONDS", 0.001)
    all_turns = Turns()
    for _ in range(3):
        await Turn(all_turns).take()
    done: list[str] = []
    await asyncio.wait_for(work(all_turns, done, "a"), 60)
    assert len(done) == 3


@pytest.mark.parametrize("when", ["while it waits", "when it is given its turn", "while it works"])
async def test_a_call_that_is_cancelled_keeps_nobody_waiting(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_LONGEST_SECONDS", 3600.0)
    all_turns = Turns()
    done: list[str] = []
    first = Turn(all_turns)
    await first.take()

    async def call() -> None:
        with Turn(all_turns) as turn:
            await turn.take()
            await asyncio.sleep(3600)

    cancelled = asyncio.create_task(call())
    await asyncio.sleep(0)
    following = asyncio.create_task(work(all_turns, done, "a"))
    await asyncio.sleep(0)
    if when == "when it is given its turn":
        first.leave()
        cancelled.cancel()
    elif when == "while it works":
        first.leave()
        await asyncio.sleep(0.01)
        cancelled.cancel()
    else:
        cancelled.cancel()
        await asyncio.sleep(0)
        first.leave()
    await asyncio.wait_for(following, 60)
    assert done == ["a0", "a1", "a2"]
    with pytest.raises(asyncio.CancelledError):
        await cancelled


async def test_calls_leave_their_turn_while_a_server_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_LONGEST_SECONDS", 3600.0)
    all_turns = Turns()
    delay = 5.0
    with ScriptedModelServer(lambda _: ScriptedAnswer(text="x", delay=delay)) as server:
        request = {"model": "openai/scripted", "messages": [{"role": "user", "content": "Hello"}]}
        exchange = Exchange("x", request, 60.0, base_url=server.url, key="x")
        outcomes = await asyncio.gather(*[attempt(exchange, turns=all_turns) for _ in range(10)])
        # All asked before any was answered.
        times = [asked.t for asked in server.requests]
    assert all(isinstance(outcome, Answered) for outcome in outcomes)
    assert max(times) - min(times) < delay
    # Nobody has it any more.
    await asyncio.wait_for(Turn(all_turns).take(), 60)


def test_processes_take_turns_but_for_those_that_are_held_up() -> None:
    def process(calls: int, last_began: float) -> Any:
        return SimpleNamespace(calls=calls, last_began=last_began)

    first, second, third = process(9, 1.0), process(3, 2.0), process(5, 3.0)
    assert call_processes._next([third, first, second]) is first
    held_up = process(80, 0.5)
    assert call_processes._next([third, held_up, first, second]) is first
    assert call_processes._next([held_up]) is held_up
