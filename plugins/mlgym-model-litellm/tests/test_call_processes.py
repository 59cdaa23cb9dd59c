"""Calls that are made from other processes: the same answers, and nothing left behind, whatever ends how."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dataclasses
import functools
import gc
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mlgym_core import ContextTooLong, ModelError, ModelReply, UsageError
from mlgym_core.testing import ScriptedAnswer, ScriptedModelServer
from mlgym_core.testing.model_server import (
    Answer,
    context_too_long,
    rate_limit,
    server_error,
    unknown_model,
    wrong_key,
)
from mlgym_model_litellm import call_process, call_processes, exchanges
from mlgym_model_litellm.call_executor import CallExecutor
from mlgym_model_litellm.call_thread import CallThread
from mlgym_model_litellm.exchanges import Answered, Exchange, attempt
from mlgym_model_litellm.frames import Call, Cancel, Frames, packed
from mlgym_model_litellm.library import load
from mlgym_model_litellm.model import LiteLLMModel

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is left behind is looked up in /proc")

CANARY = "sk-canary-3f9d27b1c0"
INHERITED = "sk-canary-inherited"
HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {"name": "bash", "description": "Run a command", "parameters": {"type": "object", "properties": {}}}
PATIENCE = 120.0
"""Seconds. Processes are started on machines with other work."""


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_BASE_URL", "_API_BASE", "_TOKEN")):
            monkeypatch.delenv(name)


@contextlib.asynccontextmanager
async def model_of(server_url: str, *, processes: int = 1, **options: Any) -> AsyncIterator[LiteLLMModel]:
    model = LiteLLMModel(
        "openai", "scripted", base_url=server_url, retry_pause=0.01, processes=processes, **options
    )  # fmt: skip
    try:
        yield model
    finally:
        await model.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - it is about other processes
            await asyncio.sleep(0.01)


async def ready_process(other_than: int = 0) -> int:
    """Return the id of the process that takes calls, when it does."""
    processes = CallThread.current().processes
    await until(lambda: processes.ready and other_than not in processes.process_ids)
    (process_id,) = processes.process_ids
    return process_id


@contextlib.asynccontextmanager
async def a_process() -> AsyncIterator[int]:
    """Yields the id of a process that takes calls, and lives until the block ends."""
    with ScriptedModelServer(lambda _: "x") as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(call_processes, "MANY_CALLS", 1)
        patch.setenv("SOME_API_KEY", INHERITED)
        async with model_of(server.url) as model:
            await model.complete(HELLO)
            yield await ready_process()


@pytest.fixture(scope="class")
def process_id() -> Iterator[int]:
    """A process that takes calls, for several tests."""
    with asyncio.Runner() as runner:
        process = a_process()
        yield runner.run(process.__aenter__())
        runner.run(process.__aexit__(None, None, None))


def is_alive(process_id: int) -> bool:
    """Whether there is such a process that is not just waiting to be buried."""
    try:
        return Path("/proc", str(process_id), "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def contents(process_id: int, name: str) -> bytes:
    return Path("/proc", str(process_id), name).read_bytes()


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# ------------------------------------------------------------------------------------------ the same answers


async def outcome_of(answers: Sequence[Answer], processes: int, options: dict[str, Any]) -> tuple[Any, list[Any]]:
    """Return a reply, or the kind and text of an error, and what the server was sent."""
    outcome: ModelReply | tuple[type, str]
    with ScriptedModelServer(answers) as server:
        async with model_of(server.url, processes=processes, **options) as model:
            try:
                outcome = dataclasses.replace(await model.complete(HELLO, [TOOL]), seconds=0.0)
            except ModelError as error:
                # Each server has an address of its own.
                outcome = type(error), str(error).replace(server.url, "URL")
    return outcome, [request.body for request in server.requests]


async def refuse(*_: object) -> None:
    raise AssertionError("The call was made from here.")


SCENARIOS: dict[str, tuple[list[Answer], dict[str, Any]]] = {
    "text": (["Hi there"], {}),
    "in parts": (["Hi there"], {"stream": True}),
    "tools": ([ScriptedAnswer(tools=[("bash", {"command": "ls"}), ("nonsense", "{not json"), ("submit", "")])], {}),
    "usage and cost": (
        [ScriptedAnswer(text="x", usage={"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11, "cost": 0.5})],
        {},
    ),
    "no usage": ([ScriptedAnswer(text="some words", usage=None)], {}),
    "token ids": (
        [ScriptedAnswer(text="a", choice_fields={"token_ids": [5]}, answer_fields={"prompt_token_ids": [1, 2]})],
        {"token_ids": True},
    ),
    "thoughts": ([ScriptedAnswer(text="x", fields={"reasoning_content": "hm"})], {}),
    "no Unicode": (["half a \ud83d pair"], {}),
    "passing faults": ([rate_limit(), server_error(), ScriptedAnswer(reset=True), "fine"], {}),
    "cut off": ([ScriptedAnswer(text="cut off here", cut_after=30), "fine"], {}),
    "no JSON": ([ScriptedAnswer(body=b"not json"), "fine"], {"stream": True}),
    "a wrong key": ([wrong_key(CANARY)], {}),
    "an unknown model": ([unknown_model("scripted")], {}),
    "too long": ([context_too_long()], {}),
    "retries that end": ([rate_limit()] * 2, {"retries": 1}),
    "a wait for hours": ([rate_limit(after=86400)], {}),
    "too late": ([ScriptedAnswer(text="late", delay=3)], {"timeout": 0.5, "retries": 0}),
    "the key comes back": ([f"Your key is {CANARY}."], {"api_key_variable": "MY_KEY"}),
}


@pytest.mark.usefixtures("process_id")
class TestFromAnotherProcess:
    @pytest.fixture(autouse=True)
    def not_from_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(call_processes, "attempt", refuse)

    async def test_the_same_comes_of_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MY_KEY", CANARY)
        with monkeypatch.context() as from_here:
            from_here.setattr(call_processes, "attempt", attempt)
            expected = {name: await outcome_of(answers, 0, options) for name, (answers, options) in SCENARIOS.items()}
        assert expected["too long"][0][0] is ContextTooLong
        assert expected["in parts"][0].text == "Hi there"
        for name, (answers, options) in SCENARIOS.items():
            assert (name, await outcome_of(answers, 1, options)) == (name, expected[name])

    async def test_parts_of_an_answer_are_told_as_they_come(self) -> None:
        parts: list[str] = []
        thread = CallThread.current()
        with ScriptedModelServer(["one two three"]) as server:
            request = {"model": "openai/x", "messages": HELLO}
            exchange = Exchange("openai/x", request, 60.0, stream=True, base_url=server.url, key="none")
            outcome = await thread.call(thread.processes.attempt(exchange, 1, parts.append))
        assert isinstance(outcome, Answered)
        assert parts == ["one", " two", " three"]

    async def test_what_cannot_travel_is_asked_from_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Content(str):
            """A text of a class that the other process cannot find."""

        monkeypatch.setattr(call_processes, "attempt", attempt)
        with ScriptedModelServer(["fine"]) as server:
            async with model_of(server.url) as model:
                assert (await model.complete([{"role": "user", "content": Content("Hello")}])).text == "fine"
            assert server.requests[0].body["messages"] == HELLO

    async def test_keys_are_in_no_place_where_others_can_read_them(
        self, process_id: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # LiteLLM looks up this one itself, there, and it was not set when the process was started.
        monkeypatch.setenv("OPENAI_API_KEY", CANARY)
        assert await self.answer_to_those_with_the_key(monkeypatch) == "fine"
        for name in ("cmdline", "environ"):
            content = contents(process_id, name)
            assert content
            assert CANARY.encode() not in content
            assert INHERITED.encode() not in content
        monkeypatch.delenv("OPENAI_API_KEY")
        with pytest.raises(ModelError):
            await self.answer_to_those_with_the_key(monkeypatch)

    async def answer_to_those_with_the_key(self, monkeypatch: pytest.MonkeyPatch) -> str:
        with ScriptedModelServer(["fine"], key=CANARY) as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            model = LiteLLMModel("openai", "scripted", processes=1, retries=0)
            try:
                return (await model.complete(HELLO)).text
            finally:
                await model.close()

    async def test_a_cancelled_call_is_given_up_there(self) -> None:
        asked, gone = asyncio.Event(), asyncio.Event()

        async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            asked.set()
            # Until the end, which is when the other side closes the connection.
            await reader.read()
            gone.set()
            writer.close()

        server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with model_of(f"http://127.0.0.1:{port}/v1") as model:
            call = asyncio.create_task(model.complete(HELLO))
            async with asyncio.timeout(PATIENCE):
                await asked.wait()
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
                await gone.wait()
        server.close()


# -------------------------------------------------------------------------------------------- event loops


def open_sockets() -> list[str]:
    """Return the sockets that this process has open."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        # Others come and go.
        with contextlib.suppress(OSError):
            found.append(str(entry.readlink()))
    return [name for name in found if name.startswith("socket:")]


