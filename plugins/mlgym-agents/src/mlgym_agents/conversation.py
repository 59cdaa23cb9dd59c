"""A conversation with tools that can be shortened without becoming invalid."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlgym_core import Message, ModelReply, ModelToolCall

Counter = Callable[[Sequence[Message]], int]
"""Returns about how many tokens messages have."""

_LONG_ARGUMENT = 400
"""Characters. Shorter arguments of old calls stay as they are."""
_LONGEST_PLAN = 1000
"""Characters of the first thoughts, where even the turns around them do not fit any more."""
_LONGEST_NAME = 64
_LAST_SCORES = 5
"""How many of the scores in turns that are left out stay in any case."""


@dataclass
class _Reaction:
    """What followed an answer: an output, or a reminder."""

    message: dict[str, Any]
    is_output: bool = False
    is_score: bool = False


@dataclass
class _Turn:
    """An answer of the model, and what followed it."""

    answer: dict[str, Any]
    thoughts: str
    reactions: list[_Reaction] = field(default_factory=list)

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [self.answer, *(reaction.message for reaction in self.reactions)]


class Conversation:
    """A conversation: its opening, and the turns since.

    What is elided, in this order, the oldest first: outputs; long arguments of calls; whole turns, of which a
    note in the opening keeps the scores and the first thoughts; all but the last of these scores; and at last what the
    last turn returned. Each call keeps its result.

    Args:
        opening: The first messages; the last of them is the user's, and states the task.
    """

    def __init__(self, opening: Sequence[Message]) -> None:
        self._opening = [dict(message) for message in opening]
        self._turns: list[_Turn] = []
        self._left_out = 0
        self._plan = ""
        self._scores: list[str] = []
        self._scores_left_out = 0

    @property
    def messages(self) -> list[dict[str, Any]]:
        """All of it, as a model is sent it."""
        return [*self._beginning(), *(message for turn in self._turns for message in turn.messages)]

    def add_answer(self, reply: ModelReply) -> None:
        """Add an answer of the model. A result for each of its calls must follow."""
        message = reply.as_message()
        for call in message.get("tool_calls", ()):
            # Providers refuse a conversation in which there is anything else, even if their model wrote it.
            name = re.sub(r"[^A-Za-z0-9_-]", "_", call["function"]["name"])[:_LONGEST_NAME]
            arguments = call["function"]["arguments"]
            call["function"] |= {"name": name or "unnamed", "arguments": arguments if arguments.strip() else "{}"}
        if not reply.text.strip():
            message["content"] = None if reply.tool_calls else "(nothing)"
        self._turns.append(_Turn(message, reply.text.strip()))

    def add_result(self, call: ModelToolCall, text: str, *, is_score: bool = False) -> None:
        """Add the result of a call of the last answer.

        Args:
            is_score: Whether it is a score, which is kept.
        """
        message = {"role": "tool", "tool_call_id": call.id, "content": text}
        self._turns[-1].reactions.append(_Reaction(message, is_output=True, is_score=is_score))

    def add_output(self, text: str, *, is_score: bool = False) -> None:
        """Add what came of the last answer, of a model that calls no tools.

        Args:
            is_score: Whether it is a score, which is kept.
        """
        message = {"role": "user", "content": text}
        self._turns[-1].reactions.append(_Reaction(message, is_output=True, is_score=is_score))

    def add_reminder(self, text: str) -> None:
        """Add what the last answer, which has no calls, is answered with."""
        self._turns[-1].reactions.append(_Reaction({"role": "user", "content": text}))

    def keep_outputs(self, number: int, count: Counter) -> None:
        """Elide all outputs but those of the last so many turns that have one. Scores stay."""
        turns = [turn for turn in self._turns if any(reaction.is_output for reaction in turn.reactions)]
        for turn in turns[: max(len(turns) - number, 0)]:
            for _ in _elide_results(turn, count):
                pass

    def free(self, tokens: int, count: Counter, *, spare: int = 0) -> bool:
        """Elide until at least so many tokens are free, or nothing is left to elide. Returns whether any are.

        Args:
            spare: How many more to free, as far as results and arguments suffice for that.
        """
        freed = 0
        for elisions, wanted in ((self._small_elisions(count), tokens + spare), (self._large_elisions(count), tokens)):
            while freed < wanted and (more := next(elisions, None)) is not None:
                freed += more
        return freed > 0

    def free_half(self, count: Counter) -> bool:
        """Elide half of what can be elided, by tokens. Returns whether there was any."""
        trial = copy.deepcopy(self)
        total = sum(trial._small_elisions(count)) + sum(trial._large_elisions(count))
        return self.free((total + 1) // 2, count)

    def _beginning(self) -> list[dict[str, Any]]:
        if not self._left_out:
            return self._opening
        lines = [f"[{self._left_out} earlier turns of this conversation are left out.]"]
        if self._plan:
            lines.append(f"Your first thoughts were: {self._plan}")
        if self._scores:
            older = f", without the first {self._scores_left_out}" if self._scores_left_out else ""
            lines.append(f"The scores in them, in order{older}:")
            lines += self._scores
        last = self._opening[-1]
        note = "\n".join(lines)
        return [*self._opening[:-1], {**last, "content": f"{last['content']}\n\n{note}"}]

    def _small_elisions(self, count: Counter) -> Iterator[int]:
        """Elide results and arguments one after another, and yield how many tokens each has freed."""
        for turn in self._turns[:-1]:
            yield from _elide_results(turn, count)
        for turn in self._turns[:-1]:
            yield from _elide_arguments(turn, count)

    def _large_elisions(self, count: Counter) -> Iterator[int]:
        """Likewise elide whole turns, and at last what the model has not seen yet."""
        while len(self._turns) > 1:
            before = count([*self._beginning(), *self._turns[0].messages])
            self._leave_out_oldest()
            yield before - count(self._beginning())
        while len(self._scores) > _LAST_SCORES:
            before = count(self._beginning())
            # Half at a time: one after another, they would have to go in each turn.
            number = (len(self._scores) - _LAST_SCORES + 1) // 2
            del self._scores[:number]
            self._scores_left_out += number
            yield before - count(self._beginning())
        for turn in self._turns:
            yield from _elide_results(turn, count)

    def _leave_out_oldest(self) -> None:
        turn = self._turns.pop(0)
        self._left_out += 1
        if not self._plan:
            self._plan = turn.thoughts[:_LONGEST_PLAN]
        # Without what is said at the end of a turn, which was true then.
        texts = (str(reaction.message["content"]) for reaction in turn.reactions if reaction.is_score)
        self._scores += [f"- {text.partition(chr(10))[0]}" for text in texts]


def _elide_results(turn: _Turn, count: Counter) -> Iterator[int]:
    for reaction in turn.reactions:
        if reaction.is_score or not reaction.is_output:
            continue
        note = f"[An older output of {len(reaction.message['content']):,} characters is left out.]"
        shorter = {**reaction.message, "content": note}
        # What is hardly longer than the note says more than the note.
        if len(note) < len(reaction.message["content"]) and (freed := count([reaction.message]) - count([shorter])) > 0:
            reaction.message = shorter
            yield freed


def _elide_arguments(turn: _Turn, count: Counter) -> Iterator[int]:
    calls = []
    changed = False
    for call in turn.answer.get("tool_calls", ()):
        arguments = json.loads(call["function"]["arguments"])
        shorter = {
            name: f"[{len(value):,} characters are left out]"
            if isinstance(value, str) and len(value) > _LONG_ARGUMENT
            else value
            for name, value in arguments.items()
        }
        if shorter != arguments:
            changed = True
            call = {**call, "function": {**call["function"], "arguments": json.dumps(shorter)}}
        calls.append(call)
    if changed:
        before = count([turn.answer])
        turn.answer = {**turn.answer, "tool_calls": calls}
        yield before - count([turn.answer])


def without_middle(text: str, tokens: int, count: Counter) -> str:
    """Return a text with its middle cut out, so that it has at most so many tokens."""
    # Counting takes its time. A token has at least one byte, and hardly ever more than eight characters.
    if 4 * len(text) <= tokens:
        return text
    longest = min(len(text), 8 * tokens)
    while True:
        shorter = text if longest == len(text) else _cut(text, longest)
        used = count([{"role": "tool", "content": shorter}])
        if used <= tokens or longest == 0:
            return shorter
        longest = int(longest * min(tokens / used, 1.0) * 0.9)


def _cut(text: str, longest: int) -> str:
    head, tail = longest - longest // 2, longest // 2
    note = f"\n[… {len(text) - longest:,} characters are left out …]\n"
    return text[:head] + note + (text[-tail:] if tail else "")
