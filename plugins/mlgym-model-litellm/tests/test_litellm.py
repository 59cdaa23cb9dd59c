"""Models through LiteLLM's own code, against a server that answers as told."""

from __future__ import annotations

import asyncio
import datetime
import email.utils
import importlib.metadata
import json
import logging
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlgym_core import ContextTooLong, Host, ModelError, RequestRefused, Sampling, UsageError
from mlgym_core.models import make_model
from mlgym_core.testing import ScriptedAnswer, ScriptedModelServer
from mlgym_core.testing.model_server import (
    context_too_long,
    error_answer,
    rate_limit,
    server_error,
    unknown_model,
    wrong_key,
)
from mlgym_model_litellm import plugin, providers
from mlgym_model_litellm.cache import ReplyCache
from mlgym_model_litellm.exchanges import Answered, Exchange, attempt
from mlgym_model_litellm.failures import Failure, pause_before
from mlgym_model_litellm.model import LiteLLMModel
from mlgym_model_litellm.secrets import secret_values
from mlgym_model_litellm.update_providers import rendered

CANARY = "sk-canary-3f9d27b1c0"
HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {
    "name": "bash",
    "description": "Run a command",
    "parameters": {"type": "object", "properties": {"command": {"type": "string"}}},
}
Make = Callable[..., tuple[LiteLLMModel, ScriptedModelServer]]


# ------------------------------------------------------------------------------------------ registration


def test_providers_are_those_of_litellm() -> None:
    """Run `python -m mlgym_model_litellm.update_providers` if this fails with the version in the constraints."""
    if importlib.metadata.version("litellm") != providers.LITELLM_VERSION:
        pytest.skip("another version of LiteLLM is installed than the one the list was made from")
    assert Path(providers.__file__).read_text() == rendered()


def test_listing_imports_no_litellm() -> None:
    program = "import sys; from mlgym_core import Host; from mlgym_model_litellm import plugin; h = Host.of(plugin)"
    program += "; assert {'openai', 'anthropic', 'litellm'} <= {s.id for s in h.models}; assert not h.failures"
    program += "; assert not {'litellm', 'openai', 'httpx'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


# --------------------------------------------------------------------------------------------- answers


def test_litellm_is_loaded_before_any_episode_whose_time_that_would_take() -> None:
    program = (
        "import os, sys; from mlgym_model_litellm.model import LiteLLMModel; os.environ['MY_KEY'] = 'none-such';"
        "model = LiteLLMModel('openai', 'x', api_key_variable='MY_KEY'); before = 'litellm' in sys.modules;"
        "model.check(); print(before, 'litellm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


async def test_a_plain_answer(make: Make) -> None:
    model, server = make("Hi there")
    reply = await model.complete(HELLO, (), Sampling(temperature=0, top_p=0.95, max_tokens=50, stop=("END",), seed=3))
    assert (reply.text, reply.tool_calls, reply.finish_reason) == ("Hi there", (), "stop")
    assert reply.prompt_tokens > 0
    assert reply.cost_usd is None
    assert reply.seconds > 0
    assert not reply.estimated
    body = server.requests[0].body
    assert body["messages"] == HELLO
    settings = {name: body[name] for name in ("model", "temperature", "top_p", "max_tokens", "stop", "seed")}
    assert settings == {
        "model": "scripted",
        "temperature": 0,
        "top_p": 0.95,
        "max_tokens": 50,
        "stop": ["END"],
        "seed": 3,
    }
    assert "tools" not in body


@pytest.mark.parametrize("stream", [False, True])
async def test_tool_calls_and_wrong_ones(make: Make, stream: bool) -> None:
    calls: list[tuple[str, dict[str, Any] | str]] = [
        ("bash", {"command": "ls"}),
        ("nonsense", "{not json"),
        ("bash", "[1, 2]"),
        ("submit", ""),
    ]
    model, server = make(ScriptedAnswer(tools=calls), "done", stream=stream)
    reply = await model.complete(HELLO, [TOOL])
    assert [(call.tool, call.arguments) for call in reply.tool_calls] == [
        ("bash", {"command": "ls"}),
        ("nonsense", None),
        ("bash", None),
        ("submit", {}),
    ]
    assert reply.tool_calls[1].written == "{not json"
    assert reply.finish_reason == "tool_calls"
    results = [{"role": "tool", "tool_call_id": call.id, "content": "x"} for call in reply.tool_calls]
    await model.complete([*HELLO, reply.as_message(), *results], [TOOL])
    first, second = server.requests
    assert first.body["tools"] == [{"type": "function", "function": TOOL}]
    assert len(second.body["messages"]) == 6
    assert bool(first.body.get("stream")) == stream


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("text", ["", None])
async def test_an_empty_message(make: Make, text: str | None, stream: bool) -> None:
    model, _ = make(ScriptedAnswer(text=text), stream=stream)
    assert (await model.complete(HELLO)).text == ""


@pytest.mark.parametrize("stream", [False, True])
async def test_usage_in_detail_and_cost(make: Make, tmp_path: Path, stream: bool) -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 60},
        "completion_tokens_details": {"reasoning_tokens": 7},
    }
    prices = tmp_path / "prices.toml"
    prices.write_text('["openai/scripted"]\nprompt = 10\ncached = 1\ncompletion = 100\n')
    model, _ = make(ScriptedAnswer(text="x", usage=usage), prices=prices, stream=stream)
    reply = await model.complete(HELLO)
    assert (reply.prompt_tokens, reply.cached_tokens) == (100, 60)
    assert (reply.completion_tokens, reply.reasoning_tokens) == (20, 7)
    assert reply.cost_usd == pytest.approx((40 * 10 + 60 * 1 + 20 * 100) / 1e6)
    assert model.price_usd(100, 20) == pytest.approx((100 * 10 + 20 * 100) / 1e6)


