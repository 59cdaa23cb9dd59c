"""Keys: where they come from, and that nobody gets to see them."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from mlgym_core import ModelReply, ModelToolCall
from mlgym_model_litellm.variables import decoded, raw_variables

# Whole words: there is a KEY in KEYCLOAK_HOST and in MONKEY.
_SECRET_NAME = re.compile(r"(^|_)(API)?(KEYS?|TOKENS?|SECRETS?|PASSWORDS?|CREDENTIALS?)(_|$)", re.IGNORECASE)
_SHORTEST = 8
"""Letters. Shorter values are no keys, and replacing them would spoil texts."""
_INSTEAD = "[key]"
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})")
_SHORTEST_BEGINNING = 4
"""Letters of a key at the end of an unfinished text."""
_keys: tuple[Mapping[Any, Any], frozenset[str]] = {}, frozenset()
"""The environment variables when they were last looked at, and the values of those that are named like keys."""


def secret_values(more: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the values of all environment variables that are named like keys, and `more`; the longest first."""
    found = _keys_in_environment() | set(more)
    return tuple(sorted((value for value in found if len(value) >= _SHORTEST), key=len, reverse=True))


def _keys_in_environment() -> frozenset[str]:
    """Return the values of the variables that are named like keys. They are looked for when a variable has changed."""
    global _keys
    variables, keys = _keys
    if raw_variables() != variables:
        variables = dict(raw_variables())
        keys = frozenset(value for name, value in decoded(variables).items() if _SECRET_NAME.search(name))
        _keys = variables, keys
    return keys


def variables_of_keys() -> list[str]:
    """Return the names of the environment variables that are named like keys."""
    return [name for name in os.environ if _SECRET_NAME.search(name)]


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Return a text without the secrets, also where their letters are written as JSON may write them (`\\u0073`)."""
    secrets = tuple(secrets)
    text = _replaced(text, secrets)
    if "\\" in text:
        plain = _ESCAPED.sub(lambda match: chr(int(match[1] or match[2], 16)), text).replace("\\/", "/")
        if any(secret in plain for secret in secrets):
            return _replaced(plain, secrets)
    return text


def redacted_so_far(text: str, secrets: Iterable[str]) -> str:
    """Return the beginning of a text without the secrets, nor the beginning of one at its end."""
    text = redacted(text, secrets)
    for secret in secrets:
        for length in range(min(len(secret), len(text)), _SHORTEST_BEGINNING - 1, -1):
            if text.endswith(secret[:length]):
                text = text[:-length]
                break
    return text


def redacted_reply(reply: ModelReply, secrets: Iterable[str]) -> ModelReply:
    """Return a reply without the secrets, wherever a server may have put them."""
    secrets = tuple(secrets)
    return dataclasses.replace(
        reply,
        text=redacted(reply.text, secrets),
        tool_calls=tuple(_redacted_call(call, secrets) for call in reply.tool_calls),
        finish_reason=redacted(reply.finish_reason, secrets),
        model=redacted(reply.model, secrets),
        extra=_redacted_value(reply.extra, secrets),
    )


def _redacted_call(call: ModelToolCall, secrets: tuple[str, ...]) -> ModelToolCall:
    written = redacted(call.written, secrets)
    arguments = _redacted_value(call.arguments, secrets)
    if arguments != call.arguments:
        # Nobody can say which letters of what was written they come from.
        written = json.dumps(arguments)
    return ModelToolCall(
        id=redacted(call.id, secrets), tool=redacted(call.tool, secrets), arguments=arguments, written=written
    )


def _redacted_value(value: Any, secrets: tuple[str, ...]) -> Any:
    if isinstance(value, str):
        return redacted(value, secrets)
    if isinstance(value, list | tuple):
        return [_redacted_value(inner, secrets) for inner in value]
    if isinstance(value, dict):
        return {redacted(name, secrets): _redacted_value(inner, secrets) for name, inner in value.items()}
    return value


def _replaced(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, _INSTEAD)
    return text
