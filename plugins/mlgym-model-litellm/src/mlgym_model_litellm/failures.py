"""What LiteLLM raises, as what mlgym raises, and whether trying again may help."""

from __future__ import annotations

import email.utils
import json
import math
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlgym_core import ContextTooLong, ModelError, RequestRefused
from mlgym_model_litellm.web_pages import BEGINS_WITH, said_by_page

_LONGEST_TEXT = 100_000
"""Letters. Keys are taken out of it before it is cut to a readable length, so that no part of one remains."""
_READABLE_TEXT = 600
_LONGEST_PAUSE = 60.0
_LONGEST_WAIT = 900.0
"""Seconds. Who asks for a longer wait is not waited for."""
_PASSING = frozenset({408, 409, 425, 429})
_REFUSED = frozenset({400, 413, 422})
_WRAPPINGS = re.compile(r"\A(?:(?:[A-Za-z]+Exception )?(?:litellm\.)?[A-Za-z]+(?:Error|Exception)(?:: | - ))+")
_OBJECT = re.compile(r" ssl:(?:<[^>]*>|default)")
"""What aiohttp says of a connection besides its address."""
_ADVICE = re.compile(r"Handle with `litellm\.\w+`\.?")
"""What LiteLLM tells its programmers."""
_UNSURE = frozenset({None, 200, 500})
"""What LiteLLM has as the status of an error that it does not know: also where the server said something else."""
_NO_MONEY = ("insufficient_quota", "exceeded your current quota", "billing")


class UnreadableAnswer(Exception):  # noqa: N818 - what came, in a word
    """An answer that is none: counted as an error of the server."""


class RefusedAnswer(Exception):  # noqa: N818 - what came, in a word
    """An answer that is not let through, or a server's word that it failed.

    Args:
        message: What is wrong, as the end of a sentence.
        retry: Whether trying again may help.
    """

    def __init__(self, message: str, *, retry: bool = False) -> None:
        super().__init__(message)
        self.retry = retry


@dataclass(frozen=True)
class Failure:
    """A failed attempt.

    Attributes:
        error: What to raise in the end.
        retry: Whether trying again may help.
        after: Seconds that the provider asks to wait for; None if it does not say.
        may_cost: Whether the provider may charge for it.
        completion_tokens: Tokens of the answer, as far as it came; None if nobody knows.
    """

    error: ModelError
    retry: bool
    after: float | None = None
    may_cost: bool = False
    completion_tokens: int | None = None


def failure_of(
    error: Exception, model: str, key_source: str | None, seconds: float, seen_status: int | None = None
) -> Failure:
    """Return what an exception of a call means.

    Args:
        model: The model's id.
        key_source: Where its key comes from, in words; None if none is sent.
        seconds: The time limit of a call.
        seen_status: Status code with which the server answered; None if it did not.
    """
    status = getattr(error, "status_code", None)
    if status in _UNSURE and seen_status is not None and seen_status >= 400:
        status = seen_status
    kind = type(error).__name__
    said = _said(error)
    if isinstance(error, RefusedAnswer):
        return Failure(ModelError(f"{model} failed: {error}"), retry=error.retry)
    if isinstance(error, TimeoutError) or kind == "Timeout":
        return Failure(ModelError(f"{model} did not answer within {seconds:g} s."), retry=True, may_cost=True)
    if kind == "ContextWindowExceededError":
        return Failure(ContextTooLong(f"The conversation is too long for {model}: {said}"), retry=False)
    if status in (401, 403):
        return Failure(ModelError(_access_refused(status, model, key_source, said)), retry=False)
    if status == 404:
        return Failure(ModelError(f"The provider does not know {model}: {said}"), retry=False)
    if status in _REFUSED:
        return Failure(RequestRefused(f"{model} refused the request ({status}): {said}"), retry=False)
    if status == 429 and any(word in said.lower() for word in _NO_MONEY):
        return Failure(ModelError(f"The account for {model} is used up: {said}"), retry=False)
    # LiteLLM has 200 for an answer that it could not read, and 500 for connections that broke.
    after = _retry_after(_headers(error))
    if after is not None and after > _LONGEST_WAIT:
        return Failure(ModelError(f"The provider of {model} asks to wait for {after:.0f} s: {said}"), retry=False)
    passing = not isinstance(status, int) or status in _PASSING or status >= 500 or status == 200
    what = f" ({status})" if isinstance(status, int) and status not in (200, 500) else ""
    return Failure(ModelError(f"{model} failed{what}: {said}"), retry=passing, after=after)


