"""Conversations with language models in the record, without writing the same message twice.

A model is told the whole conversation with each call, so that the calls of a long episode would fill its record with
copies. Each message is therefore recorded once, when it is first sent; the messages of an episode are numbered from 0
in that order, and each call says which of them it consisted of. That stays small, too, if an agent shortens or drops
old messages.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Range = tuple[int, int]
"""Numbers of messages, from the first to before the second."""


@dataclass(slots=True, eq=False)
class KnownMessage:
    """A message that a call consisted of.

    Attributes:
        copy: As JSON holds it.
        letters: Length of its JSON text.
        number: Of the message in the record; None as long as it is not in there.
    """

    copy: Any
    letters: int
    number: int | None = None


class RecordedMessages:
    """The messages of an episode that were sent so far, and which of them are in its record."""

    def __init__(self) -> None:
        self._known: dict[bytes, KnownMessage] = {}
        self._last: list[KnownMessage] = []
        self._recorded = 0

    def snapshot(self, messages: Sequence[Mapping[str, Any]]) -> list[KnownMessage]:
        """Return the messages of a call as they are now. They may be changed by their owner afterwards."""
        # Nearly always, most of them are those of the call before, and comparing is quicker than writing as JSON.
        last = self._last
        current = [
            known if known.copy == message else self._find(message)
            for known, message in zip(last, messages, strict=False)
        ]
        current += map(self._find, messages[len(current) :])
        self._last = current
        return current

    def record(self, snapshot: Sequence[KnownMessage]) -> tuple[list[Range], list[Any]]:
        """Return which messages a call consists of, and those of them that must be recorded now."""
        new: list[Any] = []
        numbers = []
        for known in snapshot:
            if known.number is None:
                known.number = self._recorded
                self._recorded += 1
                new.append(known.copy)
            numbers.append(known.number)
        return _ranges(numbers), new

    def _find(self, message: Mapping[str, Any]) -> KnownMessage:
        text = json.dumps(message, default=str)
        digest = hashlib.sha256(text.encode()).digest()
        known = self._known.get(digest)
        if known is None:
            known = self._known[digest] = KnownMessage(_sharing_texts(message, json.loads(text)), len(text))
        return known


def _sharing_texts(value: Any, copy: Any) -> Any:
    """Return a copy that is made of the same strings, where it has such: two that are one need not be compared."""
    if isinstance(value, str):
        return value if value == copy else copy
    if isinstance(value, dict) and isinstance(copy, dict) and value.keys() == copy.keys():
        return {name: _sharing_texts(value[name], part) for name, part in copy.items()}
    if isinstance(value, list) and isinstance(copy, list):
        return [_sharing_texts(*pair) for pair in zip(value, copy, strict=True)]
    return copy


def recorded_conversations(events: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], list[Any]]]:
    """Yield each `model` event of a trajectory with all the messages that the model was sent.

    Args:
        events: The events of one episode, in order, such as the parsed lines of its `trajectory.jsonl`.
    """
    known: list[Any] = []
    for event in events:
        if event.get("type") == "model":
            known += event["new_messages"]
            yield event, [known[number] for first, end in event["messages"] for number in range(first, end)]


def _ranges(numbers: Iterable[int]) -> list[Range]:
    ranges: list[Range] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number:
            ranges[-1] = (ranges[-1][0], number + 1)
        else:
            ranges.append((number, number + 1))
    return ranges
