"""Keys: where they come from, and that nobody gets to see them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

# Whole words: there is a KEY in KEYCLOAK_HOST and in MONKEY.
_SECRET_NAME = re.compile(r"(^|_)(API)?(KEYS?|TOKENS?|SECRETS?|PASSWORDS?|CREDENTIALS?)(_|$)", re.IGNORECASE)
_SHORTEST = 8
"""Letters. Shorter values are no keys, and replacing them would spoil texts."""


def secret_values(more: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the values of all environment variables that are named like keys, and `more`; the longest first."""
    found = {value for name, value in os.environ.items() if _SECRET_NAME.search(name)} | set(more)
    return tuple(sorted((value for value in found if len(value) >= _SHORTEST), key=len, reverse=True))


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Return a text without the secrets."""
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, "[key]")
    return text
