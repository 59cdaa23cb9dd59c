"""The Chat Completions API: what programs send becomes the arguments of a model call, and its reply what they get.

Nothing of a request reaches the model as it came. Each message is made anew of the fields that are known, each checked:
what lies between here and the provider may break on what it does not expect, or fetch what an address names, and that
must not be in the hands of a program.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlgym_core import ModelReply, Sampling

_MOST_VALUES = 1_000_000
"""Of a JSON document. Each takes up to a hundred bytes in memory, and two in a request."""
_DEEPEST_SCHEMA = 32
_MOST_MESSAGES = 10_000
_MOST_TOOLS = 256
_LARGEST_NUMBER = 1 << 53
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LONGEST_ID = 256
_CALLS = "tool_calls"
# What costs more, or makes an answer another one than the model's plain answer, and the values with which it does not.
_ONLY: dict[str, tuple[Any, ...]] = {
    "audio": (),
    "best_of": (1,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "prediction": (),
    "reasoning_effort": (),
    "response_format": ({"type": "text"},),
    "service_tier": ("auto", "default"),
    "tool_choice": ("auto", "none"),
    "top_logprobs": (0,),
    "web_search_options": (),
}
_FINISH_REASONS = ("stop", "length", "tool_calls", "content_filter")


class BadRequest(Exception):  # noqa: N818 - HTTP's word for it
    """A request that cannot be carried out; the message is for the program that sent it."""


@dataclass(frozen=True)
class ChatRequest:
    """What a program asks the model.

    Attributes:
        streams: Whether the answer is wanted in parts.
        includes_usage: Whether the last of these is to hold the numbers of tokens.
    """

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    sampling: Sampling
    streams: bool
    includes_usage: bool


def parsed(body: bytes) -> ChatRequest:
    """Return what the body of a request asks.

    Raises:
        BadRequest: if it is not what it should be.
    """
    request = _object(_json(body), "The request")
    for name, allowed in _ONLY.items():
        value = request.get(name)
        # 1 is True for Python, and a Boolean no number for the API.
        if value is not None and not any(value == one and type(value) is type(one) for one in allowed):
            why = f": only {' or '.join(json.dumps(one) for one in allowed)} is" if allowed else " is"
            raise BadRequest(f"{name!r} is not supported here{why if allowed else ''}.")
    messages = _messages(request.get("messages"))
    tools = [] if request.get("tool_choice") == "none" else _tools(request.get("tools"))
    stream_options = request.get("stream_options")
    options = {} if stream_options is None else _object(stream_options, "stream_options")
    sampling = Sampling(
        temperature=_number(request, "temperature", 0, 2),
        top_p=_number(request, "top_p", 0, 1),
        max_tokens=_whole(request, "max_completion_tokens", 1) or _whole(request, "max_tokens", 1),
        stop=_stop(request.get("stop")),
        seed=_whole(request, "seed", -_LARGEST_NUMBER),
    )
    return ChatRequest(messages, tools, sampling, request.get("stream") is True, options.get("include_usage") is True)


def _json(body: bytes) -> Any:
    if sum(body.count(mark) for mark in (b",", b"[", b"{", b":")) > _MOST_VALUES:
        raise BadRequest(f"The request holds too many values: the limit is about {_MOST_VALUES:,}.")
    try:
        return json.loads(body, parse_constant=_no_constant)
    except RecursionError:
        raise BadRequest("The request is nested too deeply.") from None
    except ValueError as error:
        raise BadRequest(f"The request is not JSON: {error}.") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadRequest(f"{what} must be a JSON object.")
    return value


def _list(value: Any, what: str, most: int) -> list[Any]:
    if not isinstance(value, list):
        raise BadRequest(f"{what} must be a list.")
    if len(value) > most:
        raise BadRequest(f"{what} holds {len(value):,} items; the limit is {most:,}.")
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise BadRequest(f"{what} must be a text.")
    try:
        if not value.isascii():
            value.encode()
    except UnicodeEncodeError:
        raise BadRequest(f"{what} holds half of a surrogate pair, which is no character.") from None
    return value


def _number(request: Mapping[str, Any], name: str, least: float, most: float) -> float | None:
    value = request.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise BadRequest(f"{name!r} must be a number from {least:g} to {most:g}.")
    return float(value)


def _whole(request: Mapping[str, Any], name: str, least: int) -> int | None:
    value = request.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _LARGEST_NUMBER:
        raise BadRequest(f"{name!r} must be a whole number from {least} to {_LARGEST_NUMBER}.")
    return value


def _stop(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(_text(one, "'stop'") for one in ([value] if isinstance(value, str) else _list(value, "'stop'", 4)))


def _messages(value: Any) -> list[dict[str, Any]]:
    listed = _list(value, "'messages'", _MOST_MESSAGES)
    messages: list[dict[str, Any]] = []
    waiting: list[str] = []
    for number, one in enumerate(listed):
        what = f"messages[{number}]"
        given = _object(one, what)
        role = given.get("role")
        if role == "tool":
            call = _text(given.get("tool_call_id"), f"{what}.tool_call_id")
            if call not in waiting:
                raise BadRequest(f"{what} is the result of no call of the assistant's message before it.")
            waiting.remove(call)
            messages.append({"role": "tool", "tool_call_id": call, "content": _content(given, what)})
            continue
        if waiting:
            raise BadRequest(f"{what} must be the result of the call {waiting[0]!r}.")
        if role in ("system", "developer", "user"):
            messages.append({"role": "system" if role == "developer" else role, "content": _content(given, what)})
        elif role == "assistant":
            messages.append(_answer(given, what))
            waiting = [call["id"] for call in messages[-1].get(_CALLS, ())]
        else:
            raise BadRequest(f"{what}.role must be system, developer, user, assistant or tool.")
    if waiting:
        raise BadRequest(f"The result of the call {waiting[0]!r} is missing.")
    if not any(message["role"] == "user" for message in messages):
        raise BadRequest("'messages' must hold one of the role user.")
    return messages


def _content(message: Mapping[str, Any], what: str) -> str:
    """Return the text of a message; several parts become one."""
    value = message.get("content")
    if not isinstance(value, list):
        return _text(value, f"{what}.content")
    parts = [_object(part, f"{what}.content") for part in value]
    if any(part.get("type") != "text" for part in parts):
        raise BadRequest(f"{what}.content: only parts of the type text are supported here.")
    return "\n".join(_text(part.get("text"), f"{what}.content") for part in parts)


def _answer(given: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return a message of the assistant's."""
    called = given.get(_CALLS) or []
    # Providers refuse a message without anything.
    content = None if given.get("content") is None else _content(given, what)
    message: dict[str, Any] = {"role": "assistant", "content": content or (None if called else "(nothing)")}
    if called:
        message[_CALLS] = [
            _call(_object(call, f"{what}.tool_calls"), f"{what}.tool_calls")
            for call in _list(called, f"{what}.tool_calls", _MOST_TOOLS)
        ]
        ids = [call["id"] for call in message[_CALLS]]
        if len(set(ids)) != len(ids):
            raise BadRequest(f"{what}.tool_calls has two calls with the same id.")
    return message


