"""Servers that cheat, flood, trickle, send their callers elsewhere, or repeat the key."""

from __future__ import annotations

import asyncio
import gzip
import inspect
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlgym_core import ModelCall, ModelError, Sampling
from mlgym_core.testing import ScriptedAnswer, ScriptedModelServer
from mlgym_core.testing.model_server import rate_limit, server_error
from mlgym_model_litellm import transport
from mlgym_model_litellm.library import load
from mlgym_model_litellm.model import LiteLLMModel
from mlgym_model_litellm.secrets import redacted, redacted_so_far
from mlgym_model_litellm.usage_figures import Figures, event_line, whole_answer

CANARY = "sk-canary-3f9d27b1c0"
ESCAPED = "\\u0073k-canary-3f9d27b1\\u00630"
HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {"name": "bash", "description": "Run a command", "parameters": {"type": "object", "properties": {}}}
PROVIDERS = ("openai", "anthropic")
Make = Callable[..., tuple[LiteLLMModel, ScriptedModelServer]]


class Call(ModelCall):
    """Writes down what a model tells of a call."""

    def __init__(self, repeat: int = 0) -> None:
        self.repeat = repeat
        self.failed: list[tuple[str, int | None]] = []
        self.pauses: list[float] = []
        self.texts: list[str] = []

    def attempt_failed(self, error: str, *, completion_tokens: int | None = None) -> None:
        self.failed.append((error, completion_tokens))

    async def next_attempt(self, pause: float) -> Sampling:
        self.pauses.append(pause)
        return Sampling(max_tokens=7)

    def said(self, text: str) -> None:
        self.texts.append(text)


def everything(value: Any) -> str:
    """Return all texts in a value, as a reader would see them."""
    if isinstance(value, Mapping):
        return everything(list(value.items()))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(map(everything, value))
    return str(value)


def chunk(delta: dict[str, Any], reason: str | None = None) -> bytes:
    head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
    return b"data: " + json.dumps({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}).encode()


def stream(*lines: bytes, **more: Any) -> ScriptedAnswer:
    return ScriptedAnswer(body=b"".join(line + b"\n\n" for line in lines), content_type="text/event-stream", **more)


# ------------------------------------------------------------------------------------------------- keys


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize(
    "arguments",
    [
        {"command": f"echo {CANARY}", "deep": [{CANARY: [CANARY]}]},
        '{"command": "echo ' + ESCAPED + '"}',
        "{not json " + CANARY,
        "{not json " + ESCAPED,
        json.dumps({"command": f"printf '{ESCAPED}'"}),
    ],
)
async def test_a_key_is_taken_out_wherever_it_comes_back(
    make: Make, monkeypatch: pytest.MonkeyPatch, arguments: Any, is_streamed: bool
) -> None:
    monkeypatch.setenv("MY_KEY", CANARY)
    answer = ScriptedAnswer(
        text=f"It is {CANARY}, or {ESCAPED}.",
        tools=[("bash", arguments), (f"tool-{CANARY}", {})],
        fields={"reasoning_content": f"Hm, {CANARY}"},
        answer_fields={"model": f"model-{CANARY}"},
        finish_reason=None if is_streamed else f"reason-{CANARY}",
    )
    model, _ = make(answer, api_key_variable="MY_KEY", stream=is_streamed)
    reply = await model.complete(HELLO, [TOOL])
    seen = everything(
        [vars(reply), [vars(call) for call in reply.tool_calls], reply.as_message(), json.dumps(reply.as_message())]
    )
    assert CANARY not in seen
    assert ESCAPED not in seen
    assert reply.text == "It is [key], or [key]."
    if isinstance(arguments, dict):
        assert reply.tool_calls[0].arguments == {"command": "echo [key]", "deep": [{"[key]": ["[key]"]}]}
        assert json.loads(reply.tool_calls[0].written) == reply.tool_calls[0].arguments
    assert reply.tool_calls[1].tool == "tool-[key]"
    assert reply.extra == {"reasoning_content": "Hm, [key]"}