async def test_prices_of_litellms_table(make: Make) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    model, _ = make(ScriptedAnswer(text="x", usage=usage), name="gpt-4o")
    assert (await model.complete(HELLO)).cost_usd == pytest.approx(1000 * 2.5e-6 + 100 * 1e-5)
    assert model.price_usd(1000, 100) == pytest.approx(0.0035)
    assert model.context_tokens() == 128_000
    assert model.answer_tokens() == 16_384
    unknown, _ = make()
    assert (unknown.price_usd(1000, 100), unknown.context_tokens(), unknown.answer_tokens()) == (None, None, None)
    stated, _ = make(context_tokens=2048, answer_tokens=512)
    assert (stated.context_tokens(), stated.answer_tokens()) == (2048, 512)


async def test_the_providers_own_cost_counts_first(make: Make) -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, "cost": 0.25}
    model, _ = make(ScriptedAnswer(text="x", usage=usage))
    assert (await model.complete(HELLO)).cost_usd == 0.25


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"prompt_tokens": -5, "completion_tokens": -1, "total_tokens": -6},
        {"prompt_tokens": 10**15, "completion_tokens": 10**15, "total_tokens": 1},
        {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    ],
)
async def test_absurd_usage_is_estimated_and_its_cost_unknown(make: Make, usage: Any) -> None:
    model, _ = make(ScriptedAnswer(text="some words of an answer", usage=usage), name="gpt-4o")
    reply = await model.complete(HELLO)
    assert reply.text == "some words of an answer"
    assert reply.estimated
    assert 0 < reply.prompt_tokens < 50
    assert 0 < reply.completion_tokens < 50
    assert reply.cost_usd is None


@pytest.mark.parametrize("usage", ["nonsense", {"prompt_tokens": "many", "completion_tokens": "x"}, [1, 2]])
async def test_usage_that_is_no_number_is_no_crash(make: Make, usage: Any) -> None:
    model, server = make(*[ScriptedAnswer(text="x", usage=usage)] * 3, "fine", retries=3)
    reply = await model.complete(HELLO)
    assert reply.text in ("x", "fine")
    assert reply.cost_usd is None
    assert len(server.requests) <= 4


