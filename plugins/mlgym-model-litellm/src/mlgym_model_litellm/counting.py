"""How many tokens texts have, by LiteLLM's tokenizers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlgym_core import Message, ToolSchema
from mlgym_model_litellm.library import load

_SLICE = 1024
"""Letters that are counted at a time. A tokenizer takes seconds for a word of a megabyte, which agents can write."""
_MOST_COUNTS = 200_000
"""Texts whose counts are kept: the messages of a thousand episodes that go on at the same time."""
_AROUND_A_CALL = '{"id": "call_0", "type": "function", "function": {"name": "", "arguments": ""}}'
_FIELDS = frozenset({"role", "content", "tool_calls", "tool_call_id"})
"""Fields of a message that are counted for themselves, or with what each message has around it."""
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
    """Return about how many tokens a text has. What was counted before is not counted again."""
    # Without the texts themselves: the conversations of many episodes would take gigabytes.
    key = model, len(text), hash(text)
    count = _counts.get(key)
    if count is None:
        if len(_counts) >= _MOST_COUNTS:
            _counts.clear()
        slices = (text[start : start + _SLICE] for start in range(0, len(text), _SLICE))
        count = _counts[key] = sum(int(load().token_counter(model=model, text=part)) for part in slices)
    return count


def _texts(message: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a model reads of a message."""
    if content := message.get("content"):
        yield _text(content)
    for call in message.get("tool_calls") or ():
        function = call.get("function") if isinstance(call, Mapping) else None
        name, arguments = (
            (function.get("name"), function.get("arguments")) if isinstance(function, Mapping) else (None,) * 2
        )
        if isinstance(name, str) and isinstance(arguments, str):
            yield from (_AROUND_A_CALL, name, arguments)
        else:
            yield json.dumps(call, default=str)
    # Thoughts of the model's that go back to it. Some come in two forms, of which a provider reads one.
    yield from sorted((_text(value) for name, value in message.items() if name not in _FIELDS and value), key=len)[-1:]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
