"""Servers that answer otherwise than OpenAI does: halves of letters, contents in parts, web pages."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from mlgym_core import ModelError
from mlgym_core.testing import ScriptedAnswer, ScriptedModelServer
from mlgym_model_litellm.model import LiteLLMModel
from mlgym_model_litellm.web_pages import said_by_page

CANARY = "sk-canary-3f9d27b1c0"
HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {"name": "bash", "description": "Run a command", "parameters": {"type": "object", "properties": {}}}
PROVIDERS = ("openai", "anthropic")
Make = Callable[..., tuple[LiteLLMModel, ScriptedModelServer]]
BAD_GATEWAY = b"""<!DOCTYPE html>
<html lang="en"><head><title>502 Bad Gateway</title>
<style>body { margin: 0 }</style><script>var told = {"error": {"message": "No"}};</script></head>
<body><center><h1>502 Bad&nbsp;Gateway</h1></center><!-- for <b>old</b> browsers -->
<hr>nginx &amp; friends</body></html>
"""
SEEN = "502 Bad Gateway nginx & friends"
"""What a reader sees of that page; its title is no news."""


def whole(message: dict[str, Any]) -> ScriptedAnswer:
    """Return an answer in one piece."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    head = {"id": "1", "object": "chat.completion", "created": 1, "model": "scripted"}
    return ScriptedAnswer(body=json.dumps({**head, "choices": [choice]}).encode())


def events(values: Sequence[dict[str, Any]]) -> ScriptedAnswer:
    """Return a stream of JSON values."""
    lines = b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in values)
    return ScriptedAnswer(body=lines, content_type="text/event-stream")


def stream(*deltas: dict[str, Any]) -> ScriptedAnswer:
    """Return an answer in parts."""
    head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
    choices: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    return events([{**head, "choices": [choice]} for choice in choices])


# ----------------------------------------------------------------------------------- unreadable arguments


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize(
    "value", ["1" * 5000, "[" * 2000 + "]" * 2000, "[" * 100_000 + "]" * 100_000, "1e999", "-1e999", "NaN"]
)
async def test_arguments_that_nobody_can_read_are_no_failure_of_the_provider(
    make: Make, is_streamed: bool, value: str
) -> None:
    """A model could otherwise end its episode without a grade, whenever that suits it."""
    written = f'{{"command": {value}}}'
    model, server = make(
        ScriptedAnswer(text="x", tools=[("bash", {"command": "ls"}), ("bash", written)]), stream=is_streamed
    )
    reply = await model.complete(HELLO, [TOOL])
    assert [call.arguments for call in reply.tool_calls] == [{"command": "ls"}, None]
    assert reply.tool_calls[1].written == written
    assert len(server.requests) == 1


# --------------------------------------------------------------------------------------- halves of letters


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("usage", ["count", None])
async def test_halves_of_letters_in_tool_calls(make: Make, is_streamed: bool, usage: Any) -> None:
    tools: list[tuple[str, str]] = [("bash", '{"command": "a \ud83d b"}'), ("ba\udcffsh", '{"command": "ä 😀"}')]
    model, server = make(ScriptedAnswer(text="ä \ud83d", tools=tools, usage=usage), "fine", stream=is_streamed)
    reply = await model.complete(HELLO, [TOOL])
    assert reply.text == "ä \ud83d"
    assert [call.arguments for call in reply.tool_calls] == [{"command": "a \ud83d b"}, {"command": "ä 😀"}]
    assert [call.tool for call in reply.tool_calls] == ["bash", "ba\\udcffsh"]
    results = [{"role": "tool", "tool_call_id": call.id, "content": "x"} for call in reply.tool_calls]
    assert (await model.complete([*HELLO, reply.as_message(), *results], [TOOL])).text == "fine"
    # Nothing had to be asked again.
    assert len(server.requests) == 2
    [sent, _] = server.requests[1].body["messages"][1]["tool_calls"]
    assert json.loads(sent["function"]["arguments"]) == {"command": "a \ud83d b"}


async def test_letters_that_are_cut_in_halves(make: Make) -> None:
    call: dict[str, Any] = {"index": 0, "id": "a", "type": "function"}
    answer = stream(
        {"content": "a \ud83d", "reasoning_content": "\ud83d"},
        {"content": "\ude00 b", "reasoning_content": "\ude00"},
        {"tool_calls": [{**call, "function": {"name": "bash", "arguments": '{"command": "\ud83d'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '\ude00"}'}}]},
    )
    model, server = make(answer, stream=True)
    reply = await model.complete(HELLO, [TOOL])
    assert (reply.text, reply.extra) == ("a 😀 b", {"reasoning_content": "😀"})
    assert reply.tool_calls[0].arguments == {"command": "😀"}
    assert len(server.requests) == 1


async def test_halves_of_letters_from_a_provider_with_an_interface_of_its_own(make: Make) -> None:
    message: dict[str, Any] = {"id": "1", "type": "message", "role": "assistant", "model": "x", "content": []}
    use = {"type": "tool_use", "id": "toolu_1", "name": "bash", "input": {}}
    deltas = ['{"command": "a \ud83d', '\ude00 \ud83d"}']
    answer = events(
        [
            {"type": "message_start", "message": {**message, "usage": {"input_tokens": 5, "output_tokens": 1}}},
            {"type": "content_block_start", "index": 0, "content_block": use},
            *(
                {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": part}}
                for part in deltas
            ),
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}},
            {"type": "message_stop"},
        ]
    )
    model, server = make(answer, provider="anthropic", name="claude-x", stream=True)
    [call] = (await model.complete(HELLO, [TOOL])).tool_calls
    assert call.arguments == {"command": "a 😀 \ud83d"}
    assert len(server.requests) == 1


