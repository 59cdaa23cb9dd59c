"""Names of things: `domain/name` for tasks, plain `name` for everything else."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from mlgym_core.errors import UsageError

_WORD = r"[a-z0-9]+(?:[-_][a-z0-9]+)*"
_TASK_ID = re.compile(rf"{_WORD}/{_WORD}\Z")
_PLAIN_ID = re.compile(rf"{_WORD}\Z")
_RULE = "lower-case letters and digits, with single hyphens or underscores between them"


def check_task_id(task_id: str) -> str:
    """Return `task_id` if it has the form `domain/name`.

    Raises:
        UsageError: if it has not.
    """
    if not _TASK_ID.match(task_id):
        raise UsageError(f"{task_id!r} is not a task id: write 'domain/name' ({_RULE}).")
    return task_id


def check_plain_id(plain_id: str) -> str:
    """Return `plain_id` if it is a single word such as `tree-search`.

    Raises:
        UsageError: if it is not.
    """
    if not _PLAIN_ID.match(plain_id):
        raise UsageError(f"{plain_id!r} is not a valid name: use {_RULE}.")
    return plain_id


def domain_of(task_id: str) -> str:
    """Return the part of a task id before the slash."""
    return task_id.partition("/")[0]


def slug(text: str) -> str:
    """Return `text` as one word that is safe in file names (`games/blotto` becomes `games-blotto`)."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def near_misses(name: str, candidates: Iterable[str], limit: int = 3) -> list[str]:
    """Return the candidates that look like `name`, best first.

    A task is also found by the part after its slash, so that `bloto` finds `games/blotto`.
    """
    by_key: dict[str, str] = {}
    for candidate in candidates:
        by_key[candidate] = candidate
        by_key.setdefault(candidate.rpartition("/")[2], candidate)
    matches = difflib.get_close_matches(name.lower(), by_key, n=2 * limit, cutoff=0.6)
    return list(dict.fromkeys(by_key[match] for match in matches))[:limit]


def did_you_mean(unknown: Iterable[str], known: Iterable[str]) -> str:
    """Return a question for the end of a message: which known names look like the unknown ones.

    Args:
        unknown: The names that were written.
        known: The names that there are.

    Returns:
        The question with a space before it, or an empty text if none of the known names looks like one of them.
    """
    candidates = list(known)
    found = [miss for name in unknown for miss in near_misses(name, candidates)[:1]]
    return f" Did you mean {' and '.join(repr(name) for name in dict.fromkeys(found))}?" if found else ""