@pytest.mark.usefixtures("process_id")
class TestEventLoops:
    @pytest.fixture(autouse=True)
    def not_from_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(call_processes, "attempt", refuse)

    def test_those_of_many_threads_have_calls_at_the_same_time(self) -> None:
        begins = threading.Barrier(8)

        async def answers(server_url: str, number: int) -> list[str]:
            async with model_of(server_url) as model:
                begins.wait(PATIENCE)
                asking = [{"role": "user", "content": f"{number}"}]
                return [reply.text for reply in await asyncio.gather(*[model.complete(asking) for _ in range(5)])]

        with (
            ScriptedModelServer(lambda body: str(body["messages"][0]["content"])) as server,
            ThreadPoolExecutor(8) as threads,
        ):
            found = list(threads.map(lambda number: asyncio.run(answers(server.url, number)), range(8)))
        assert found == [[str(number)] * 5 for number in range(8)]

    def test_those_that_were_closed_leave_nothing_open(self) -> None:
        counts = []
        with ScriptedModelServer(lambda _: "fine") as server:
            model = LiteLLMModel("openai", "scripted", base_url=server.url, processes=1)
            for _ in range(10):
                # The model stays, for all of them.
                assert asyncio.run(model.complete(HELLO)).text == "fine"
                counts.append(len(open_sockets()))
            asyncio.run(model.close())
        assert counts[-1] <= counts[1]

    def test_calls_of_one_that_was_just_closed_are_given_up(self) -> None:
        asked, gone = threading.Event(), threading.Event()

        def ask(url: str) -> LiteLLMModel:
            loop = asyncio.new_event_loop()
            model = LiteLLMModel("openai", "scripted", base_url=url, processes=1)
            call = loop.create_task(model.complete(HELLO))

            async def wait() -> None:
                while not asked.is_set():  # noqa: ASYNC110 - it is another thread's
                    await asyncio.sleep(0.01)

            loop.run_until_complete(wait())
            loop.close()
            # Nobody would say that it was destroyed while it was pending.
            call._log_destroy_pending = False  # type: ignore[attr-defined]
            return model

        def serve(listener: socket.socket) -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1)
                asked.set()
                while connection.recv(65536):
                    pass
                gone.set()

        with socket.create_server(("127.0.0.1", 0)) as listener, ScriptedModelServer(lambda _: "fine") as server:
            serving = threading.Thread(target=serve, args=(listener,), daemon=True)
            serving.start()
            left = ask(f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
            model = LiteLLMModel("openai", "scripted", base_url=server.url, processes=1)
            assert asyncio.run(model.complete(HELLO)).text == "fine"
            assert gone.wait(PATIENCE)
            asyncio.run(model.close())
            asyncio.run(left.close())

    async def test_long_conversations_and_answers_come_over_whole(self) -> None:
        # More than a connection takes at a time.
        text = "".join(f"{number} " for number in range(500_000))
        with ScriptedModelServer(lambda body: str(body["messages"][0]["content"])) as server:
            async with model_of(server.url) as model:
                replies = await asyncio.gather(
                    *[model.complete([{"role": "user", "content": f"{number} {text}"}]) for number in range(3)]
                )
        assert [reply.text for reply in replies] == [f"{number} {text}" for number in range(3)]

    async def test_a_place_that_is_waited_for_in_vain_takes_none(self) -> None:
        with ScriptedModelServer([ScriptedAnswer(text="slow", delay=1.0), "fine"]) as server:
            async with model_of(server.url, concurrency=1) as model:
                slow = asyncio.create_task(model.complete(HELLO))
                await until(lambda: server.requests)
                waiting = asyncio.create_task(model.complete(HELLO))
                await asyncio.sleep(0.1)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                assert (await slow).text == "slow"
                assert (await model.complete(HELLO)).text == "fine"
            assert len(server.requests) == 2

    async def test_what_cannot_be_read_there_is_asked_from_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Role(str):
            pass

        only_here = types.ModuleType("only_here")
        only_here.Role = Role  # type: ignore[attr-defined]
        Role.__module__, Role.__qualname__ = "only_here", "Role"
        monkeypatch.setitem(sys.modules, "only_here", only_here)
        monkeypatch.setattr(call_processes, "attempt", attempt)
        with ScriptedModelServer(lambda _: "fine") as server:
            async with model_of(server.url) as model:
                process_ids = CallThread.current().processes.process_ids
                assert (await model.complete([{"role": Role("user"), "content": "Hello"}])).text == "fine"
                assert (await model.complete(HELLO)).text == "fine"
                assert CallThread.current().processes.process_ids == process_ids

    async def test_changed_variables_are_told_by_each(self, monkeypatch: pytest.MonkeyPatch) -> None:
        keys = [f"{CANARY}-{number}" for number in range(4)]
        with ScriptedModelServer(lambda _: "fine") as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            model = LiteLLMModel("openai", "scripted", processes=1)
            # The last one is again what was told here before.
            keys += [keys[2]]
            for number, key in enumerate(keys):
                monkeypatch.setenv("OPENAI_API_KEY", key)
                call = model.complete(HELLO)
                await (asyncio.to_thread(asyncio.run, call) if number % 2 else call)
            await model.close()
        assert [request.headers["authorization"] for request in server.requests] == [f"Bearer {key}" for key in keys]


async def test_a_program_without_variables_has_processes_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    load()
    for name in list(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.setattr(call_processes, "MANY_CALLS", 1)
    with ScriptedModelServer(lambda _: "fine") as server:
        async with model_of(server.url) as model:
            await model.complete(HELLO)
            assert await ready_process()


def test_an_interrupt_in_the_middle_of_a_message_ends_only_what_went_on(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = Frames._sent

    def interrupted(frames: Frames) -> bool:
        monkeypatch.setattr(Frames, "_sent", sent)
        raise KeyboardInterrupt

    async def prepare(model: LiteLLMModel) -> None:
        await model.complete(HELLO)
        await ready_process()

    monkeypatch.setattr(call_processes, "MANY_CALLS", 1)
    # As notebooks do, the loop goes on to be used.
    with ScriptedModelServer(lambda _: "fine") as server, asyncio.Runner() as runner:
        model = LiteLLMModel("openai", "scripted", base_url=server.url, processes=1)
        runner.run(prepare(model))
        monkeypatch.setattr(Frames, "_sent", interrupted)
        with pytest.raises(KeyboardInterrupt):
            runner.run(model.complete(HELLO))
        assert runner.run(model.complete(HELLO)).text == "fine"
        runner.run(model.close())


async def test_a_call_that_is_cancelled_at_once_leaves_nothing() -> None:
    ours, theirs = socket.socketpair()
    door, other = socket.socketpair()
    with ours, door, other:
        line = call_process._Line(call_process.CallServer(door), theirs.detach())
        exchange = pickle.dumps(Exchange("x", {"model": "openai/x", "messages": HELLO}, 5.0))
        at_once = packed(Call(1, exchange, tells_text=False)) + packed(Cancel(1))
        # Of the second one it says that it cannot read it.
        ours.sendall(at_once + packed(Call(2, b"", tells_text=False)))
        await asyncio.to_thread(ours.recv, 1)
        await until(lambda: not line._tasks)
        line._frames.close()


def test_a_loop_that_stands_still_meanwhile_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_processes, "MANY_CALLS", 1)
    with ScriptedModelServer(lambda _: "fine") as server:
        model = LiteLLMModel("openai", "scripted", base_url=server.url, processes=1)
        idle = asyncio.new_event_loop()
        idle.run_until_complete(model.complete(HELLO))
        asyncio.run(ready_process())
        idle.run_until_complete(model.complete(HELLO))
        [process] = CallThread.current().processes._processes
        socket_of_line = os.readlink(f"/proc/self/fd/{process._lines[idle]._frames._descriptor}")
        assert socket_of_line in open_sockets()
        del process
        asyncio.run(model.close())
        idle.close()
        gc.collect()
        assert socket_of_line not in open_sockets()


# --------------------------------------------------------------------------------------------- when it is used


async def test_few_calls_start_no_process() -> None:
    with ScriptedModelServer(lambda _: ScriptedAnswer(text="x", delay=0.2)) as server:
        async with model_of(server.url, processes=4) as model:
            await asyncio.gather(*[model.complete(HELLO) for _ in range(call_processes.MANY_CALLS - 1)])
            assert CallThread.current().processes.process_ids == []


@pytest.mark.parametrize(("calls", "most", "expected"), [(20, 0, 0), (20, 1, 1), (8, 4, 1), (17, 4, 2)])
async def test_many_calls_start_some(calls: int, most: int, expected: int) -> None:
    with ScriptedModelServer(lambda _: ScriptedAnswer(text="x", delay=0.3)) as server:
        async with model_of(server.url, processes=most) as model:
            replies = await asyncio.gather(*[model.complete(HELLO) for _ in range(calls)])
            assert {reply.text for reply in replies} == {"x"}
            assert len(CallThread.current().processes.process_ids) == expected
    assert len(server.requests) == calls


@pytest.mark.parametrize(("processors", "expected"), [(1, 0), (2, 2), (3, 3), (64, 4)])
def test_how_many_there_are_usually(monkeypatch: pytest.MonkeyPatch, processors: int, expected: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(processors)))
    assert call_processes.usual_number() == expected


@pytest.mark.parametrize("program", ["/bin/false", "/nowhere/python"])
async def test_calls_work_where_processes_cannot_be_started(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(call_processes, "MANY_CALLS", 1)
    monkeypatch.setattr(sys, "executable", program)
    processes = CallThread.current().processes
    with ScriptedModelServer(lambda _: "fine") as server:
        async with model_of(server.url) as model:
            assert (await model.complete(HELLO)).text == "fine"
            await until(lambda: not processes.process_ids)
            # It is not tried again and again.
            assert (await model.complete(HELLO)).text == "fine"
            assert processes.process_ids == []


def test_fewer_than_no_processes_are_refused() -> None:
    with pytest.raises(UsageError, match="processes is -1"):
        LiteLLMModel("openai", "x", base_url="http://localhost/v1", processes=-1).check()


async def test_what_there_is_is_kept_out_of_searches_for_garbage_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_processes, "MANY_CALLS", 1)
    assert gc.get_freeze_count() == 0
    with ScriptedModelServer(lambda _: "x") as server:
        async with model_of(server.url) as model:
            await model.complete(HELLO)
            await ready_process()
            assert gc.get_freeze_count() > 100_000
    assert gc.get_freeze_count() == 0


async def test_what_others_keep_out_stays_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_processes, "MANY_CALLS", 1)
    gc.freeze()
    try:
        with ScriptedModelServer(lambda _: "x") as server:
            async with model_of(server.url) as model:
                await model.complete(HELLO)
                await ready_process()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


