"""What somebody may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(unknown: Iterable[str], known: Iterable[str]) -> str:
    """Return a question that names known names which look like the unknown ones, and a space; empty if none does."""
    candidates = list(known)
    found = [miss for name in unknown for miss in difflib.get_close_matches(name, candidates, n=1)]
    return f"Did you mean {' and '.join(dict.fromkeys(found))}? " if found else ""
