"""What an episode with a language model costs beyond the model's own time. `make benchmark` prints the table."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import statistics
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from measuring import TABLE

from mlgym_core import AsyncEnv
from mlgym_core.host import Host
from mlgym_core.making import make_env
from mlgym_core.sandbox.bwrap import BwrapSandbox
from mlgym_model_litellm.model import LiteLLMModel

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.skipif(BwrapSandbox.unavailable_reason() is not None, reason="bwrap does not work here"),
]
_STEPS = 50
_EPISODES = 64
_LATENCY = 0.2


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


async def play(env: AsyncEnv, steps: int) -> list[list[dict[str, Any]]]:
    """Let the model call tools, and return the conversation of each call."""
    assert env.model is not None
    messages: list[dict[str, Any]] = [{"role": "user", "content": env.observation.text}]
    sent = []
    for _ in range(steps):
        sent.append(list(messages))
        reply = await env.model.complete(messages, env.tools)
        messages.append(reply.as_message())
        for call in reply.tool_calls:
            observation, *_ = await env.step({"tool": call.tool, "arguments": dict(call.arguments or {})})
            messages.append({"role": "tool", "tool_call_id": call.id, "content": observation.text})
    return sent


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


async def test_overhead_of_a_step(installed_examples: Host, tmp_path: Path) -> None:
    with server(tmp_path, 0.0) as url:
        model = LiteLLMModel("openai", "scripted", base_url=url)
        model.check()
        times = []
        references = []
        for number in range(6):
            env = await make_env(
                "examples/number", model=model, runs_dir=tmp_path / "runs", max_steps=1000, sandbox="bwrap"
            )
            async with env:
                await env.reset()
                began = time.perf_counter()
                sent = await play(env, _STEPS)
                seconds = (time.perf_counter() - began) / _STEPS
                request = {"model": "scripted", "tools": env.tools}
                bodies = [json.dumps({**request, "messages": messages}).encode() for messages in sent]
            if number:
                times.append(seconds)
                references.append(bare(url, bodies))
        await model.close()
    overhead = statistics.median(times) - statistics.median(references)
    TABLE.append(
        ("a step with a model, beyond its own time", f"{overhead * 1e3:.1f} ms", "–", f"{overhead * 1e3:.1f} ≤ 5 ms")
    )
    assert overhead <= 0.005


async def test_many_episodes_at_once(installed_examples: Host, tmp_path: Path) -> None:
    steps = 20
    with server(tmp_path, _LATENCY) as url:
        model = LiteLLMModel("openai", "scripted", base_url=url)
        model.check()
        envs = [await make_env("examples/number", model=model, max_steps=1000) for _ in range(_EPISODES)]
        for env in envs:
            await env.reset()
        await asyncio.gather(*[play(env, 1) for env in envs])
        began = time.perf_counter()
        await asyncio.gather(*[play(env, steps) for env in envs])
        share = steps * _LATENCY / (time.perf_counter() - began)
        for env in envs:
            await env.close()
        await model.close()
    TABLE.append(
        (f"{_EPISODES} episodes, a model with {_LATENCY:g} s", f"{share:.2f} of the ideal", "–", f"{share:.2f} ≥ 0.9")
    )
    assert share >= 0.9
