"""Scripted answers in the form of Anthropic's Messages API: texts and tool calls, whole or in parts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlgym_core.testing.model_server import ScriptedAnswer

_REASONS = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens"}


def anthropic_message(answer: ScriptedAnswer, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer as the Messages API says it."""
    content: list[dict[str, Any]] = [{"type": "text", "text": answer.text}] if answer.text else []
    for number, (name, arguments) in enumerate(answer.tools):
        value = json.loads(arguments) if isinstance(arguments, str) else arguments
        content.append({"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": value})
    reason = answer.finish_reason or ("tool_calls" if answer.tools else "stop")
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": request.get("model", "scripted"),
        "content": content,
        "stop_reason": _REASONS.get(reason, reason),
        "stop_sequence": None,
    }
    usage = answer.usage
    if usage == "count":
        prompt = len(json.dumps(request.get("messages"))) // 4
        usage = {"input_tokens": prompt, "output_tokens": max(len(json.dumps(content)) // 4, 1)}
    return message | ({} if usage is None else {"usage": usage}) | dict(answer.answer_fields)


def anthropic_stream(answer: ScriptedAnswer, request: Mapping[str, Any]) -> bytes:
    """Return the same as server-sent events: texts word by word, arguments of tools in halves."""
    message = anthropic_message(answer, request)
    usage = message.get("usage")
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": message | {"content": [], "stop_reason": None}},
    ]
    for index, block in enumerate(message["content"]):
        if block["type"] == "text":
            empty = {"type": "text", "text": ""}
            first, *words = block["text"].split(" ")
            deltas = [{"type": "text_delta", "text": word} for word in (first, *(f" {word}" for word in words))]
        else:
            empty = block | {"input": {}}
            text = json.dumps(block["input"])
            halves = text[: len(text) // 2], text[len(text) // 2 :]
            deltas = [{"type": "input_json_delta", "partial_json": half} for half in halves]
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    end = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    events.append({"type": "message_delta", "delta": end} | ({} if usage is None else {"usage": usage}))
    events.append({"type": "message_stop"})
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)
