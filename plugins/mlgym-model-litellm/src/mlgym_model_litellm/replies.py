"""Answers of LiteLLM as replies of mlgym. What a provider says of usage is believed only if it can be true."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mlgym_core import ModelReply, ModelToolCall
from mlgym_model_litellm.failures import UnreadableAnswer
from mlgym_model_litellm.surrogates import with_whole_pairs
from mlgym_model_litellm.unreadable_arguments import without_mark
from mlgym_model_litellm.usage_figures import is_too_deep

_ABSURD = 100
"""Times as many tokens as we count, and nobody believes it."""
_MUCH = 100_000
_EXTRA = ("reasoning_content", "thinking_blocks")

Counter = Callable[[str | None], int]
"""Returns our own count of tokens: of a text, or of the request if it is None."""


def reply_of(response: Any, count: Counter, *, has_usage: bool = True) -> ModelReply:
    """Return an answer as a reply, without its cost and the time it took.

    Args:
        count: Counts tokens where the provider did not, or not credibly.
        has_usage: Whether the figures in the answer are the provider's.

    Raises:
        UnreadableAnswer: if it is none.
    """
    try:
        choice = response.choices[0]
        message = choice.message
        text = message.content or ""
        calls = _told_apart([_call(number, call) for number, call in enumerate(message.tool_calls or ())])
    except (AttributeError, IndexError, TypeError) as error:
        raise UnreadableAnswer("an answer without a message.") from error
    if not isinstance(text, str):
        raise UnreadableAnswer("an answer whose content is no text.")
    usage = getattr(response, "usage", None) if has_usage else None
    said = text + "".join(call.tool + call.written for call in calls)
    prompt = _believable(getattr(usage, "prompt_tokens", None), lambda: count(None), least=1)
    completion = _believable(getattr(usage, "completion_tokens", None), lambda: count(said), least=1 if said else 0)
    estimated = prompt is None or completion is None
    if prompt is None:
        prompt = count(None)
    if completion is None:
        completion = count(said)
    reason = str(choice.finish_reason or "stop")
    cached = _detail(usage, "prompt_tokens_details", "cached_tokens", prompt)
    reasoning = _detail(usage, "completion_tokens_details", "reasoning_tokens", completion)
    return ModelReply(
        text=with_whole_pairs(text),
        tool_calls=calls,
        # LiteLLM loses it when it puts the parts of an answer together.
        finish_reason="tool_calls" if calls and reason == "stop" else reason,
        model=str(getattr(response, "model", "") or ""),
        prompt_tokens=prompt,
        cached_tokens=cached,
        completion_tokens=completion,
        reasoning_tokens=reasoning,
        estimated=estimated,
        prompt_token_ids=_numbers(getattr(response, "prompt_token_ids", None)),
        completion_token_ids=_numbers(_field(choice, "token_ids")),
        log_probabilities=_log_probabilities(getattr(choice, "logprobs", None)),
        extra={name: value for name in _EXTRA if (value := _plain(getattr(message, name, None)))},
    )


def stated_cost(response: Any) -> float | None:
    """Return the cost that the provider says, in US dollars, or None."""
    cost = getattr(getattr(response, "usage", None), "cost", None)
    if isinstance(cost, bool) or not isinstance(cost, int | float):
        return None
    return float(cost) if 0 < cost <= sys.float_info.max else None


def table_cost(response: Any) -> float | None:
    """Return the cost by LiteLLM's own table, in US dollars, or None."""
    known = (getattr(response, "_hidden_params", None) or {}).get("response_cost")
    return known if isinstance(known, float) and 0 < known < math.inf else None


def _call(number: int, call: Any) -> ModelToolCall:
    written = call.function.arguments
    written = written if isinstance(written, str) else json.dumps(written)
    try:
        # Some models write nothing for a tool without arguments.
        arguments = json.loads(written, parse_constant=_refuse, parse_float=_finite) if written.strip() else {}
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict) or is_too_deep(written, arguments):
        arguments = None
    return ModelToolCall(
        id=str(call.id or f"call_{number}"),
        tool=str(call.function.name or ""),
        arguments=arguments,
        written=without_mark(written),
    )


def _told_apart(calls: Sequence[ModelToolCall]) -> tuple[ModelToolCall, ...]:
    """Return calls with different ids: a conversation in which two calls have the same one is refused by providers."""
    taken = {call.id for call in calls}
    seen: set[str] = set()
    apart = []
    for number, call in enumerate(calls):
        if call.id in seen:
            free = (f"call_{number}{ending}" for ending in ("", *(f"_{more}" for more in range(len(calls)))))
            call = dataclasses.replace(call, id=next(one for one in free if one not in taken))
            taken.add(call.id)
        seen.add(call.id)
        apart.append(call)
    return tuple(apart)


def _refuse(constant: str) -> None:
    """Refuse NaN and the like: they are no JSON, and would make the record none."""
    raise ValueError(f"{constant} is no JSON.")


def _finite(number: str) -> float:
    """Return a number, unless JSON could not say it again: `1e999` is infinite."""
    if math.isinf(value := float(number)):
        raise ValueError(f"{number} is too large.")
    return value


def _believable(value: object, counted: Callable[[], int], *, least: int) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        return None
    return None if value > _MUCH and value > _ABSURD * counted() + _MUCH else value


def _detail(usage: Any, group: str, name: str, most: int) -> int:
    value = getattr(getattr(usage, group, None), name, None)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most else 0


def _field(holder: Any, name: str) -> Any:
    found = getattr(holder, name, None)
    return found if found is not None else (getattr(holder, "provider_specific_fields", None) or {}).get(name)


def _numbers(values: Any) -> tuple[int, ...] | None:
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        return None
    return tuple(values)


def _log_probabilities(logprobs: Any) -> tuple[float, ...] | None:
    content = logprobs.get("content") if isinstance(logprobs, dict) else getattr(logprobs, "content", None)
    if not isinstance(content, Iterable):
        return None
    found = []
    for token in content:
        value = token.get("logprob") if isinstance(token, dict) else getattr(token, "logprob", None)
        if not isinstance(value, int | float) or not math.isfinite(value):
            return None
        found.append(float(value))
    return tuple(found)


def _plain(value: Any) -> Any:
    """Return a value as JSON can say it; it goes back to the provider with the next request."""
    if value is None:
        return None
    if isinstance(value, str):
        return with_whole_pairs(value)
    return json.loads(json.dumps(value, default=lambda part: part.model_dump(exclude_none=True)))