@pytest.mark.parametrize("stream", [False, True])
async def test_token_ids_and_log_probabilities(make: Make, stream: bool) -> None:
    logprobs = {"content": [{"token": "a", "logprob": -0.5, "bytes": None, "top_logprobs": []}]}
    answer = ScriptedAnswer(
        text="a", choice_fields={"token_ids": [5], "logprobs": logprobs}, answer_fields={"prompt_token_ids": [1, 2]}
    )
    model, server = make(answer, token_ids=True, stream=stream)
    reply = await model.complete(HELLO)
    body = server.requests[0].body
    assert body["logprobs"] is True
    assert body["return_token_ids"] is True
    if not stream:
        assert reply.prompt_token_ids == (1, 2)
        assert reply.completion_token_ids == (5,)
        assert reply.log_probabilities == (-0.5,)


async def test_reasoning_goes_back_with_the_next_request(make: Make) -> None:
    model, _ = make(ScriptedAnswer(text="x", fields={"reasoning_content": "hm"}))
    reply = await model.complete(HELLO)
    assert reply.as_message() == {"role": "assistant", "content": "x", "reasoning_content": "hm"}


async def test_texts_that_are_not_unicode(make: Make) -> None:
    model, server = make("half a \ud83d pair", "fine")
    reply = await model.complete(HELLO)
    assert reply.text == "half a \ud83d pair"
    messages = [*HELLO, reply.as_message(), {"role": "user", "content": "more \udcff"}]
    assert model.count_tokens(messages) > 5
    assert (await model.complete(messages)).text == "fine"
    assert server.requests[1].body["messages"][2]["content"] == "more \udcff"


async def test_a_provider_with_an_interface_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", CANARY)
    usage = {"input_tokens": 40, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 0, "output_tokens": 20}
    thought = {"type": "thinking", "thinking": "hm", "signature": "signed"}
    use = {"type": "tool_use", "id": "toolu_1", "name": "bash", "input": {"command": "ls"}}
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
    }
    message |= {"content": [thought, {"type": "text", "text": "Look:"}, use], "stop_reason": "tool_use", "usage": usage}
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    limited = {"type": "error", "error": {"type": "rate_limit_error", "message": "Slower"}}
    long = {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens > 200000 maximum"},
    }
    answers = [
        ScriptedAnswer(status=529, body=json.dumps(overloaded).encode()),
        ScriptedAnswer(status=429, headers={"Retry-After": "1"}, body=json.dumps(limited).encode()),
        ScriptedAnswer(body=json.dumps(message).encode()),
        ScriptedAnswer(body=json.dumps(message).encode()),
        ScriptedAnswer(status=400, body=json.dumps(long).encode()),
    ]
    with ScriptedModelServer(answers, endings=("/v1/messages",)) as server:
        options = {"base_url": server.url.removesuffix("/v1"), "api_key_variable": "MY_KEY", "retry_pause": 0.01}
        model = make_model(Host.of(plugin), "anthropic/claude-sonnet-4-5-20250929", options)
        model.check()
        reply = await model.complete(HELLO, [TOOL])
        assert (reply.text, reply.finish_reason) == ("Look:", "tool_calls")
        assert [(call.tool, call.arguments) for call in reply.tool_calls] == [("bash", {"command": "ls"})]
        assert (reply.prompt_tokens, reply.cached_tokens, reply.completion_tokens) == (100, 60, 20)
        assert reply.cost_usd == pytest.approx((40 * 3 + 60 * 0.3 + 20 * 15) / 1e6)
        result = {"role": "tool", "tool_call_id": "toolu_1", "content": "strategy.py"}
        await model.complete([*HELLO, reply.as_message(), result], [TOOL])
        with pytest.raises(ContextTooLong):
            await model.complete(HELLO)
        await model.close()
    assert server.requests[0].headers["x-api-key"] == CANARY
    assert 1.0 <= server.requests[2].t - server.requests[1].t < 3.0
    # Signed thoughts go back as they came.
    assert thought in server.requests[3].body["messages"][1]["content"]


