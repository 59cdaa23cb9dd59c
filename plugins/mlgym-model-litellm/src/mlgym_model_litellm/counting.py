"""How many tokens texts have, by LiteLLM's tokenizers."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from mlgym_core import Message, ToolSchema
from mlgym_model_litellm.library import load


def count_request(model: str, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> int:
    """Return about how many tokens a request has.

    Args:
        model: As LiteLLM names it.
    """
    parts = [part for message in messages for part in _texts(message)]
    parts += [json.dumps(tool, sort_keys=True) for tool in tools]
    # Each message has about four tokens around it.
    return sum(count_text(model, part) for part in parts) + 4 * len(messages) + 3


@functools.lru_cache(maxsize=10_000)
def count_text(model: str, text: str) -> int:
    """Return how many tokens a text has. Texts that were counted before are not counted again."""
    return int(load().token_counter(model=model, text=text)) if text else 0


def _texts(message: Mapping[str, Any]) -> list[str]:
    content = message.get("content")
    texts = [content if isinstance(content, str) else json.dumps(content, default=str)] if content else []
    texts += [json.dumps(call, default=str) for call in message.get("tool_calls") or ()]
    return texts