def _call(call: Mapping[str, Any], what: str) -> dict[str, Any]:
    function = _object(call.get("function"), f"{what}.function")
    id_ = _text(call.get("id"), f"{what}.id")
    if not 0 < len(id_) <= _LONGEST_ID:
        raise BadRequest(f"{what}.id must have 1 to {_LONGEST_ID} characters.")
    name = _text(function.get("name"), f"{what}.function.name")
    written = _text(function.get("arguments"), f"{what}.function.arguments")
    # What the model itself got wrong, providers refuse when they see it again.
    name = name if _NAME.fullmatch(name) else re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64] or "unnamed"
    arguments = written if _is_object(written) else "{}"
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def _is_object(written: str) -> bool:
    try:
        value = json.loads(written, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and _is_plain(value)


def _tools(value: Any) -> list[dict[str, Any]]:
    if value is None:
        return []
    return [_tool(one, f"tools[{number}]") for number, one in enumerate(_list(value, "'tools'", _MOST_TOOLS))]


def _tool(value: Any, what: str) -> dict[str, Any]:
    tool = _object(value, what)
    if tool.get("type") != "function":
        raise BadRequest(f"{what}.type must be function.")
    function = _object(tool.get("function"), f"{what}.function")
    name = _text(function.get("name"), f"{what}.function.name")
    if not _NAME.fullmatch(name):
        raise BadRequest(f"{what}.function.name must have 1 to 64 letters, digits, _ and -.")
    parameters = function.get("parameters")
    schema = {"type": "object", "properties": {}} if parameters is None else _object(parameters, f"{what}.parameters")
    if not _is_plain(schema):
        raise BadRequest(f"{what}.function.parameters is nested too deeply, or holds what is no JSON value.")
    description = _text(function.get("description") or "", f"{what}.function.description")
    return {"name": name, "description": description, "parameters": schema}


def _is_plain(value: Any, depth: int = _DEEPEST_SCHEMA) -> bool:
    """Return whether a JSON value can be written as such again, and is not nested too deeply."""
    if isinstance(value, str):
        return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return depth > 0 and all(_is_plain(key) and _is_plain(one, depth - 1) for key, one in value.items())
    if isinstance(value, list):
        return depth > 0 and all(_is_plain(one, depth - 1) for one in value)
    return True


# ------------------------------------------------------------------------------------------------ answers


def completion(reply: ModelReply, model: str, number: int) -> bytes:
    """Return a whole answer."""
    choice = {"index": 0, "message": _message(reply), "logprobs": None, "finish_reason": _finish_reason(reply)}
    document = {**_head("chat.completion", model, number), "choices": [choice], "usage": _usage(reply)}
    return json.dumps(document).encode()


def event_stream(reply: ModelReply, model: str, number: int, *, includes_usage: bool) -> bytes:
    """Return an answer in parts, as server-sent events."""
    head = _head("chat.completion.chunk", model, number)
    message = _message(reply)
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    if reply.text:
        deltas.append({"content": reply.text})
    deltas += [{_CALLS: [{"index": index, **call}]} for index, call in enumerate(message.get(_CALLS, ()))]
    choices: list[list[dict[str, Any]]] = [[{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas]
    choices.append([{"index": 0, "delta": {}, "finish_reason": _finish_reason(reply)}])
    parts = [{**head, "choices": one} for one in choices]
    if includes_usage:
        parts.append({**head, "choices": [], "usage": _usage(reply)})
    return b"".join(b"data: %s\n\n" % json.dumps(part).encode() for part in parts) + b"data: [DONE]\n\n"


def model_list(model: str) -> bytes:
    """Return the list of models."""
    return json.dumps({"object": "list", "data": [_listed(model)]}).encode()


def model_entry(model: str) -> bytes:
    """Return what is said of the one model."""
    return json.dumps(_listed(model)).encode()


def error(message: str, kind: str, code: str | None = None) -> bytes:
    """Return an error in the format of the API."""
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()


def _listed(model: str) -> dict[str, Any]:
    return {"id": model, "object": "model", "created": 0, "owned_by": "mlgym"}


def _head(kind: str, model: str, number: int) -> dict[str, Any]:
    return {"id": f"chatcmpl-{number}", "object": kind, "created": int(time.time()), "model": model}


def _message(reply: ModelReply) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or (None if reply.tool_calls else "")}
    if reply.tool_calls:
        message[_CALLS] = [
            {"id": call.id, "type": "function", "function": {"name": call.tool, "arguments": call.written}}
            for call in reply.tool_calls
        ]
    return message


def _finish_reason(reply: ModelReply) -> str:
    if reply.finish_reason == "length":
        return "length"
    if reply.tool_calls:
        return "tool_calls"
    return reply.finish_reason if reply.finish_reason in _FINISH_REASONS else "stop"


def _usage(reply: ModelReply) -> dict[str, Any]:
    return {
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "total_tokens": reply.prompt_tokens + reply.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": reply.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": reply.reasoning_tokens},
    }


def with_kept_fields(
    messages: Sequence[Mapping[str, Any]], kept: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return a conversation with what the provider wants to see again in the answers that came from it."""
    return [
        {**kept.get(key_of(message), {}), **message} if message["role"] == "assistant" else dict(message)
        for message in messages
    ]


def key_of(message: Mapping[str, Any]) -> str:
    """Return what tells an answer of the model's from others: its text, and the ids of its calls."""
    return json.dumps([message.get("content") or "", [call["id"] for call in message.get(_CALLS, ())]])
