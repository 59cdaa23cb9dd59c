"""How many tokens texts have, by LiteLLM's tokenizers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlgym_core import Message, ToolSchema
from mlgym_model_litellm.library import load

_MOST_COUNTS = 200_000
"""Texts whose counts are kept: the messages of a thousand episodes that go on at the same time."""
_AROUND_A_CALL = '{"id": "call_0", "type": "function", "function": {"name": "", "arguments": ""}}'
_counts: dict[tuple[str, int, int], int] = {}


def count_request(model: str, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> int:
    """Return about how many tokens a request has.

    Args:
        model: As LiteLLM names it.
    """
    parts = [part for message in messages for part in _texts(message)]
    parts += [json.dumps(tool, sort_keys=True) for tool in tools]
    # Each message has about four tokens around it.
    return sum(count_text(model, part) for part in parts) + 4 * len(messages) + 3


def count_text(model: str, text: str) -> int:
    """Return how many tokens a text has. Texts that were counted before are not counted again."""
    # Without the texts themselves: the conversations of many episodes would take gigabytes.
    key = model, len(text), hash(text)
    count = _counts.get(key)
    if count is None:
        if len(_counts) >= _MOST_COUNTS:
            _counts.clear()
        count = _counts[key] = int(load().token_counter(model=model, text=text)) if text else 0
    return count


def _texts(message: Mapping[str, Any]) -> Iterator[str]:
    if content := message.get("content"):
        yield content if isinstance(content, str) else json.dumps(content, default=str)
    for call in message.get("tool_calls") or ():
        function = call.get("function") if isinstance(call, Mapping) else None
        name, arguments = (function.get("name"), function.get("arguments")) if isinstance(function, Mapping) else (0, 0)
        if isinstance(name, str) and isinstance(arguments, str):
            yield from (_AROUND_A_CALL, name, arguments)
        else:
            yield json.dumps(call, default=str)