async def test_tokens_are_counted_without_a_network(make: Make) -> None:
    model, _ = make()
    short = model.count_tokens(HELLO)
    assert 3 < short < 20
    long = [*HELLO, {"role": "tool", "tool_call_id": "1", "content": "word " * 1000}]
    assert 900 < model.count_tokens(long) < 1200
    assert model.count_tokens(HELLO, [TOOL]) > short
    function = {"name": "bash", "arguments": "word " * 1000}
    called = {"role": "assistant", "content": None, "tool_calls": [{"id": "call_0", "function": function}]}
    assert 1000 < model.count_tokens([*HELLO, called]) < 1100
    odd = {"role": "assistant", "tool_calls": ["nonsense", {"function": {"name": None, "arguments": {"a": 1}}}]}
    assert model.count_tokens([*HELLO, odd]) > short


# ---------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    "fault",
    [
        rate_limit(),
        server_error(),
        server_error(502),
        server_error(503),
        ScriptedAnswer(reset=True),
        ScriptedAnswer(text="cut off here", cut_after=30),
        ScriptedAnswer(body=b"not json"),
        ScriptedAnswer(body=b"<html>Bad gateway</html>", content_type="text/html"),
        ScriptedAnswer(body=b"[]"),
        ScriptedAnswer(body=b"{}"),
        ScriptedAnswer(body=b'{"choices": []}'),
        ScriptedAnswer(body=b""),
        error_answer(503, "overloaded", content_type="text/plain"),
    ],
    ids=lambda fault: f"{fault.status}-{(fault.body or b'')[:12]!r}-{fault.reset}-{fault.cut_after}",
)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_may_pass_is_tried_again(make: Make, fault: ScriptedAnswer, stream: bool) -> None:
    model, server = make(fault, fault, "fine", stream=stream)
    assert (await model.complete(HELLO)).text == "fine"
    assert len(server.requests) == 3


async def test_the_wrong_content_type_alone_does_not_matter(make: Make) -> None:
    model, _ = make(ScriptedAnswer(text="fine", content_type="text/html"), "fine")
    assert (await model.complete(HELLO)).text == "fine"


async def test_retry_after_is_honoured(make: Make) -> None:
    model, server = make(rate_limit(after=1), "fine")
    assert (await model.complete(HELLO)).text == "fine"
    first, second = server.requests
    assert 1.0 <= second.t - first.t < 3.0


async def test_retry_after_may_be_a_date(make: Make) -> None:
    then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2.5)
    model, server = make(rate_limit(after=email.utils.format_datetime(then, usegmt=True)), "fine")
    await model.complete(HELLO)
    first, second = server.requests
    # Dates have whole seconds.
    assert 0.7 <= second.t - first.t < 5.0


def test_pauses_grow_and_differ() -> None:
    pauses = [[pause_before(attempt, None, 1.0) for _ in range(300)] for attempt in (1, 3, 20)]
    assert all(0 <= pause <= most for row, most in zip(pauses, (2, 8, 60), strict=True) for pause in row)
    assert sum(pauses[0]) < sum(pauses[1]) < sum(pauses[2])
    assert len(set(pauses[0])) > 290
    assert all(5 <= pause_before(1, 5.0, 1.0) <= 5.5 for _ in range(100))


async def test_nobody_waits_for_hours(make: Make) -> None:
    model, server = make(rate_limit(after=86400), "fine")
    with pytest.raises(ModelError, match="asks to wait for 86400 s"):
        await model.complete(HELLO)
    assert len(server.requests) == 1


