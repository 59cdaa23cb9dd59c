"""Halves of surrogate pairs, which are no letters: models write some, and servers cut texts in the middle of a letter.

JSON can say them (`"\\ud83d"`), and Python's texts can hold them, but UTF-8 cannot.
"""

from __future__ import annotations

import re
from typing import Any

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")
"""As JSON writes them, and as the bytes that Python's parser lets through."""
_OF_CALLS = frozenset({"arguments", "partial_json", "name", "id"})
"""Fields of tool calls, in Chat Completions and Anthropic's Messages."""


def may_have_surrogates(text: bytes) -> bool:
    """Return whether a JSON text has surrogates, which may be halves, to be looked for with `escape_halves`."""
    return _SURROGATE.search(text) is not None


def escape_halves(value: Any) -> bool:
    """Write halves in the tool calls of an answer as JSON writes them; return whether there was something to do.

    LiteLLM cannot write such calls as JSON, which it does to count their tokens. Arguments are JSON in themselves: who
    reads them finds the same halves, or the whole letter if two parts of a call had one of them each.
    """
    changed = False
    if isinstance(value, dict):
        for name, inner in value.items():
            if not isinstance(inner, str):
                changed |= escape_halves(inner)
            elif name in _OF_CALLS and (escaped := inner.encode("utf-8", "backslashreplace").decode()) != inner:
                value[name] = escaped
                changed = True
    elif isinstance(value, list):
        for inner in value:
            changed |= escape_halves(inner)
    return changed


def with_whole_pairs(text: str) -> str:
    """Return a text in which two halves next to each other are the letter that they stand for."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