# ------------------------------------------------------------------------------------------ what calls cost less


async def test_a_call_begins_without_a_thread() -> None:
    """Also tells whether a version of LiteLLM does it in another way."""
    executor = CallExecutor()
    asyncio.get_running_loop().set_default_executor(executor)
    names = []
    with ScriptedModelServer(lambda _: "x") as server:
        for model in ("openai/scripted", "anthropic/scripted"):
            exchange = Exchange(model, {"model": model, "messages": HELLO}, 60.0, base_url=server.url, key="x")
            assert isinstance(await attempt(exchange), Answered)
            names.append({thread.name for thread in executor._threads})
    assert names[0] == set()
    # LiteLLM may wait for something with others.
    assert len(names[1]) == 1


async def test_what_takes_time_runs_in_a_thread() -> None:
    executor = CallExecutor()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(executor)
    assert await loop.run_in_executor(None, threading.get_ident) != threading.get_ident()
    # So does what looks like it: not every function with a context is a call.
    with_context = functools.partial(contextvars.copy_context().run, threading.get_ident)
    assert await loop.run_in_executor(None, with_context) != threading.get_ident()


@pytest.mark.parametrize("observers", ["callbacks", "_async_success_callback", None])
async def test_callbacks_are_told_of_calls_only_where_there_are_some(
    monkeypatch: pytest.MonkeyPatch, observers: str | None
) -> None:
    """Also tells whether a version of LiteLLM does it in another way, or hands what we say on to the server."""
    from litellm.integrations.custom_logger import CustomLogger

    told = asyncio.Event()

    class Told(CustomLogger):
        async def async_log_success_event(self, *_: object, **__: object) -> None:
            told.set()

    monkeypatch.setattr(load(), observers or "callbacks", [Told()])
    if observers is None:
        # Where nobody looks for them, they are not told. Otherwise this would show nothing.
        monkeypatch.setattr("mlgym_model_litellm.exchanges._OBSERVERS", ())
    with ScriptedModelServer(lambda _: "x") as server:
        request = {"model": "openai/scripted", "messages": HELLO}
        exchange = Exchange("x", request, 60.0, base_url=server.url, key="x")
        assert isinstance(await attempt(exchange), Answered)
        if observers:
            await asyncio.wait_for(told.wait(), PATIENCE)
        else:
            await asyncio.sleep(0.3)
            assert not told.is_set()
        assert set(server.requests[0].body) == {"model", "messages"}