async def test_retries_end(make: Make) -> None:
    model, server = make(*[rate_limit()] * 5, retries=2)
    with pytest.raises(ModelError, match=r"openai/scripted failed \(429\): Rate limit reached.*tried 3 times"):
        await model.complete(HELLO)
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (wrong_key("that of a colleague"), ModelError, r"wants a key \(401\), and was sent none: name the"),
        (unknown_model("scripted"), ModelError, "does not know openai/scripted"),
        (context_too_long(), ContextTooLong, "too long for openai/scripted"),
        (error_answer(400, "temperature must be lower"), RequestRefused, "temperature must be lower"),
        (error_answer(422, "no such field"), RequestRefused, "no such field"),
        (error_answer(402, "Pay first"), ModelError, "Pay first"),
        (error_answer(429, "You exceeded your current quota", "insufficient_quota"), ModelError, "used up"),
    ],
)
async def test_what_stays_wrong_is_not_tried_again(
    make: Make, fault: ScriptedAnswer, kind: type[ModelError], says: str
) -> None:
    model, server = make(fault, "fine")
    with pytest.raises(kind, match=says) as caught:
        await model.complete(HELLO)
    assert type(caught.value) is kind
    assert len(server.requests) == 1


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize(
    ("status", "has_key", "says"),
    [
        (401, True, r"refuses the key \(401\)\. Look at the environment variable MY_KEY\."),
        (403, True, r"refuses access \(403\)\. Look at the environment variable MY_KEY, .* It may also be the region"),
        (401, False, r"wants a key \(401\), and was sent none: name .* -M api_key_variable=NAME\. It says: Not you"),
        (403, False, r"refuses access \(403\)\. It was sent no key: if it wants one, .*NAME\. It says: Not you"),
    ],
)
async def test_a_refused_access_is_told_as_it_is(
    make: Make, monkeypatch: pytest.MonkeyPatch, provider: str, status: int, has_key: bool, says: str
) -> None:
    monkeypatch.setenv("MY_KEY", CANARY)
    options = {"api_key_variable": "MY_KEY"} if has_key else {}
    fault = error_answer(status, f"Not you with {CANARY[:9]}***!")
    model, server = make(fault, "fine", provider=provider, name="claude-x", **options)
    with pytest.raises(ModelError, match=says) as caught:
        await model.complete(HELLO)
    # Providers repeat a part of a key, which only they know to be none.
    assert (CANARY[:9] in str(caught.value)) is not has_key
    assert len(server.requests) == 1


async def test_the_address_is_what_may_be_wrong_too(make: Make) -> None:
    model, server = make(ScriptedAnswer(status=404, body=b"<html>not found</html>", content_type="text/html"))
    with pytest.raises(ModelError, match=f"Or is {server.url} not the address"):
        await model.complete(HELLO)


async def test_slow_bytes(make: Make) -> None:
    model, _ = make(ScriptedAnswer(text="slow", slow=0.002), retries=0)
    assert (await model.complete(HELLO)).text == "slow"
    model, _ = make(ScriptedAnswer(text="slow", slow=0.05), timeout=0.5, retries=0)
    began = time.monotonic()
    with pytest.raises(ModelError, match=r"did not answer within 0\.5 s"):
        await model.complete(HELLO)
    assert time.monotonic() - began < 5


async def test_an_answer_in_parts_may_take_longer(make: Make) -> None:
    model, _ = make(ScriptedAnswer(text="a b c d", slow=0.001), timeout=1.0, retries=0, stream=True)
    reply = await model.complete(HELLO)
    assert reply.text == "a b c d"
    assert reply.seconds > 1.0


async def test_a_stream_that_ends_too_early_is_an_error_of_the_server(make: Make) -> None:
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
    chunk["choices"] = [{"index": 0, "delta": {"role": "assistant", "content": "half"}, "finish_reason": None}]
    body = b"data: " + json.dumps(chunk).encode() + b"\n\n"
    broken = ScriptedAnswer(body=body, content_type="text/event-stream")
    model, server = make(broken, "whole", stream=True)
    assert (await model.complete(HELLO)).text == "whole"
    assert len(server.requests) == 2


async def test_a_cancelled_call_is_given_up(make: Make) -> None:
    model, _ = make(ScriptedAnswer(text="late", delay=5), "early")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await model.complete(HELLO)
    assert (await model.complete(HELLO)).text == "early"


# ------------------------------------------------------------------------------------------ concurrency


