"""Answers before LiteLLM reads them.

What would make it give up is mended: usage figures that are none, contents in parts, halves of letters. Errors in
streams and deep nesting are found.
"""

from __future__ import annotations

import enum
import json
import re
from typing import Any

from mlgym_model_litellm.content_parts import join_parts, may_have_parts
from mlgym_model_litellm.failures import RefusedAnswer
from mlgym_model_litellm.surrogates import escape_halves, may_have_surrogates
from mlgym_model_litellm.unreadable_arguments import mark_unreadable, may_have_long_numbers
from mlgym_model_litellm.web_pages import said_by_page

_COUNT = re.compile(r"(_tokens|TokenCount)\Z")
_MAIN_COUNTS = frozenset({"prompt_tokens", "completion_tokens", "input_tokens", "output_tokens"})
_CHAT_COUNTS = frozenset({"prompt_tokens", "completion_tokens"})
_MARKS = (b'"usage', b'"error"')
"""What a text has that need be looked at."""
_DEEPEST = 100
"""Levels of lists and objects inside each other. Nobody needs more, and some libraries break with a thousand."""


class Figures(enum.Enum):
    """What an answer, or a part of one, says of its tokens."""

    NONE = enum.auto()
    GOOD = enum.auto()
    ZERO = enum.auto()
    """Which LiteLLM replaces in streams by what it counts itself."""
    BAD = enum.auto()


def whole_answer(body: bytes, *, is_success: bool = True) -> bytes:
    """Return the body of an answer as LiteLLM can read it.

    Args:
        is_success: Whether its status says that all is well.

    Raises:
        RefusedAnswer: if nobody can, or it says that the server failed, whatever its status.
    """
    value = _parsed(body)
    if not isinstance(value, dict):
        return body
    if is_success and isinstance(error := value.get("error"), str) and error and "choices" not in value:
        # LiteLLM would take it for a refused request, and leave out what it says.
        raise _error_in_answer(error)
    changed, _ = _mended(body, value)
    return json.dumps(value).encode() if changed else body


def event_line(line: bytes) -> tuple[bytes, Figures]:
    """Return a line of server-sent events likewise, and what it said of tokens before.

    Raises:
        RefusedAnswer: if nobody can read it, or it says that the server failed.
    """
    name, colon, data = line.partition(b":")
    if name != b"data" or not colon:
        return line, Figures.NONE
    is_marked = any(mark in data for mark in _MARKS) or may_have_parts(data) or may_have_surrogates(data)
    if not is_marked and not _is_deep(data):
        return line, Figures.NONE
    value = _parsed(data)
    if not isinstance(value, dict):
        return line, Figures.NONE
    if error := value.get("error"):
        raise _error_in_answer(error)
    changed, figures = _mended(data, value)
    return (b"data: " + json.dumps(value).encode() + b"\n" if changed else line), figures


def no_stream(body: bytes) -> RefusedAnswer:
    """Return what is wrong with a JSON object, or a web page, that came where a stream was asked for."""
    if (page := said_by_page(body.decode(errors="replace"))) is not None:
        return RefusedAnswer(page, retry=True)
    value = _parsed(body)
    if isinstance(value, dict) and (error := value.get("error")):
        return _error_in_answer(error)
    if isinstance(value, dict) and value.get("choices"):
        return RefusedAnswer("it answers in one piece, though it was asked for parts: leave out -M stream=true.")
    return RefusedAnswer("its answer is no stream.", retry=True)


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


def _mended(text: bytes, answer: dict[str, Any]) -> tuple[bool, Figures]:
    """Make an answer readable that was parsed from a text; return whether something had to be done, and its figures."""
    changed, figures = _mended_figures(answer)
    changed |= join_parts(answer)
    if may_have_surrogates(text):
        changed |= escape_halves(answer)
    if may_have_long_numbers(text) or _is_deep(text):
        changed |= mark_unreadable(answer)
    return changed, figures


def _mended_figures(answer: dict[str, Any]) -> tuple[bool, Figures]:
    """Make the usage figures in an answer readable; return whether something had to be done, and what they were."""
    changed, figures = False, Figures.NONE
    # Anthropic puts the first figures of a stream into a message.
    for holder in (answer, answer.get("message")):
        if not isinstance(holder, dict):
            continue
        for name in ("usage", "usageMetadata"):
            usage = holder.get(name)
            if usage is None:
                continue
            if isinstance(usage, dict):
                done, bad = _mend(usage)
                zero = 0 in (usage.get(main) for main in ("prompt_tokens", "completion_tokens", "output_tokens"))
                # LiteLLM replaces what is missing, too. Other interfaces than Chat Completions say it bit by bit.
                zero |= "choices" in answer and not usage.keys() >= _CHAT_COUNTS
                now = Figures.BAD if bad else Figures.ZERO if zero else Figures.GOOD
            else:
                del holder[name]
                done, now = True, Figures.BAD
            changed |= done
            figures = figures if figures is Figures.BAD else now
    return changed, figures


def _mend(usage: dict[str, Any]) -> tuple[bool, bool]:
    """Return whether something had to be done, and whether it was a count that nobody can believe."""
    changed = bad = False
    for name, value in list(usage.items()):
        if _COUNT.search(name):
            whole = int(value) if isinstance(value, float) and value.is_integer() else value
            if type(whole) is not int or whole < 0:
                # Some servers say null for what they do not count.
                bad |= value is not None or name in _MAIN_COUNTS
                whole = 0
            usage[name] = whole
            changed |= whole is not value
        elif isinstance(value, dict):
            inner_changed, inner_bad = _mend(value)
            changed, bad = changed or inner_changed, bad or inner_bad
        elif value is not None and (name.endswith("_details") or (name == "cost" and type(value) not in (int, float))):
            del usage[name]
            changed = True
    return changed, bad


def _error_in_answer(error: Any) -> RefusedAnswer:
    message, code = error, None
    if isinstance(error, dict):
        message, code = error.get("message") or error, error.get("code")
    text = message if isinstance(message, str) else json.dumps(message)
    final = isinstance(code, int) and 400 <= code < 500 and code not in (408, 409, 425, 429)
    return RefusedAnswer(text, retry=not final)