def test_who_has_to_be_told_of_calls() -> None:
    nobody = types.SimpleNamespace(max_budget=0.0, callbacks=[])
    assert not exchanges._is_observed(nobody, {"messages": HELLO})
    assert exchanges._is_observed(nobody, {"success_callback": ["langfuse"]})
    # LiteLLM adds up what calls cost in the same place.
    assert exchanges._is_observed(types.SimpleNamespace(max_budget=1.0), {})


# ------------------------------------------------------------------------------------------------ how it ends


async def test_calls_of_a_process_that_is_killed_are_made_again() -> None:
    answers: list[Answer] = [*[ScriptedAnswer(text="late", delay=PATIENCE)] * 3, *["fine"] * 3]
    with ScriptedModelServer(answers) as server:
        async with a_process() as process_id, model_of(server.url) as model:
            calls = [asyncio.create_task(model.complete(HELLO)) for _ in range(3)]
            await until(lambda: len(server.requests) == 3)
            os.kill(process_id, signal.SIGKILL)
            assert [reply.text for reply in await asyncio.gather(*calls)] == ["fine"] * 3
            # There is another one by and by.
            assert await ready_process(other_than=process_id) != process_id


def test_calls_of_all_event_loops_are_made_again_when_a_process_is_killed() -> None:
    late = [ScriptedAnswer(text="late", delay=PATIENCE)] * 4

    async def ask(model: LiteLLMModel) -> str:
        return (await model.complete(HELLO)).text

    async def kill(server: ScriptedModelServer) -> None:
        async with a_process() as process_id, model_of(server.url) as model:
            calls = [asyncio.create_task(asyncio.to_thread(asyncio.run, ask(model))) for _ in range(4)]
            await until(lambda: len(server.requests) == 4)
            os.kill(process_id, signal.SIGKILL)
            assert await asyncio.gather(*calls) == ["fine"] * 4

    with ScriptedModelServer([*late, *["fine"] * 4]) as server:
        asyncio.run(kill(server))