def shortened(text: str) -> str:
    """Return a text at a length that people read."""
    return text if len(text) <= _READABLE_TEXT else f"{text[:_READABLE_TEXT]}…"


def pause_before(attempt: int, after: float | None, first: float) -> float:
    """Return how long to wait before an attempt, in seconds.

    Args:
        attempt: From 1, for the first after a failure.
        after: What the provider asks for. It gets that, and a little more, so that not all come back at once.
        first: The mean pause before the first attempt; further ones double it.
    """
    longest = min(math.ldexp(first, attempt), _LONGEST_PAUSE)
    jitter = random.random() * longest  # noqa: S311 - nothing secret
    return jitter if after is None else after + jitter / 4


def _access_refused(status: int, model: str, key_source: str | None, said: str) -> str:
    """Return the message of an error 401, which is about the key, or 403, which may be about many things."""
    is_page = said.startswith(BEGINS_WITH)
    if key_source is None:
        refused = (
            "wants a key (401), and was sent none:"
            if status == 401
            else "refuses access (403). It was sent no key: if it wants one,"
        )
        told = said[:1].upper() + said[1:] if is_page else f"It says: {said}"
        advice = "name the environment variable that holds it with -M api_key_variable=NAME."
        return f"The server of {model} {refused} {advice} {told}"
    # Providers repeat a part of the key in what they say. Web pages are not theirs, but of something on the way.
    told = f": {said}" if is_page else "."
    if status == 401:
        return f"The provider of {model} refuses the key (401){told} Look at {key_source}."
    return (
        f"The provider of {model} refuses access (403){told} Look at {key_source}, and whether that key is for this "
        "model. It may also be the region, the quota, or a proxy in between."
    )


def _headers(error: Exception) -> Mapping[str, str]:
    for holder in (getattr(error, "litellm_response_headers", None), getattr(error, "response", None)):
        headers = getattr(holder, "headers", holder)
        if isinstance(headers, Mapping) and headers:
            return {str(name).lower(): str(value) for name, value in headers.items()}
    return {}


def _retry_after(headers: Mapping[str, str]) -> float | None:
    value = headers.get("retry-after") or headers.get("llm_provider-retry-after")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            then: float = email.utils.parsedate_to_datetime(value).timestamp()
            seconds = then - time.time()
        except (ValueError, TypeError):
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _said(error: Exception) -> str:
    """Return what the provider said, without what LiteLLM put around it."""
    text = str(getattr(error, "message", "") or error)[:_LONGEST_TEXT]
    # A page may have objects in it, which are for browsers.
    page = said_by_page(_WRAPPINGS.sub("", text))
    if page is None:
        text = _WRAPPINGS.sub("", _message_in(text))
        page = said_by_page(text)
    if page is not None:
        return page
    if "Traceback" in text:
        return "its answer cannot be read."
    return " ".join(_ADVICE.sub("", _OBJECT.sub("", text)).split())


def _message_in(text: str) -> str:
    """Return the message of the JSON object in a text, or the text if there is none."""
    start = text.find("{")
    if start < 0:
        return text
    try:
        told: Any = json.JSONDecoder().raw_decode(text[start:])[0]
        inner = told.get("error", told)
        found = inner.get("message") if isinstance(inner, dict) else inner
    except (ValueError, AttributeError, RecursionError):
        return text
    return found if isinstance(found, str) else text
