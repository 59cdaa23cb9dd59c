"""How many tokens texts have, by LiteLLM's tokenizers."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from mlgym_core import Message, ToolSchema
from mlgym_model_litellm.library import load

_SLICE = 1024
"""Letters that are counted at a time. A tokenizer takes seconds for a word of a megabyte, which agents can write, and
what is kept of texts that were counted must not be what they fill the memory with."""
_FIELDS = frozenset({"role", "content", "tool_calls", "tool_call_id"})
"""Fields of a message that are counted for themselves, or with what each message has around it."""


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
    return sum(_count(model, text[start : start + _SLICE]) for start in range(0, len(text), _SLICE))


@functools.lru_cache(maxsize=20_000)
def _count(model: str, text: str) -> int:
    return int(load().token_counter(model=model, text=text))


def _texts(message: Mapping[str, Any]) -> list[str]:
    """Return what a model reads of a message."""
    content = message.get("content")
    texts = [_text(content)] if content else []
    texts += [json.dumps(call, default=str) for call in message.get("tool_calls") or ()]
    # Thoughts of the model's that go back to it. Some come in two forms, of which a provider reads one.
    thoughts = [_text(value) for name, value in message.items() if name not in _FIELDS and value]
    return [*texts, *sorted(thoughts, key=len)[-1:]]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
