"""Answers before LiteLLM reads them: usage figures that would make it give up, errors in streams, and deep nesting."""

from __future__ import annotations

import json
import re
from typing import Any

from mlgym_model_litellm.failures import RefusedAnswer

_COUNT = re.compile(r"(_tokens|TokenCount)\Z")
_MARKS = (b'"usage', b'"error"')
"""What a text has that need be looked at."""
_DEEPEST = 100
"""Levels of lists and objects inside each other. Nobody needs more, and some libraries break with a thousand."""


def whole_answer(body: bytes) -> bytes:
    """Return the body of an answer with usage figures that LiteLLM can read.

    Raises:
        RefusedAnswer: if nobody can.
    """
    value = _parsed(body)
    if not isinstance(value, dict) or not _mended(value):
        return body
    return json.dumps(value).encode()


def event_line(line: bytes) -> bytes:
    """Return a line of server-sent events, likewise.

    Raises:
        RefusedAnswer: if nobody can read it, or it says that the server failed.
    """
    name, colon, data = line.partition(b":")
    if name != b"data" or not colon or not (_is_deep(data) or any(mark in data for mark in _MARKS)):
        return line
    value = _parsed(data)
    if not isinstance(value, dict):
        return line
    if error := value.get("error"):
        raise _error_in_stream(error)
    return b"data: " + json.dumps(value).encode() + b"\n" if _mended(value) else line


def depth(value: Any) -> int:
    """Return how many lists and objects lie inside each other in a JSON value."""
    levels, current = 0, [value]
    while current := [one for one in current if isinstance(one, dict | list)]:
        levels += 1
        current = [inner for one in current for inner in (one.values() if isinstance(one, dict) else one)]
    return levels


def is_too_deep(text: str | bytes, value: Any) -> bool:
    """Return whether a parsed JSON text is nested deeper than anybody needs."""
    return _is_deep(text) and depth(value) > _DEEPEST


def _is_deep(text: str | bytes) -> bool:
    """Return whether a text may be, by its brackets. Nearly all have too few, and need no walk through their parts."""
    opening = text.count("[") + text.count("{") if isinstance(text, str) else text.count(b"[") + text.count(b"{")
    return opening > _DEEPEST


def _parsed(text: bytes) -> Any:
    """Return a text as JSON, or None if it is none: LiteLLM says so, too."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise RefusedAnswer("its answer is nested too deeply.") from None
    except ValueError:
        return None
    if is_too_deep(text, value):
        raise RefusedAnswer("its answer is nested too deeply.")
    return value


def _mended(answer: dict[str, Any]) -> bool:
    """Make the usage figures in an answer readable, and return whether anything had to be done."""
    changed = False
    # Anthropic puts the first figures of a stream into a message.
    for holder in (answer, answer.get("message")):
        if not isinstance(holder, dict):
            continue
        for name in ("usage", "usageMetadata"):
            if name in holder and holder[name] is not None:
                if isinstance(holder[name], dict):
                    changed |= _mend(holder[name])
                else:
                    del holder[name]
                    changed = True
    return changed


def _mend(usage: dict[str, Any]) -> bool:
    changed = False
    for name, value in list(usage.items()):
        if isinstance(value, dict):
            changed |= _mend(value)
        elif _COUNT.search(name):
            # No figure at all counts as 0, which is never believed of a request or an answer.
            count = int(value) if isinstance(value, float) and value.is_integer() else value
            usage[name] = count if type(count) is int else 0
            changed |= usage[name] is not value
        elif value is not None and (name.endswith("_details") or (name == "cost" and type(value) not in (int, float))):
            del usage[name]
            changed = True
    return changed


def _error_in_stream(error: Any) -> RefusedAnswer:
    message, code = error, None
    if isinstance(error, dict):
        message, code = error.get("message") or error, error.get("code")
    text = message if isinstance(message, str) else json.dumps(message)
    final = isinstance(code, int) and 400 <= code < 500 and code not in (408, 409, 425, 429)
    return RefusedAnswer(text, retry=not final)