async def test_a_key_that_is_changed_meanwhile_is_taken_out(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = make(*[f"My key is {CANARY}."] * 2)
    assert CANARY in (await model.complete(HELLO)).text
    monkeypatch.setenv("ANOTHER_KEY", CANARY)
    assert (await model.complete(HELLO)).text == "My key is [key]."


async def test_a_key_at_the_place_where_a_message_is_cut(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", CANARY)
    for length in range(570, 600, 3):
        body = json.dumps({"error": {"message": "x" * length + CANARY}}).encode()
        model, _ = make(ScriptedAnswer(status=400, body=body), api_key_variable="MY_KEY")
        with pytest.raises(ModelError) as caught:
            await model.complete(HELLO)
        assert CANARY[:6] not in str(caught.value)


async def test_a_key_in_an_answer_that_is_being_said(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", CANARY)
    lines = [chunk({"content": letter}) for letter in f"My key is {CANARY}, you see"]
    model, _ = make(stream(*lines, chunk({}, "stop"), slow=0.0001), api_key_variable="MY_KEY", stream=True)
    call = Call()
    await model.complete(HELLO, (), Sampling(), call)
    assert call.texts
    assert all(CANARY[:4] not in text for text in call.texts)
    assert redacted_so_far(f"It is {CANARY[:9]}", [CANARY]) == "It is "
    assert redacted_so_far(f"It is {CANARY} and", [CANARY]) == "It is [key] and"


def test_escaped_keys_are_found() -> None:
    assert redacted("a \\x73k-canary-3f9d27b1c0 b", [CANARY]) == "a [key] b"
    assert redacted("C:\\users \\u0041", [CANARY]) == "C:\\users \\u0041"


async def test_nobody_is_sent_elsewhere_with_the_key(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", CANARY)
    for provider in PROVIDERS:
        for is_streamed in (False, True):
            with ScriptedModelServer(["gotcha"] * 3) as thief:
                target = thief.url + ("/messages" if provider == "anthropic" else "/chat/completions")
                for status in (301, 302, 303, 307, 308):
                    moved = ScriptedAnswer(status=status, headers={"Location": target}, body=b"")
                    model, server = make(
                        moved, provider=provider, name="claude-x", api_key_variable="MY_KEY", stream=is_streamed
                    )
                    with pytest.raises(ModelError, match="sends its callers elsewhere"):
                        await model.complete(HELLO)
                    assert len(server.requests) == 1
                assert thief.requests == []


# ----------------------------------------------------------------------------------------------- floods


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest answer is one that tests can send."""
    monkeypatch.setattr(transport, "LARGEST_ANSWER", 20_000)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("status", [200, 500])
async def test_an_endless_answer(make: Make, provider: str, is_streamed: bool, status: int) -> None:
    part = b"data: {}\n\n" if is_streamed else b" " * 1000
    endless = ScriptedAnswer(body=b"", endless=part, status=status, content_type="application/json")
    model, server = make(endless, "fine", provider=provider, name="claude-x", api_key_variable=None, stream=is_streamed)
    with pytest.raises(ModelError, match="longer than 0 MB"):
        await model.complete(HELLO)
    assert len(server.requests) == 1


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_an_answer_that_unpacks_to_more_than_anybody_has(make: Make, is_streamed: bool) -> None:
    bomb = gzip.compress(b"data: " + b" " * 50_000_000)
    packed = ScriptedAnswer(body=bomb, headers={"Content-Encoding": "gzip"})
    model, server = make(packed, stream=is_streamed)
    with pytest.raises(ModelError, match="longer than"):
        await model.complete(HELLO)
    assert server.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_packed_answers_of_honest_servers(make: Make, is_streamed: bool) -> None:
    whole: dict[str, Any] = {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}]
    }
    whole |= {"id": "1", "object": "chat.completion", "created": 1, "model": "scripted"}
    lines = stream(chunk({"content": "fine"}), chunk({}, "stop")).body
    body = lines if is_streamed else json.dumps(whole).encode()
    assert body is not None
    kind = "text/event-stream" if is_streamed else "application/json"
    packed = ScriptedAnswer(body=gzip.compress(body), headers={"Content-Encoding": "gzip"}, content_type=kind)
    strange = ScriptedAnswer(body=b"x", headers={"Content-Encoding": "br"})
    model, _ = make(packed, strange, stream=is_streamed)
    assert (await model.complete(HELLO)).text == "fine"
    with pytest.raises(ModelError, match=r"packed \(br\)"):
        await model.complete(HELLO)


async def test_an_answer_that_trickles_for_ever(make: Make) -> None:
    endless = ScriptedAnswer(body=b"", endless=chunk({"content": "x"}) + b"\n\n", slow=0.02)
    endless.content_type = "text/event-stream"
    model, server = make(endless, stream=True, timeout=20, longest=1.0)
    call = Call()
    with pytest.raises(ModelError, match="not at its end after 1 s"):
        await model.complete(HELLO, (), Sampling(), call)
    assert len(server.requests) == 1
    [(error, tokens)] = call.failed
    assert "not at its end" in error
    assert tokens is not None
    assert tokens > 2


async def test_a_stream_of_too_many_parts(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MOST_LINES", 100)
    model, _ = make(stream(*[chunk({"content": "x"})] * 60, chunk({}, "stop")), stream=True)
    with pytest.raises(ModelError, match="more than 100 lines"):
        await model.complete(HELLO)


@pytest.mark.parametrize("levels", [200, 100_000])
async def test_answers_nested_too_deeply(make: Make, levels: int) -> None:
    """In arguments that is the model's doing, and a call that cannot be carried out; elsewhere it is the server's."""
    deep = "[" * levels + "]" * levels
    in_arguments = ScriptedAnswer(tools=[("bash", '{"command": ' + deep + "}")])
    body = json.dumps({"choices": [{"message": {"content": "x"}}], "more": "DEEP"}).replace('"DEEP"', deep)
    model, server = make(in_arguments, ScriptedAnswer(body=body.encode()), retries=0)
    [called] = (await model.complete(HELLO, [TOOL])).tool_calls
    assert called.arguments is None
    with pytest.raises(ModelError, match="nested too deeply"):
        await model.complete(HELLO)
    assert len(server.requests) == 2
    with pytest.raises(Exception, match="nested too deeply"):
        event_line(b'data: {"x": ' + deep.encode() + b"}\n")


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("status", [400, 401, 429, 500])
async def test_errors_nested_too_deeply(make: Make, status: int, is_streamed: bool) -> None:
    deep = "[" * 50_000 + "]" * 50_000
    for body in ('{"error": ' + deep + "}", '{"error": {"message": ' + json.dumps('{"error": ' + deep) + "}}"):
        model, _ = make(ScriptedAnswer(status=status, body=body.encode()), retries=0, stream=is_streamed)
        with pytest.raises(ModelError) as caught:
            await model.complete(HELLO)
        assert len(str(caught.value)) < 1000


async def test_arguments_that_are_no_numbers(make: Make) -> None:
    model, _ = make(ScriptedAnswer(tools=[("bash", '{"a": NaN}'), ("bash", '{"a": -Infinity}')]))
    assert [call.arguments for call in (await model.complete(HELLO)).tool_calls] == [None, None]


# ------------------------------------------------------------------------------------ costs and figures


@pytest.mark.parametrize("cost", [1000.0, 1e300, 10**400, "1e3", -5, True, None, [1]])
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_costs_that_cannot_be_true(make: Make, tmp_path: Path, cost: Any, is_streamed: bool) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120, "cost": cost}
    unknown, _ = make(ScriptedAnswer(text="x", usage=usage), stream=is_streamed)
    assert (await unknown.complete(HELLO)).cost_usd is None
    prices = tmp_path / "prices.toml"
    prices.write_text('["openai/scripted"]\nprompt = 10\ncompletion = 100\n')
    known, _ = make(ScriptedAnswer(text="x", usage=usage), prices=prices, stream=is_streamed)
    assert (await known.complete(HELLO)).cost_usd == pytest.approx((100 * 10 + 20 * 100) / 1e6)


@pytest.mark.parametrize("figures", [{"reasoning_tokens": 10**9}, {"audio_tokens": 10**9}])
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_details_that_cannot_be_true_cost_nothing(make: Make, figures: Any, is_streamed: bool) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12, "completion_tokens_details": figures}
    model, _ = make(ScriptedAnswer(text="x", usage=usage), name="gpt-4o", stream=is_streamed)
    reply = await model.complete(HELLO)
    assert (reply.prompt_tokens, reply.completion_tokens) == (10, 2)
    assert reply.cost_usd == model.price_usd(10, 2)


async def test_thoughts_that_go_back_to_the_server_count(make: Make) -> None:
    model, _ = make(ScriptedAnswer(text="x", fields={"reasoning_content": "word " * 10_000}))
    message = (await model.complete(HELLO)).as_message()
    assert 9_900 < model.count_tokens([message]) < 10_200


async def test_texts_that_were_counted_are_not_kept(make: Make) -> None:
    model, _ = make()
    # Megabytes without a space, which tokenizers take long for as a whole.
    text = "a" * (2 << 20)
    holders = sys.getrefcount(text)
    assert model.count_tokens([{"role": "user", "content": text}]) > 100_000
    assert sys.getrefcount(text) == holders


@pytest.mark.parametrize("figure", [10.5, "ten", "10", None, [], {}, True, -3, 0])
@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_figures_that_are_none_do_not_spoil_a_good_answer(
    make: Make, provider: str, figure: Any, is_streamed: bool
) -> None:
    names = {"openai": ("prompt_tokens", "completion_tokens"), "anthropic": ("input_tokens", "output_tokens")}[provider]
    usage = dict.fromkeys(names, figure) | {"total_tokens": figure, "prompt_tokens_details": "x"}
    answer = ScriptedAnswer(text="some words of an answer", usage=usage)
    model, server = make(answer, provider=provider, name="claude-x", stream=is_streamed)
    reply = await model.complete(HELLO)
    assert reply.text == "some words of an answer"
    assert reply.estimated
    assert 0 < reply.prompt_tokens < 50
    assert 0 < reply.completion_tokens < 50
    assert len(server.requests) == 1


async def test_whole_numbers_may_be_written_with_a_point(make: Make) -> None:
    usage = {"prompt_tokens": 12.0, "completion_tokens": 3.0, "total_tokens": 15.0}
    model, _ = make(ScriptedAnswer(text="x", usage=usage))
    reply = await model.complete(HELLO)
    assert (reply.prompt_tokens, reply.completion_tokens, reply.estimated) == (12, 3, False)


@pytest.mark.parametrize("usage", ["nonsense", [1, 2], 5])
async def test_usage_that_is_no_object(make: Make, usage: Any) -> None:
    for is_streamed in (False, True):
        model, server = make(ScriptedAnswer(text="x", usage=usage), stream=is_streamed)
        assert (await model.complete(HELLO)).text == "x"
        assert len(server.requests) == 1


def test_answers_without_faults_pass_as_they_are() -> None:
    body = b'{"usage":  {"prompt_tokens": 1, "cost": 0.1, "prompt_tokens_details": null, "tier": "x"}}'
    assert whole_answer(body) == body
    assert event_line(b"data: " + body + b"\r\n") == (b"data: " + body + b"\r\n", Figures.GOOD)
    # Whole pairs are letters, and lists of parts are usual with other interfaces.
    for line in (b'data: {"choices": [{"delta": {"content": "\\ud83d\\ude00"}}]}\n', b'data: {"content": []}\n'):
        assert event_line(line) == (line, Figures.NONE)
    for line in (b": comment\n", b"data: [DONE]\n", b"event: x\n", b'data: {"error": null, "usage": null}\n'):
        assert event_line(line) == (line, Figures.NONE)


# -------------------------------------------------------------------------------------- what went wrong


async def test_an_error_in_a_stream_is_the_servers_word(make: Make) -> None:
    passing = stream(chunk({"content": "half"}), b'data: {"error": {"message": "CUDA out of memory", "code": 500}}')
    final = stream(b'data: {"error": {"message": "No such grammar", "type": "BadRequestError", "code": 400}}')
    plain = stream(b'data: {"error": "engine died"}')
    model, server = make(passing, "whole", final, stream=True)
    call = Call()
    assert (await model.complete(HELLO, (), Sampling(), call)).text == "whole"
    [(error, tokens)] = call.failed
    assert "CUDA out of memory" in error
    assert tokens
    with pytest.raises(ModelError, match="No such grammar"):
        await model.complete(HELLO)
    assert len(server.requests) == 3
    model, _ = make(plain, plain, stream=True, retries=1)
    with pytest.raises(ModelError, match="engine died"):
        await model.complete(HELLO)
    error_event = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    broken = stream(b"event: error\ndata: " + json.dumps(error_event).encode())
    model, _ = make(broken, "fine", provider="anthropic", name="claude-x", stream=True)
    assert (await model.complete(HELLO)).text == "fine"


async def test_an_error_instead_of_an_answer_is_the_servers_word(make: Make) -> None:
    """Some servers say that all is well (200), and then that it is not: as a text, or where a stream should be."""
    text = ScriptedAnswer(body=b'{"error": "engine died"}')
    model, _ = make(text, "fine")
    call = Call()
    assert (await model.complete(HELLO, (), Sampling(), call)).text == "fine"
    assert "engine died" in call.failed[0][0]
    error = b'{"error": {"message": "CUDA out of memory", "code": 500}}'
    model, _ = make(text, ScriptedAnswer(body=b"\n" + error), "fine", stream=True)
    call = Call()
    assert (await model.complete(HELLO, (), Sampling(), call)).text == "fine"
    [first, second] = [said for said, _ in call.failed]
    assert "engine died" in first
    assert "CUDA out of memory" in second


async def test_a_server_that_cannot_stream_is_named_and_asked_once(make: Make) -> None:
    message = {"role": "assistant", "content": None, "tool_calls": [tool_call("a", "{}")]}
    whole = {"object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    model, server = make(ScriptedAnswer(body=json.dumps(whole).encode()), "never", stream=True)
    with pytest.raises(ModelError, match="leave out -M stream=true"):
        await model.complete(HELLO, [TOOL])
    assert len(server.requests) == 1


# ------------------------------------------------------------------------------------------- tool calls


def tool_call(given_id: str | None, arguments: str, index: int | None = None, name: str = "bash") -> dict[str, Any]:
    call = {"id": given_id, "type": "function", "index": index, "function": {"name": name, "arguments": arguments}}
    return {key: value for key, value in call.items() if value is not None}


@pytest.mark.parametrize("are_apart", [True, False])
@pytest.mark.parametrize(
    ("ids", "indexes", "expected"),
    [
        ((None, None), (0, 1), ["call_0", "call_1"]),
        (("", ""), (0, 1), ["call_0", "call_1"]),
        ((None, None), (0, 0), ["call_0", "call_1"]),
        (("a", "b"), (0, 0), ["a", "b"]),
        (("a", "b"), (None, None), ["a", "b"]),
        (("a", "b"), (7, 3), ["a", "b"]),
        (("a", "a"), (0, 1), ["a", "call_1"]),
    ],
)
async def test_calls_in_a_stream_that_are_badly_numbered_or_named(
    make: Make, ids: Sequence[str | None], indexes: Sequence[int | None], expected: list[str], are_apart: bool
) -> None:
    calls = [tool_call(given, f'{{"command": "{n}"}}', indexes[n]) for n, given in enumerate(ids)]
    deltas = [{"tool_calls": [call]} for call in calls] if are_apart else [{"tool_calls": calls}]
    model, _ = make(stream(*map(chunk, deltas), chunk({}, "tool_calls"), b"data: [DONE]"), stream=True, retries=0)
    reply = await model.complete(HELLO, [TOOL])
    assert [call.id for call in reply.tool_calls] == expected
    assert [call.arguments for call in reply.tool_calls] == [{"command": "0"}, {"command": "1"}]


@pytest.mark.parametrize(
    "second",
    [
        {"index": 0, "function": {"arguments": ' "ls"}'}},
        {"index": 0, "id": "", "function": {"name": "", "arguments": ' "ls"}'}},
        {"index": 0, "id": "a", "function": {"name": "bash", "arguments": ' "ls"}'}},
        {"index": 0, "function": {"name": "bash", "arguments": ' "ls"}'}},
        {"index": 0, "id": "b", "function": {"arguments": ' "ls"}'}},
    ],
)
@pytest.mark.parametrize("given", ["a", None])
async def test_parts_of_one_call_stay_together(make: Make, second: dict[str, Any], given: str | None) -> None:
    if given is None:
        second = {key: value for key, value in second.items() if key != "id"}
    deltas = [{"tool_calls": [tool_call(given, '{"command":', 0)]}, {"tool_calls": [second]}]
    model, _ = make(stream(*map(chunk, deltas), chunk({}, "tool_calls"), b"data: [DONE]"), stream=True, retries=0)
    [call] = (await model.complete(HELLO, [TOOL])).tool_calls
    assert (call.id, call.tool, call.arguments) == (given or "call_0", "bash", {"command": "ls"})


async def test_calls_with_the_same_id_are_told_apart(make: Make) -> None:
    """Providers refuse a conversation in which two calls of an answer have the same id."""
    calls = [tool_call(given, "{}") for given in ("a", "call_2", "a", "a")]
    model, _ = make(ScriptedAnswer(fields={"tool_calls": calls}))
    ids = [call.id for call in (await model.complete(HELLO, [TOOL])).tool_calls]
    assert ids == ["a", "call_2", "call_2_0", "call_3"]


@pytest.mark.parametrize("said", ["prompt_tokens", "completion_tokens"])
async def test_half_of_the_figures_in_a_stream_are_none(make: Make, said: str) -> None:
    head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
    figures = b"data: " + json.dumps({**head, "choices": [], "usage": {said: 9}}).encode()
    answer = stream(chunk({"content": "some words"}), chunk({}, "stop"), figures, b"data: [DONE]")
    model, _ = make(answer, name="gpt-4o", stream=True, retries=0)
    reply = await model.complete(HELLO)
    assert (reply.estimated, reply.cost_usd) == (True, None)


async def test_figures_in_a_last_line_without_an_end_count(make: Make) -> None:
    head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
    usage = {"prompt_tokens": -1, "completion_tokens": 2, "total_tokens": 1}
    figures = b"data: " + json.dumps({**head, "choices": [], "usage": usage}).encode()
    body = chunk({"content": "some words"}) + b"\n\n" + chunk({}, "stop") + b"\n\n" + figures
    model, _ = make(ScriptedAnswer(body=body, content_type="text/event-stream"), stream=True, retries=0)
    reply = await model.complete(HELLO)
    assert reply.estimated
    assert reply.text == "some words"


async def test_a_stream_without_an_end_is_cut_off(make: Make) -> None:
    model, server = make(stream(chunk({"content": "half"})), stream=True, retries=0)
    with pytest.raises(ModelError, match="cut off"):
        await model.complete(HELLO)
    assert len(server.requests) == 1


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_attempts_that_may_cost_are_told(make: Make, is_streamed: bool) -> None:
    cut = ScriptedAnswer(text="many words that do not come to their end", cut_after=900 if is_streamed else 60)
    faults = [ScriptedAnswer(body=b"oops"), cut, rate_limit(), server_error(503), ScriptedAnswer(reset=True)]
    model, server = make(*faults, "fine", stream=is_streamed)
    call = Call()
    assert (await model.complete(HELLO, (), Sampling(), call)).text == "fine"
    assert len(call.failed) == 2
    # Of an answer in one piece nobody saw how far it came.
    assert [tokens is None for _, tokens in call.failed] == [not is_streamed] * 2
    assert bool(call.failed[1][1]) == is_streamed
    assert len(call.pauses) == 5
    # The settings of further attempts are those that the budgets allow.
    assert [request.body.get("max_tokens") for request in server.requests] == [None, 7, 7, 7, 7, 7]


async def test_a_timeout_may_cost(make: Make) -> None:
    model, _ = make(ScriptedAnswer(text="late", delay=5), "fine", timeout=0.5)
    call = Call()
    assert (await model.complete(HELLO, (), Sampling(), call)).text == "fine"
    [(error, tokens)] = call.failed
    assert "did not answer within 0.5 s" in error
    assert tokens is None


# ------------------------------------------------------------------------------------------ connections


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_models_after_each_other(make: Make, provider: str, is_streamed: bool) -> None:
    for _ in range(3):
        tools = [("bash", {"command": "ls"})]
        answer = ScriptedAnswer(text="some words", tools=tools)
        model, _ = make(answer, answer, provider=provider, name="claude-x", stream=is_streamed)
        for _ in range(2):
            reply = await model.complete(HELLO, [TOOL])
            assert (reply.text, reply.tool_calls[0].arguments) == ("some words", {"command": "ls"})
            assert not reply.estimated
        await model.close()


def test_models_of_one_process_after_each_other_on_loops_of_their_own() -> None:
    with ScriptedModelServer(lambda _: "x") as server:
        for provider in (*PROVIDERS, *PROVIDERS):
            url = server.url.removesuffix("/v1") if provider == "anthropic" else server.url
            model = LiteLLMModel(provider, "claude-x", base_url=url)

            async def once(model: LiteLLMModel = model) -> None:
                await model.complete(HELLO)
                await model.close()

            asyncio.run(once())


async def test_litellm_makes_its_clients_as_this_version_does() -> None:
    """If this fails, LiteLLM has moved what `transport.py` replaces: look for what makes its transports now."""
    load()
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler
    from litellm.llms.openai.common_utils import BaseOpenAILLM

    assert list(inspect.signature(AsyncHTTPHandler._create_async_transport).parameters) == [
        "ssl_context",
        "ssl_verify",
        "shared_session",
    ]
    handler = AsyncHTTPHandler()
    openai = BaseOpenAILLM._get_async_http_client()
    assert openai is not None
    for client in (handler.client, openai):
        assert isinstance(client, httpx.AsyncClient)
        assert isinstance(client._transport, transport.GuardedTransport)
        await client.aclose()


# ------------------------------------------------------------------------------------------------ cache


async def test_the_cache_tells_repetitions_apart(make: Make, tmp_path: Path) -> None:
    model, server = make("first", "second", cache=tmp_path)
    assert (await model.complete(HELLO, (), Sampling(), Call(0))).text == "first"
    assert (await model.complete(HELLO, (), Sampling(), Call(1))).text == "second"
    # As after `resume`: only the second repetition is played again.
    again = LiteLLMModel("openai", "scripted", base_url=server.url, cache=tmp_path)
    assert (await again.complete(HELLO, (), Sampling(), Call(1))).text == "second"
    await again.close()
    assert len(server.requests) == 2
