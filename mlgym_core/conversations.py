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
from typing import Any

Range = tuple[int, int]
"""Numbers of messages, from the first to before the second."""


class RecordedMessages:
    """The messages of an episode that were recorded so far."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._last: list[tuple[Any, int]] = []

    def take(self, messages: Sequence[Mapping[str, Any]]) -> tuple[list[Range], list[Any]]:
        """Return which messages a call consists of, and those of them that must be recorded now.

        Messages may be changed by their owner afterwards.
        """
        current: list[tuple[Any, int]] = []
        new: list[Any] = []
        for place, message in enumerate(messages):
            # The beginning is nearly always that of the call before, and comparing is quicker than hashing.
            if place < len(self._last) and self._last[place][0] == message:
                current.append(self._last[place])
                continue
            text = json.dumps(message, default=str)
            copy = json.loads(text)
            digest = hashlib.sha256(text.encode()).digest()
            number = self._numbers.get(digest)
            if number is None:
                number = self._numbers[digest] = len(self._numbers)
                new.append(copy)
            current.append((copy, number))
        self._last = current
        return _ranges(number for _, number in current), new


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
