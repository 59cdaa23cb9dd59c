"""Arguments of tool calls on which LiteLLM breaks: what a model writes must not look like a failure of its provider.

LiteLLM parses the arguments of answers in one piece. It is prepared for what is no JSON, but not for numbers that are
too long for Python or for deep nesting. A model could end its episodes without a grade with those.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

_LONG_NUMBER = re.compile(rb"\d{%d}" % (sys.int_info.default_max_str_digits + 1))
_MARK = "unreadable: "
"""Makes arguments no JSON, so that LiteLLM leaves them alone."""


def may_have_long_numbers(text: bytes) -> bool:
    """Return whether an answer may have numbers that are too long, to be looked for with `mark_unreadable`."""
    return _LONG_NUMBER.search(text) is not None


def mark_unreadable(answer: dict[str, Any]) -> bool:
    """Mark the arguments in an answer on which LiteLLM would break; return whether there were some."""
    changed = False
    choices = answer.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        message = choice.get("message") if isinstance(choice, dict) else None
        calls = message.get("tool_calls") if isinstance(message, dict) else None
        for call in calls if isinstance(calls, list) else ():
            function = call.get("function") if isinstance(call, dict) else None
            arguments = function.get("arguments") if isinstance(function, dict) else None
            if isinstance(function, dict) and isinstance(arguments, str) and _breaks_parsers(arguments):
                function["arguments"] = _MARK + arguments
                changed = True
    return changed


def without_mark(arguments: str) -> str:
    """Return arguments as the model wrote them."""
    return arguments.removeprefix(_MARK)


def _breaks_parsers(text: str) -> bool:
    try:
        json.loads(text)
    except json.JSONDecodeError:
        return False
    except (ValueError, RecursionError):
        return True
    return False
