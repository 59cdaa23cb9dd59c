"""The language model of an episode: each call is within the budget, counted and recorded."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

from mlgym_core.budgets import LONG_ANSWER, Budget, EpisodeClock, Usage
from mlgym_core.conversations import KnownMessage, RecordedMessages
from mlgym_core.errors import BudgetExhausted, EpisodeOver, ModelError
from mlgym_core.interfaces import EpisodeModel, Message, Model, ModelCall, ModelReply, Sampling, ToolSchema
from mlgym_core.journal import Journal

_SHORTEST_ANSWER = 64
"""Tokens. An answer that has to be shorter than this (and than what was asked for) is not worth its price."""
_LETTERS_PER_TOKEN = 4
_ANSWER_TOKENS_PER_SECOND = 200
"""How fast answers are said at most. Models of large providers said 50 to 200 tokens a second in 2025."""


class MeteredModel(EpisodeModel):
    """The language model of an episode.

    Args:
        model: The model itself, which other episodes use, too.
        id: Its id, as in `--model`.
        journal: Where calls are recorded.
        clock: The episode's.
        budgets: What the calls are paid from: the episode's, and the run's if there is one.
        repeat: Which repetition of its episode this is, from 0.
        on_text: Is shown answers while they are said.

    Attributes:
        usage: What this episode used, without its forks.
        exhausted: The limit that a call ran into, if one did.
    """

    def __init__(
        self,
        model: Model,
        id: str,  # noqa: A002 - the attribute's name
        journal: Journal,
        clock: EpisodeClock,
        budgets: Sequence[Budget],
        *,
        repeat: int = 0,
        on_text: Callable[[str], None] | None = None,
    ) -> None:
        self.id = id
        self.calls = 0
        self.usage = Usage()
        self.exhausted: BudgetExhausted | None = None
        self._model = model
        self._journal = journal
        self._clock = clock
        self._budgets = budgets
        self._repeat = repeat
        self._on_text = on_text
        self._begun = 0
        self._recorded = RecordedMessages()
        self._tools = self._recorded_tools = _Tools([], 0)
        self._is_over = False

    async def complete(
        self, messages: Sequence[Message], tools: Sequence[ToolSchema] = (), sampling: Sampling = Sampling()
    ) -> ModelReply:
        if self._is_over:
            raise EpisodeOver("The episode has ended, so that its language model answers no more.")
        try:
            with self._clock.waiting(), _Call(self, messages, tools, sampling) as call:
                return await self._complete(messages, tools, call)
        except BudgetExhausted as error:
            self.exhausted = error
            raise

    async def _complete(self, messages: Sequence[Message], tools: Sequence[ToolSchema], call: _Call) -> ModelReply:
        sampling = await call.reserve()
        self._begun += 1
        call.number = self._begun
        self._journal.model_call(
            number=call.number,
            request_tokens=call.request_tokens,
            reserved_tokens=call.reserved_tokens,
            reserved_usd=call.reserved_usd,
        )
        record = functools.partial(self._record, call, sampling)
        first_end = self._clock.first_end()
        began = time.perf_counter()
        deadline = asyncio.timeout(None if first_end is None else first_end[1])
        try:
            async with deadline:
                reply = await self._model.complete(messages, tools, sampling, call)
        except (ModelError, BudgetExhausted) as error:
            record(seconds=time.perf_counter() - began, error=str(error))
            raise
        except BaseException as error:
            # Providers charge for what they were asked, and for what was said, whether somebody waits for it or not.
            # Programs could otherwise leave calls behind, of which no budget knows.
            asked = self.count_tokens(messages, tools)
            seconds = time.perf_counter() - began
            said = call.answer_tokens_so_far()
            cut_off = ModelReply(
                text="", finish_reason="interrupted", prompt_tokens=asked, completion_tokens=said, estimated=True
            )
            self._count(asked, said, None)
            if not deadline.expired() or first_end is None:
                record(seconds=seconds, reply=cut_off, error="The call was interrupted.")
                raise
            limit = first_end[0]
            exhausted = BudgetExhausted(limit, f"{limit} was reached while the model was answering.")
            record(seconds=seconds, reply=cut_off, error=str(exhausted))
            raise exhausted from error
        self.calls += 1
        self._count(reply.prompt_tokens, reply.completion_tokens, reply.cost_usd)
        record(seconds=reply.seconds or time.perf_counter() - began, reply=reply)
        return reply

    async def _affordable(self, request_tokens: int, sampling: Sampling) -> tuple[Sampling, int]:
        """Return the settings with an answer that is not too long for the budgets, and how long it may be in tokens.

        Where nothing limits an answer, it counts as a short one.

        Raises:
            BudgetExhausted: if no answer is affordable.
        """
        bounds = [bound for bound in (sampling.max_tokens, self._model.answer_tokens()) if bound is not None]
        bound = min(bounds, default=LONG_ANSWER)
        while True:
            if (late := self._clock.exhausted()) is not None:
                raise late
            narrowest = math.inf
            short: tuple[Budget, BudgetExhausted] | None = None
            for budget in self._budgets:
                if budget.is_limited:
                    allowed, error = budget.answer_tokens_left(request_tokens, self._model)
                    narrowest = min(narrowest, allowed)
                    if allowed < min(bound, _SHORTEST_ANSWER) and (short is None or short[0].may_get_more):
                        short = budget, error
            if short is None:
                break
            if not short[0].may_get_more:
                raise short[1]
            first_end = self._clock.first_end()
            # A timeout shows at the next look at the clock.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if first_end is None else first_end[1]):
                    await short[0].change()
        if narrowest < bound or (narrowest < math.inf and not bounds):
            # Without a bound of its own, an answer would be as long as it likes, and others would not know.
            longest = int(min(narrowest, bound))
            return dataclasses.replace(sampling, max_tokens=longest), longest
        return sampling, bound if bounds else _SHORTEST_ANSWER

    def snapshot(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> tuple[list[KnownMessage], _Tools]:
        """Return the messages and the tools of a call as they are now."""
        if list(tools) != self._tools.copies:
            self._tools = _Tools([dict(tool) for tool in tools], _letters(tools))
        return self._recorded.snapshot(messages), self._tools

    def _count(self, prompt_tokens: int, completion_tokens: int, cost_usd: float | None) -> None:
        estimate = self._model.price_usd(prompt_tokens, completion_tokens) or 0.0
        for usage in (self.usage, *(budget.spent for budget in self._budgets)):
            usage.add(prompt_tokens, completion_tokens, cost_usd, estimate)

    def _record(
        self,
        call: _Call,
        sampling: Sampling,
        *,
        seconds: float,
        reply: ModelReply | None = None,
        error: str | None = None,
    ) -> None:
        if self._is_over:
            return
        ranges, new_messages = self._recorded.record(call.messages)
        changed = call.tools.copies is not self._recorded_tools.copies
        self._recorded_tools = call.tools
        self._journal.model(
            number=call.number,
            call=self.calls,
            model=self.id,
            new_messages=new_messages,
            messages=ranges,
            tools=call.tools.copies if changed else None,
            sampling={name: value for name, value in vars(sampling).items() if value not in (None, ())},
            reply=reply,
            seconds=round(seconds, 6),
            error=error,
        )

    def context_tokens(self) -> int | None:
        return self._model.context_tokens()

    def count_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> int:
        count = self._model.count_tokens(messages, tools)
        return math.ceil((_letters(messages) + _letters(tools)) / _LETTERS_PER_TOKEN) if count is None else count

    @property
    def cost_left_usd(self) -> float | None:
        return min((left for budget in self._budgets if (left := budget.cost_left) is not None), default=None)

    @property
    def tokens_left(self) -> int | None:
        return min((left for budget in self._budgets if (left := budget.tokens_left) is not None), default=None)

    def close(self) -> None:
        """Answer no more: the episode has ended."""
        self._is_over = True


class _Tools(NamedTuple):
    """What tools a model is told of, and the length of that as JSON."""

    copies: list[ToolSchema]
    letters: int


class _Call(ModelCall):
    """A call: what it reserves of the budgets while it goes on, and the attempts that failed.

    Attributes:
        number: How many calls the episode has begun, this one included.
        messages: Of its request, as they were when it began.
        tools: The same of its tools.
        request_tokens: Tokens of its request: the model's own count only where that matters, since counting takes time.
        reserved_tokens: Tokens that it may use at most.
        reserved_usd: What they cost, in US dollars; None if unknown.
    """

    def __init__(
        self, metered: MeteredModel, messages: Sequence[Message], tools: Sequence[ToolSchema], sampling: Sampling
    ) -> None:
        is_limited = any(budget.is_limited for budget in metered._budgets)
        self._count_tokens = functools.partial(metered.count_tokens, messages, tools)
        self.repeat = metered._repeat
        self.number = 0
        self.messages, self.tools = metered.snapshot(messages, tools)
        letters = sum(message.letters for message in self.messages) + self.tools.letters
        self.request_tokens = self._count_tokens() if is_limited else math.ceil(letters / _LETTERS_PER_TOKEN)
        self.reserved_tokens = 0
        self.reserved_usd: float | None = None
        self._metered = metered
        self._sampling = sampling
        self._reservations = contextlib.ExitStack()
        self._began = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reservations.close()

    async def reserve(self) -> Sampling:
        """Reserve what an attempt may use at most, instead of what is reserved, and return its settings."""
        metered = self._metered
        self._reservations.close()
        sampling, longest = await metered._affordable(self.request_tokens, self._sampling)
        self.reserved_tokens = self.request_tokens + longest
        self.reserved_usd = metered._model.price_usd(self.request_tokens, longest)
        for budget in metered._budgets:
            self._reservations.enter_context(budget.reserved(self.reserved_tokens, self.reserved_usd or 0.0))
        self._began = time.perf_counter()
        return sampling

    def answer_tokens_so_far(self) -> int:
        """Return how many tokens of an answer there may be since the attempt began, though nobody saw them."""
        seconds = time.perf_counter() - self._began
        return min(self.reserved_tokens - self.request_tokens, int(seconds * _ANSWER_TOKENS_PER_SECOND))

    def attempt_failed(self, error: str, *, completion_tokens: int | None = None) -> None:
        metered = self._metered
        request_tokens = self._count_tokens()
        if completion_tokens is None:
            completion_tokens = self.answer_tokens_so_far()
        metered._count(request_tokens, completion_tokens, None)
        if not metered._is_over:
            metered._journal.model_attempt(
                number=self.number,
                prompt_tokens=request_tokens,
                completion_tokens=completion_tokens,
                error=error,
            )

    async def next_attempt(self, pause: float) -> Sampling:
        first_end = self._metered._clock.first_end()
        if first_end is not None and pause >= first_end[1]:
            limit, seconds = first_end
            raise BudgetExhausted(
                limit,
                f"{limit} ends in {seconds:.0f} s, before the {pause:.0f} s after which the model may be asked again.",
            )
        sampling = await self.reserve()
        await asyncio.sleep(pause)
        self._began = time.perf_counter()
        return sampling

    def said(self, text: str) -> None:
        if self._metered._on_text is not None:
            self._metered._on_text(text)


def _letters(values: Sequence[Mapping[str, Any]]) -> int:
    return len(json.dumps(list(values), default=str))