async def test_without_retries_it_says_what_happened() -> None:
    with ScriptedModelServer([ScriptedAnswer(text="late", delay=PATIENCE)]) as server:
        async with a_process() as process_id, model_of(server.url, retries=0) as model:
            call = asyncio.create_task(model.complete(HELLO))
            await until(lambda: server.requests)
            os.kill(process_id, signal.SIGKILL)
            with pytest.raises(ModelError, match=r"process that asked openai/scripted ended \(exit status -9\)"):
                await call


async def test_the_last_model_ends_them() -> None:
    async with a_process() as process_id:
        # Ctrl-C in a terminal goes to those of our session.
        assert os.getsid(process_id) != os.getsid(0)
    assert not is_alive(process_id)


PROGRAM = """
import asyncio, os, sys, time
from mlgym_model_litellm import call_processes
from mlgym_model_litellm.call_thread import CallThread
from mlgym_model_litellm.model import LiteLLMModel

call_processes.MANY_CALLS = 1
model = LiteLLMModel("openai", "scripted", base_url=sys.argv[1], processes=int(sys.argv[2]))

async def begin():
    await model.complete([{"role": "user", "content": "Hello"}])
    if sys.argv[2] == "0":
        return 0
    while not CallThread.current().processes.ready:
        await asyncio.sleep(0.01)
    return CallThread.current().processes.process_ids[0]

async def finish():
    reply = await model.complete([{"role": "user", "content": "Hello"}])
    await model.close()
    return reply.text

process_id = asyncio.run(begin())
"""