async def test_calls_at_the_same_time(make: Make) -> None:
    model, server = make(*[ScriptedAnswer(text="x", delay=0.3)] * 16)
    began = time.monotonic()
    await asyncio.gather(*[model.complete(HELLO) for _ in range(16)])
    assert time.monotonic() - began < 3
    assert len(server.requests) == 16


async def test_concurrency_is_limited(make: Make) -> None:
    model, server = make(*[ScriptedAnswer(text="x", delay=0.2)] * 6, concurrency=2)
    await asyncio.gather(*[model.complete(HELLO) for _ in range(6)])
    times = sorted(request.t for request in server.requests)
    assert times[2] - times[0] > 0.15
    assert times[4] - times[2] > 0.15


def test_one_model_on_several_event_loops() -> None:
    with ScriptedModelServer(lambda _: "x") as server:
        model = LiteLLMModel("openai", "scripted", base_url=server.url)
        for _ in range(3):
            assert asyncio.run(model.complete(HELLO)).text == "x"
        asyncio.run(model.close())
        assert asyncio.run(model.complete(HELLO)).text == "x"
        asyncio.run(model.close())


# ------------------------------------------------------------------------------------------------ cache


async def test_the_cache(make: Make, tmp_path: Path) -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, "cost": 0.25}
    answers = [ScriptedAnswer(tools=[("bash", {"command": "ls"})], usage=usage), "second", "third", "other"]
    model, server = make(*answers, cache=tmp_path / "cache")
    first = await model.complete(HELLO)
    second = await model.complete(HELLO)
    assert (second.text, first.from_cache) == ("second", False)
    await model.complete(HELLO, (), Sampling(temperature=0))
    await model.complete([{"role": "user", "content": "Bye"}])
    assert len(server.requests) == 4
    # Another run with the same requests asks nobody.
    again = LiteLLMModel("openai", "scripted", base_url=server.url, cache=tmp_path / "cache")
    cached = await again.complete(HELLO)
    assert cached.tool_calls == first.tool_calls
    assert (cached.cost_usd, cached.from_cache) == (0.25, True)
    assert (await again.complete(HELLO)).text == "second"
    assert (await again.complete(HELLO, (), Sampling(temperature=0))).text == "third"
    assert len(server.requests) == 4
    await again.close()
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700


