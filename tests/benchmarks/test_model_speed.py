"""What an episode with a language model costs beyond the model's own time. `make benchmark` prints the table."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
import statistics
import subprocess
import sys
import time
import urllib.parse
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from measuring import TABLE

from mlgym_core import AsyncEnv
from mlgym_core.host import Host
from mlgym_core.making import make_env
from mlgym_core.sandbox.bwrap import BwrapSandbox
from mlgym_model_litellm.call_processes import usual_number
from mlgym_model_litellm.call_thread import CallThread
from mlgym_model_litellm.model import LiteLLMModel

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.skipif(BwrapSandbox.unavailable_reason() is not None, reason="bwrap does not work here"),
]
_STEPS = 50
_EPISODES = 64
_LATENCY = 0.2
_WINDOW = 10.0
"""Seconds in which steps are counted."""
_WARM_UP = 3.0
"""Seconds before that."""


@contextlib.contextmanager
def server(folder: Path, latency: float) -> Iterator[str]:
    """Start a scripted server in a process of its own; yields its address."""
    answers = folder / "answers.jsonl"
    answers.write_text('{"tools": [["bash", {"command": "echo one line of output"}]]}\n')
    command = [sys.executable, "-W", "ignore", "-m", "mlgym_core.testing.model_server", str(answers)]
    with subprocess.Popen(
        [*command, "--port", "0", "--latency", str(latency)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[2].rstrip(";")
        finally:
            process.terminate()


@contextlib.contextmanager
def steady_server(folder: Path, latency: float) -> Iterator[str]:
    """Start a server that always answers the same; yields its address."""
    call = {"id": "call_0", "type": "function"}
    function = {"name": "bash", "arguments": '{"command": "echo one line of output"}'}
    message = {"role": "assistant", "content": None, "tool_calls": [{**call, "function": function}]}
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "scripted",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 20, "total_tokens": 1020},
    }
    body = folder / "answer.json"
    body.write_text(json.dumps(answer))
    program = Path(__file__).with_name("steady_server.py")
    command = [sys.executable, "-W", "ignore", str(program), str(body), str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.terminate()


async def play(env: AsyncEnv, steps: int) -> tuple[list[list[dict[str, Any]]], list[float]]:
    """Let the model call tools, and return the conversation of each call, and how long each step took, in seconds."""
    assert env.model is not None
    messages: list[dict[str, Any]] = [{"role": "user", "content": env.observation.text}]
    sent, times = [], []
    for _ in range(steps):
        sent.append(list(messages))
        began = time.perf_counter()
        reply = await env.model.complete(messages, env.tools)
        messages.append(reply.as_message())
        for call in reply.tool_calls:
            observation, *_ = await env.step({"tool": call.tool, "arguments": dict(call.arguments or {})})
            messages.append({"role": "tool", "tool_call_id": call.id, "content": observation.text})
        times.append(time.perf_counter() - began)
    return sent, times


def bare(url: str, bodies: list[bytes]) -> float:
    """Return the median time of the same requests over one bare connection, in seconds."""
    address = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port)
    times = []
    for body in bodies:
        began = time.perf_counter()
        connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        json.loads(connection.getresponse().read())
        times.append(time.perf_counter() - began)
    connection.close()
    return statistics.median(times)


async def play_steps(env: AsyncEnv) -> AsyncGenerator[None, None]:
    """Play one conversation after the other, and yield after each step."""
    assert env.model is not None
    while True:
        messages: list[dict[str, Any]] = [{"role": "user", "content": env.observation.text}]
        for _ in range(_STEPS):
            reply = await env.model.complete(messages, env.tools)
            messages.append(reply.as_message())
            for call in reply.tool_calls:
                observation, *_ = await env.step({"tool": call.tool, "arguments": dict(call.arguments or {})})
                messages.append({"role": "tool", "tool_call_id": call.id, "content": observation.text})
            yield


async def ask_bare(url: str, body: bytes) -> AsyncGenerator[None, None]:
    """Send the same request again and again over one bare connection, and yield after each answer."""
    address = urllib.parse.urlsplit(url)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        while True:
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"Content-Length: (\d+)", answer)
            assert length is not None
            json.loads(await reader.readexactly(int(length[1])))
            yield
    finally:
        writer.close()


async def throughput(
    players: list[AsyncGenerator[None, None]], is_warm: Callable[[], bool] = lambda: True
) -> float:  # fmt: skip
    """Return how many steps a second the players make together, counted from a while after it is warm.

    They begin one after the other, spread over the latency of the server.
    """
    steps = 0
    is_over = False

    async def count(player: AsyncGenerator[None, None], delay: float) -> None:
        nonlocal steps
        await asyncio.sleep(delay)
        async for _ in player:
            steps += 1
            if is_over:
                break

    counting = [
        asyncio.create_task(count(player, _LATENCY * number / len(players))) for number, player in enumerate(players)
    ]
    while not is_warm():  # noqa: ASYNC110 - it is about other processes
        await asyncio.sleep(0.1)
    await asyncio.sleep(_WARM_UP)
    before, began = steps, time.perf_counter()
    await asyncio.sleep(_WINDOW)
    rate = (steps - before) / (time.perf_counter() - began)
    is_over = True
    await asyncio.gather(*counting)
    for player in players:
        await player.aclose()
    return rate


async def test_overhead_of_a_step(installed_examples: Host, tmp_path: Path) -> None:
    with server(tmp_path, 0.0) as url:
        model = LiteLLMModel("openai", "scripted", base_url=url)
        model.check()
        times: list[float] = []
        references = []
        for number in range(6):
            env = await make_env(
                "examples/number", model=model, runs_dir=tmp_path / "runs", max_steps=1000, sandbox="bwrap"
            )
            async with env:
                await env.reset()
                sent, seconds = await play(env, _STEPS)
                request = {"model": "scripted", "tools": env.tools}
                bodies = [json.dumps({**request, "messages": messages}).encode() for messages in sent]
            if number:
                times += seconds
                references.append(bare(url, bodies))
        await model.close()
    overhead = statistics.median(times) - statistics.median(references)
    TABLE.append(
        ("a step with a model, beyond its own time", f"{overhead * 1e3:.1f} ms", "–", f"{overhead * 1e3:.1f} ≤ 5 ms")
    )
    assert overhead <= 0.005


async def test_many_episodes_at_once(installed_examples: Host, tmp_path: Path) -> None:
    """Measures the throughput of a process that plays many episodes with a slow model.

    The episodes begin spread over one latency and are then played without a pause. What counts is how many steps they
    make in a while, all together, long after the first calls. The ideal is what as many bare clients make of the same
    server in the same time, which do nothing but ask again; they are measured before and after.
    """
    with steady_server(tmp_path, _LATENCY) as url:
        model = LiteLLMModel("openai", "scripted", base_url=url)
        model.check()
        envs = [await make_env("examples/number", model=model, max_steps=100_000) for _ in range(_EPISODES)]
        for env in envs:
            await env.reset()
        sent, _ = await play(envs[0], _STEPS)
        request = {"model": "scripted", "tools": envs[0].tools, "messages": sent[_STEPS // 2]}
        body = json.dumps(request).encode()
        ideal = [await throughput([ask_bare(url, body) for _ in envs])]
        processes = CallThread.current().processes
        rate = await throughput([play_steps(env) for env in envs], lambda: processes.ready == usual_number())
        ideal.append(await throughput([ask_bare(url, body) for _ in envs]))
        for env in envs:
            await env.close()
        await model.close()
    share = rate / statistics.mean(ideal)
    TABLE.append(
        (
            f"{_EPISODES} episodes at once, a model with {_LATENCY:g} s",
            f"{rate:.0f} steps a second",
            f"bare clients: {statistics.mean(ideal):.0f}",
            f"{share:.2f} ≥ 0.9",
        )
    )
    assert share >= 0.9
