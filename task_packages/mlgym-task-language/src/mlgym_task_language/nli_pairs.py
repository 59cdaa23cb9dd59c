"""Pairs of sentences, which of them belong together, and how they are divided. Standard library only."""

from __future__ import annotations

import csv
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mlgym_core import Content, DataError, secret_order

LABELS = ("entailment", "neutral", "contradiction")
"""In the order of the numbers 0, 1, 2 that Hugging Face has for MultiNLI."""
TASK = "language/mnli"

_COLUMNS = ("source", "premise", "hypothesis", "label")


class Pair(NamedTuple):
    """Two sentences and how they are related.

    Attributes:
        source: What the premise was taken from; pairs of the same source stay in one split.
        premise: What is taken to be true.
        hypothesis: What follows from it, contradicts it, or does neither.
        label: One of `LABELS`.
    """

    source: str
    premise: str
    hypothesis: str
    label: str


def write_pairs(content: Content, name: str, pairs: Iterable[Pair]) -> None:
    """Write pairs as a table.

    Raises:
        DataError: if one has no text, or another label.
    """
    checked = list(pairs)
    for number, pair in enumerate(checked, start=1):
        if pair.label not in LABELS or not all(isinstance(text, str) for text in pair[:3]):
            raise DataError(f"Pair {number:,} of {name} lacks a text, or has another label: {str(pair)[:200]}")
    content.table(name, _COLUMNS, checked)


def read_pairs(path: Path) -> list[Pair]:
    """Return the pairs of a table that `write_pairs` wrote."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        return [Pair(*row) for row in rows]


def related(pairs: Sequence[Pair], shared: Sequence[str]) -> list[int]:
    """Return for each pair the number of its group: those that share a value, if only by way of others.

    Args:
        shared: Names of the attributes that count. Groups are numbered as they first occur.
    """
    leaders: dict[Hashable, Hashable] = {}

    def leader(key: Hashable) -> Hashable:
        while leaders.setdefault(key, key) != key:
            leaders[key] = key = leaders[leaders[key]]
        return key

    for pair in pairs:
        keys = [(name, getattr(pair, name)) for name in shared]
        for key in keys[1:]:
            leaders[leader(key)] = leader(keys[0])
    numbers: dict[Hashable, int] = {}
    firsts = (leader((shared[0], getattr(pair, shared[0]))) for pair in pairs)
    return [numbers.setdefault(first, len(numbers)) for first in firsts]


def shuffled(pairs: Sequence[Pair], *, variant: str, purpose: str) -> list[Pair]:
    """Return pairs in an order that is secret if the key is."""
    return [pairs[place] for place in secret_order(len(pairs), task=TASK, variant=variant, purpose=purpose)]


def divided(
    pairs: Sequence[Pair],
    sizes: Mapping[str, int | None],
    *,
    variant: str,
    shared: Sequence[str],
    balanced: bool,
) -> dict[str, list[Pair]]:
    """Divide pairs into splits that share no group, each in a secret order.

    Whole groups go into the first split, in a secret order, until it has what it needs, then into the next one. Of
    what a split has then, it keeps as many pairs as it needs. The others are left out, since their group has a split.
    What was kept is shuffled again: in the order in which pairs are chosen, the commonest label has its number first,
    so that places would tell labels.

    Args:
        sizes: How many pairs each split needs; None takes all that are left.
        shared: What makes a group, see `related`.
        balanced: Whether a split has equally many pairs of each label; then its size is a multiple of their number.

    Raises:
        DataError: if there are too few.
    """
    members: dict[int, list[int]] = {}
    for place, group in enumerate(related(pairs, shared)):
        members.setdefault(group, []).append(place)
    groups = iter(secret_order(len(members), task=TASK, variant=variant, purpose="groups"))
    order = secret_order(len(pairs), task=TASK, variant=variant, purpose="pairs")
    rank = {place: number for number, place in enumerate(order)}
    kinds = LABELS if balanced else ("",)

    def kept(places: list[int], size: int | None) -> list[int] | None:
        """Return the places to keep, or None if there are too few."""
        places = sorted(places, key=rank.__getitem__)
        if size is None:
            return places
        each = size // len(kinds)
        chosen = [[place for place in places if kind in ("", pairs[place].label)][:each] for kind in kinds]
        enough = all(len(part) == each for part in chosen)
        return [place for part in chosen for place in part] if enough else None

    splits = {}
    for split, size in sizes.items():
        taken: list[int] = []
        counts = dict.fromkeys(kinds, 0)
        for group in groups:
            taken += members[group]
            for place in members[group]:
                counts[pairs[place].label if balanced else ""] += 1
            if size is not None and min(counts.values()) >= size // len(kinds):
                break
        found = kept(taken, size)
        if found is None:
            raise DataError(f"There are too few pairs for {size:,} in the split {split!r}.")
        splits[split] = shuffled([pairs[place] for place in found], variant=variant, purpose=f"rows of {split}")
    return splits
