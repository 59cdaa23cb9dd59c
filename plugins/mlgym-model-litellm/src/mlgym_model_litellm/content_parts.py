"""What a model says, from servers that say it as a list of parts instead of a text.

Requests may have such lists in Chat Completions, answers may not: LiteLLM refuses them, and leaves them out of streams.
"""

from __future__ import annotations

import re
from typing import Any

_CONTENT_IN_PARTS = re.compile(rb'"content"\s*:\s*\[')
_SAID = (None, "text", "output_text")
_THOUGHT = ("thinking", "reasoning")
"""Types of the parts in which models think, such as those of Mistral."""


def may_have_parts(text: bytes) -> bool:
    """Return whether a JSON text may have such a list, to be looked for with `join_parts`."""
    return _CONTENT_IN_PARTS.search(text) is not None


def join_parts(answer: dict[str, Any]) -> bool:
    """Put the texts of an answer, or of an event of one, together; return whether there was something to do.

    What is neither text nor thought is left out: agents read nothing else.
    """
    changed = False
    choices = answer.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        for name in ("message", "delta"):
            message = choice.get(name) if isinstance(choice, dict) else None
            parts = message.get("content") if isinstance(message, dict) else None
            if not isinstance(message, dict) or not isinstance(parts, list):
                continue
            message["content"] = _joined(parts, _SAID)
            if (thoughts := _joined(parts, _THOUGHT)) and not message.get("reasoning_content"):
                message["reasoning_content"] = thoughts
            changed = True
    return changed


def _joined(parts: list[Any], types: tuple[str | None, ...]) -> str:
    """Return the texts of the parts that are of one of these types; a text alone is a part without a type."""
    texts = []
    for part in parts:
        fields = part if isinstance(part, dict) else {"text": part}
        kind = fields.get("type")
        if kind not in types:
            continue
        # A thought is called as its type is, or a text.
        text = fields.get("text", fields.get(str(kind)))
        if isinstance(text, list):
            text = _joined(text, _SAID)
        texts.append(text if isinstance(text, str) else "")
    return "".join(texts)