@contextlib.contextmanager
def program(lines: str, processes: int = 1) -> Iterator[subprocess.Popen[str]]:
    """Run a program that has a call process, and further lines."""
    with (
        ScriptedModelServer(lambda _: "fine") as server,
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", PROGRAM + lines, server.url, str(processes)],
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def test_they_end_with_a_parent_that_is_killed() -> None:
    # A process that a trainer forks has copies of our connections, which therefore stay open.
    lines = "forked = os.fork()\nif forked: print(process_id, forked, flush=True)\ntime.sleep(1000)"
    with program(lines) as process:
        assert process.stdout is not None
        process_id, forked = map(int, process.stdout.readline().split())
        try:
            assert is_alive(process_id)
            process.kill()
            wait_until(lambda: not is_alive(process_id))
            assert is_alive(forked)
        finally:
            os.kill(forked, signal.SIGKILL)


def test_they_end_with_a_parent_that_ends_without_closing() -> None:
    with program("print(process_id)") as process:
        assert process.stdout is not None
        process_id = int(process.stdout.readline())
        assert process.wait(PATIENCE) == 0
        wait_until(lambda: not is_alive(process_id))


@pytest.mark.parametrize("processes", [0, 1])
def test_a_fork_has_calls_of_its_own(processes: int) -> None:
    lines = """
if os.fork() == 0:
    text = asyncio.run(finish())
    os.write(1, f"there: {text}\\n".encode())
    os._exit(0)
os.wait()
print("here:", asyncio.run(finish()))
"""
    with program(lines, processes) as process:
        output, _ = process.communicate(timeout=PATIENCE)
    assert output.splitlines() == ["there: fine", "here: fine"]