async def test_a_reply_that_the_cache_cannot_keep_is_not_lost(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "cache"
    model, _ = make("first", "second", cache=folder)
    folder.rmdir()
    assert (await model.complete(HELLO)).text == "first"
    assert f"cannot be kept in the cache folder {folder}" in caplog.text
    # Nor does a failure leave anything behind.
    folder.mkdir()
    place = ReplyCache(folder).place({"a": 1}, 0)
    place.mkdir()
    ReplyCache(folder).keep(place, await model.complete([{"role": "user", "content": "Bye"}]))
    assert [path for path in folder.iterdir() if path.name.startswith("tmp")] == []


# ------------------------------------------------------------------------------------- keys and options


async def test_a_server_gets_the_key_that_is_meant_for_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    model, server = make("x")
    await model.complete(HELLO)
    assert CANARY not in server.requests[0].headers["authorization"]
    monkeypatch.setenv("MY_KEY", "for-my-server-only")
    model, server = make("x", key="for-my-server-only", api_key_variable="MY_KEY")
    await model.complete(HELLO)
    assert server.requests[0].headers["authorization"] == "Bearer for-my-server-only"


async def test_a_server_whose_address_is_in_the_environment_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedModelServer(["fine", wrong_key()]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        model = LiteLLMModel("openai", "scripted")
        model.check()
        assert (await model.complete(HELLO)).text == "fine"
        with pytest.raises(ModelError, match="was sent none"):
            await model.complete(HELLO)
        # Whoever has a key there sends it, and is told to look at it.
        monkeypatch.setenv("OPENAI_API_KEY", CANARY)
        server.add(wrong_key())
        with pytest.raises(
            ModelError, match=r"refuses the key \(401\)\. Look at the environment variable OPENAI_API_KEY\."
        ):
            await model.complete(HELLO)
        assert server.requests[2].headers["authorization"] == f"Bearer {CANARY}"
        await model.close()


async def test_a_server_that_repeats_the_key(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", CANARY)
    model, _ = make(f"Your key is {CANARY}.", api_key_variable="MY_KEY")
    assert (await model.complete(HELLO)).text == "Your key is [key]."
    model, _ = make(error_answer(400, f"What is {CANARY}?"), api_key_variable="MY_KEY")
    with pytest.raises(ModelError, match=r"What is \[key\]"):
        await model.complete(HELLO)


@pytest.mark.parametrize(
    ("model", "options", "says"),
    [
        ("anthropic/claude-x", {}, "ANTHROPIC_API_KEY"),
        ("openai/gpt-4o", {}, "OPENAI_API_KEY"),
        ("gemini/gemini-x", {}, "GEMINI_API_KEY"),
        ("litellm/groq/llama", {}, "GROQ_API_KEY"),
        ("litellm/anthropc/claude-x", {}, "Did you mean 'anthropic'"),
        ("openai/x", {"api_key_variable": "MY_MISSING_KEY"}, "MY_MISSING_KEY"),
        ("openai/x", {"base_url": "localhost:8000"}, "no address"),
        ("openai/x", {"base_url": "http://me:word@localhost/v1"}, "api_key_variable"),
        ("openai/x", {"base_url": "http://localhost/v1?api-key=word"}, "api_key_variable"),
        ("openai/x", {"retries": -1}, "retries is -1"),
        ("openai/x", {"concurrency": 0}, "concurrency is 0"),
        ("openai/x", {"prices": "missing.json"}, "cannot be read"),
        ("openai/x", {"parameters": "{"}, "no JSON"),
        ("openai/x", {"parameters": "[]"}, "no JSON object"),
        ("openai/x", {"parameters": '{"api_key": "word"}'}, "must not have 'api_key'"),
        ("openai/x", {"parameters": '{"extra_headers": {}}'}, "must not have 'extra_headers'"),
    ],
)
def test_what_is_missing_is_named_before_any_call(model: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        make_model(Host.of(plugin), model, options).check()


def test_providers_that_need_no_key_or_have_other_ways() -> None:
    for model in ("ollama_chat/llama3", "hosted_vllm/x", "bedrock/x", "vertex_ai/x"):
        make_model(Host.of(plugin), model, {}).check()
    make_model(Host.of(plugin), "openai/x", {"parameters": '{"logit_bias": {"5": 1}}', "base_url": "http://x"}).check()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "cannot be read"),
        ("[]", "no object"),
        ('{"m": {"prompt": 1}}', "needs `prompt` and `completion`"),
        ('{"m": {"prompt": 1, "completion": 1, "cachd": 1}}', "nothing else"),
        ('{"m": {"prompt": -1, "completion": 1}}', "`prompt` is -1"),
        ('{"m": {"prompt": true, "completion": 1}}', "`prompt` is True"),
        ('{"m": {"prompt": Infinity, "completion": 1}}', "`prompt` is inf"),
        ('{"m": 5}', "needs"),
    ],
)
def test_wrong_price_files_are_named(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "prices.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=says):
        LiteLLMModel("openai", "x", base_url="http://localhost", prices=path).check()


async def test_a_price_file_may_say_that_it_costs_nothing(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text('{"scripted": {"prompt": 0, "completion": 0}}')
    model, _ = make("x", prices=path)
    assert (await model.complete(HELLO)).cost_usd == 0.0


@pytest.mark.parametrize(
    "options",
    [
        {"parameters": '{"api_base": "http://127.0.0.1:9/v1"}'},
        {"parameters": '{"max_tokens": 9000}'},
        {"parameters": '{"extra_body": {"deep": [{"api_key": "sk-canary"}]}}'},
        {"retry_pause": "nan"},
        {"timeout": "inf"},
        {"api_key_variable": "sk-canary-123456"},
    ],
)
def test_options_that_would_leak_or_hang_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(UsageError) as caught:
        make_model(Host.of(plugin), "openai/x", {"base_url": "http://x", **options}).check()
    assert "canary" not in str(caught.value)


def test_only_whole_words_tell_the_names_of_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("KEYCLOAK_HOST", "localhost-1"), ("MONKEY", "strategy"), ("MY_API_KEY", "sk-canary-1")):
        monkeypatch.setenv(name, value)
    found = secret_values()
    assert "sk-canary-1" in found
    assert "localhost-1" not in found
    assert "strategy" not in found


def test_keys_are_those_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("sk-canary-1", "sk-canary-2"):
        monkeypatch.setenv("MY_API_KEY", key)
        assert key in secret_values()
    assert "sk-canary-1" not in secret_values()
    monkeypatch.delenv("MY_API_KEY")
    assert "sk-canary-2" not in secret_values()


@pytest.mark.parametrize("variable", ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GROQ_API_KEY"])
@pytest.mark.parametrize("value", ["", "  "])
def test_a_key_that_is_set_to_nothing_is_none(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    model = LiteLLMModel(variable.partition("_")[0].lower(), "some-model")
    with pytest.raises(UsageError, match=f"needs a key: set the environment variable {variable}"):
        model.check()
    assert os.environ[variable] == value


def test_so_is_one_in_a_variable_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "  ")
    with pytest.raises(UsageError, match="set the environment variable MY_KEY"):
        LiteLLMModel("openai", "x", api_key_variable="MY_KEY").check()


async def test_messages_are_sentences_for_users() -> None:
    said = ["Nothing works", "It broke. Handle with `litellm.InternalServerError`."]
    with ScriptedModelServer([error_answer(500, text) for text in said for _ in range(2)]) as server:
        model = LiteLLMModel("openai", "scripted", base_url=server.url, retry_pause=0.01, retries=1)
        for text in ("Nothing works. It was tried 2 times.", "It broke. It was tried 2 times."):
            with pytest.raises(ModelError) as caught:
                await model.complete(HELLO)
            assert str(caught.value).endswith(text)
        await model.close()


async def test_failures_that_go_on_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with ScriptedModelServer([server_error()] * 3 + ["fine"]) as server:
        model = LiteLLMModel("openai", "scripted", base_url=server.url, retry_pause=0.01)
        with caplog.at_level(logging.INFO, "mlgym"):
            await model.complete(HELLO)
        await model.close()
    levels = [record.levelname for record in caplog.records if "It is tried again" in record.message]
    assert levels == ["INFO", "WARNING", "INFO"]


# --------------------------------------------------------------------------------------------- exchanges


@pytest.mark.parametrize("stream", [False, True])
async def test_an_attempt_and_its_outcome_can_go_to_other_processes(stream: bool) -> None:
    with ScriptedModelServer([ScriptedAnswer(text="a b", tools=[("bash", {})]), rate_limit(after=2)]) as server:
        exchange = Exchange(
            model="openai/scripted",
            request={"model": "openai/scripted", "messages": HELLO},
            timeout=30.0,
            stream=stream,
            base_url=server.url,
            key="none",
        )
        exchange = pickle.loads(pickle.dumps(exchange))
        said: list[str] = []
        answered = pickle.loads(pickle.dumps(await attempt(exchange, said.append)))
        failed = pickle.loads(pickle.dumps(await attempt(exchange)))
    assert isinstance(answered, Answered)
    assert answered.reply.text == "a b"
    assert answered.reply.tool_calls[0].arguments == {}
    assert said == (["a", " b"] if stream else [])
    assert isinstance(failed, Failure)
    assert (failed.retry, failed.after) == (True, 2.0)
    assert "Rate limit" in str(failed.error)


async def test_a_server_that_is_not_there() -> None:
    with ScriptedModelServer() as server:
        url = server.url
    model = LiteLLMModel("openai", "absent", base_url=url, retries=0)
    with pytest.raises(ModelError, match=r"openai/absent failed: Cannot connect to host 127\.0\.0\.1:\d+ \[") as raised:
        await model.complete(HELLO)
    assert "Exception" not in str(raised.value)
    assert "object at" not in str(raised.value)
    await model.close()
