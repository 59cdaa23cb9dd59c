"""Tool calls in the parts of a stream, which not every server numbers and names as OpenAI does."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

_MOST_READ = 64 << 20
"""Letters that are read to see whether calls are complete: a server that names a call in each part would have all of it
read again and again."""


@dataclass
class _Begun:
    """A call whose parts are coming.

    Attributes:
        number: Its place among the calls of the answer.
        given_id: What the server calls it; empty if it does not say.
        name_for_it: What it is called here.
        written: The parts of its arguments so far: to put them together with each part would be quadratic work.
        letters: How many letters those have.
    """

    number: int
    given_id: str
    name_for_it: str
    written: list[str] = field(default_factory=list)
    letters: int = 0

    @property
    def is_complete(self) -> bool:
        try:
            json.loads("".join(self.written))
        except (ValueError, RecursionError):
            return False
        return True


def number_calls(chunks: Iterable[Any]) -> None:
    """Give each tool call in the parts of an answer a number and an id of its own.

    LiteLLM puts the parts of calls together by their numbers, and drops calls without an id, without a word. But some
    servers give no ids, and others give all calls the number 0.

    Args:
        chunks: LiteLLM's parts of the answer, in order; they are changed.
    """
    begun: dict[int, _Begun] = {}
    calls = read = 0
    for chunk in chunks:
        for choice in getattr(chunk, "choices", None) or ():
            for part in getattr(getattr(choice, "delta", None), "tool_calls", None) or ():
                index, given_id, function = part.index, part.id or "", part.function
                name, written = (function.name, function.arguments) if function is not None else (None, None)
                call = begun.get(index)
                read += call.letters if call is not None and name else 0
                if call is None or (name and read <= _MOST_READ and _is_another(call, given_id)):
                    call = begun[index] = _Begun(calls, given_id, given_id or f"call_{calls}")
                    calls += 1
                if isinstance(written, str):
                    call.written.append(written)
                    call.letters += len(written)
                part.index, part.id = call.number, call.name_for_it


def _is_another(call: _Begun, given_id: str) -> bool:
    """Return whether a part with a tool's name begins another call than the one whose number it has."""
    if given_id or call.given_id:
        return bool(given_id) and given_id != call.given_id
    return call.is_complete