# ---------------------------------------------------------------------------------------- contents in parts

WORDS = [{"type": "text", "text": "some "}, {"type": "text", "text": "words"}]
THOUGHTS = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize(
    ("content", "text", "thoughts"),
    [
        (WORDS, "some words", None),
        (["some ", {"text": "words"}], "some words", None),
        ([THOUGHTS, *WORDS], "some words", "hm"),
        ([{"type": "reasoning", "text": "hm"}, {"type": "output_text", "text": "x"}], "x", "hm"),
        (
            [{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": None}, *WORDS],
            "some words",
            None,
        ),
        ([], "", None),
        ([5, None, {"type": ["text"]}], "", None),
    ],
)
async def test_a_content_in_parts(
    make: Make, content: list[Any], text: str, thoughts: str | None, is_streamed: bool
) -> None:
    halves = [{"content": content[:1]}, {"content": content[1:]}]
    model, server = make(stream(*halves) if is_streamed else whole({"content": content}), stream=is_streamed)
    reply = await model.complete(HELLO)
    assert reply.text == text
    assert reply.extra == ({} if thoughts is None else {"reasoning_content": thoughts})
    assert len(server.requests) == 1


async def test_thoughts_that_are_said_twice_are_kept_once(make: Make) -> None:
    model, _ = make(whole({"content": [THOUGHTS, *WORDS], "reasoning_content": "hm, indeed"}))
    assert (await model.complete(HELLO)).extra == {"reasoning_content": "hm, indeed"}


# ------------------------------------------------------------------------------------------------ web pages


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 502, 503])
@pytest.mark.parametrize("has_key", [False, True])
async def test_a_web_page_is_shown_as_its_text(
    make: Make, monkeypatch: pytest.MonkeyPatch, provider: str, is_streamed: bool, status: int, has_key: bool
) -> None:
    monkeypatch.setenv("MY_KEY", CANARY)
    options = {"api_key_variable": "MY_KEY"} if has_key else {}
    page = ScriptedAnswer(status=status, body=BAD_GATEWAY, content_type="text/html")
    model, server = make(page, provider=provider, name="claude-x", stream=is_streamed, retries=0, **options)
    with pytest.raises(ModelError, match=rf"[Ii]t answers with the web page “{SEEN}”\.") as caught:
        await model.complete(HELLO)
    assert ("does not know" if status == 404 else f"({status})") in str(caught.value)
    assert "<" not in str(caught.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_web_page_where_all_is_said_to_be_well(make: Make, is_streamed: bool) -> None:
    """An address that is not the one of an interface, say: it is tried again, as other answers that are none."""
    page = ScriptedAnswer(body=BAD_GATEWAY, content_type="text/html")
    model, server = make(page, page, stream=is_streamed, retries=1)
    with pytest.raises(ModelError, match=f"failed: it answers with the web page “{SEEN}”. It was tried 2 times."):
        await model.complete(HELLO)
    assert len(server.requests) == 2


async def test_a_key_at_the_place_where_a_page_is_cut(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", CANARY)
    for length in range(175, 205):
        page = f"<html><body><p>{'word ' * (length // 5)}{'x' * (length % 5)} {CANARY} and more</p></body></html>"
        model, _ = make(ScriptedAnswer(status=400, body=page.encode()), api_key_variable="MY_KEY")
        with pytest.raises(ModelError, match="web page “word word") as caught:
            await model.complete(HELLO)
        assert CANARY[:4] not in str(caught.value)


async def test_a_message_about_a_page_is_no_page(make: Make) -> None:
    message = "Messages must not have <html> or <title>here</title> in them."
    body = json.dumps({"error": {"message": message}}).encode()
    cut = b'{"choices": [{"message": {"content": "<html><body>A page that I wrote'
    model, _ = make(ScriptedAnswer(status=400, body=body), ScriptedAnswer(body=cut), retries=0)
    with pytest.raises(ModelError, match=message):
        await model.complete(HELLO)
    with pytest.raises(ModelError) as caught:
        await model.complete(HELLO)
    assert "answers with" not in str(caught.value)


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("<html></html>", "an empty web page."),
        ("<title>Sign in</title>", "the web page “Sign in”."),
        ("b'<html>\\n<body>Not\\nhere</body></html>\\n'", "the web page “Not here”."),
        ("<HTML><Title>Blocked</TITLE><body>By &lt;us&gt;", "the web page “Blocked: By <us>”."),
        ("<body>" + "word " * 30_000, "the web page “" + " ".join(["word"] * 39) + " …”."),
        # Some of these take `html.parser` minutes.
        ("<html>" + "<a " * 30_000, "the web page “" + "<a " * 66 + "…”."),
        ("<html>" + "<title" * 15_000, "an empty web page."),
        ("<html>" + "<!--" * 25_000, "an empty web page."),
        ("<html><![x", "the web page “<![x”."),
        ("It is no <html>", None),
        ('{"a": "<html>"}', None),
    ],
    ids=lambda value: (value or "None")[:12],
)
def test_what_a_page_says(page: str, said: str | None) -> None:
    assert said_by_page(page) == (None if said is None else f"it answers with {said}")
