"""What an episode or a run may use of a language model, and what it has used: money, tokens and time."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

from mlgym_core.errors import BudgetExhausted
from mlgym_core.interfaces import Model
from mlgym_core.limits import Limits, RunLimits

LONG_ANSWER = 4096
"""Tokens. Where nothing is known of a model, budgets that leave more than this are not told to it."""


@dataclass
class Usage:
    """What model calls used.

    Attributes:
        prompt_tokens: Tokens of requests.
        completion_tokens: Tokens of answers.
        cost_usd: The known part of their cost, in US dollars.
        estimated_usd: What calls of unknown cost must have cost at least, as far as prices are known.
        unknown: How many calls have an unknown cost.
        calls: How many calls there were, attempts that failed included.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    estimated_usd: float = 0.0
    unknown: int = 0
    calls: int = 0

    def add(self, prompt_tokens: int, completion_tokens: int, cost_usd: float | None, estimated_usd: float) -> None:
        """Count a call. `estimated_usd` counts where the cost is unknown."""
        self.calls += 1
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens
        if cost_usd is None:
            self.unknown += 1
            self.estimated_usd += estimated_usd
        else:
            self.cost_usd += cost_usd

    @property
    def total_cost_usd(self) -> float | None:
        """The cost of all calls in US dollars; None if there were none, or one of them has an unknown cost."""
        return None if self.unknown or not self.calls else self.cost_usd


class Budget:
    """Money and tokens that several callers share: an episode and its forks, or all episodes of a run.

    A call reserves what it may cost at most before it is made, so that calls at the same time do not exceed the budget
    together.

    Args:
        prefix: What the names of its limits begin with: `max_` or `max_run_`.
        max_cost: US dollars; None for no limit.
        max_tokens: Tokens; None for no limit.
        max_time: Wall time from now, in seconds; None for no limit.
        spent: What was used before.
    """

    def __init__(
        self,
        prefix: str,
        *,
        max_cost: float | None = None,
        max_tokens: int | None = None,
        max_time: float | None = None,
        spent: Usage | None = None,
    ) -> None:
        self._prefix = prefix
        self._max_cost = max_cost
        self._max_tokens = max_tokens
        self._max_time = max_time
        self._end = None if max_time is None else time.monotonic() + max_time
        self.spent = spent or Usage()
        self._reserved_cost = 0.0
        self._reserved_tokens = 0
        self._reservations = 0
        self._waiting: set[asyncio.Future[None]] = set()

    @classmethod
    def of_episode(cls, limits: Limits) -> Budget:
        """Return the budget of an episode. Its time is the episode's own affair."""
        return cls("max_", max_cost=limits.max_cost, max_tokens=limits.max_tokens)

    @classmethod
    def of_run(cls, limits: RunLimits, spent: Usage, seconds: float) -> Budget:
        """Return the budget of a run that has already spent something and taken so many seconds."""
        left = None if limits.max_run_time is None else limits.max_run_time - seconds
        cost, tokens = limits.max_run_cost, limits.max_run_tokens
        return cls("max_run_", max_cost=cost, max_tokens=tokens, max_time=left, spent=spent)

    @property
    def is_limited(self) -> bool:
        """Whether money or tokens are limited."""
        return self._max_cost is not None or self._max_tokens is not None

    @property
    def limits_cost(self) -> bool:
        """Whether money is limited."""
        return self._max_cost is not None

    @property
    def seconds_left(self) -> float | None:
        """Wall time that is left, in seconds; None without a limit."""
        return None if self._end is None else max(self._end - time.monotonic(), 0.0)

    @property
    def cost_left(self) -> float | None:
        """US dollars that are neither spent nor reserved; None without a limit."""
        if self._max_cost is None:
            return None
        return max(self._max_cost - self.spent.cost_usd - self.spent.estimated_usd - self._reserved_cost, 0.0)

    @property
    def tokens_left(self) -> int | None:
        """Tokens that are neither spent nor reserved; None without a limit."""
        if self._max_tokens is None:
            return None
        used = self.spent.prompt_tokens + self.spent.completion_tokens
        return max(self._max_tokens - used - self._reserved_tokens, 0)

    def exhausted(self) -> BudgetExhausted | None:
        """Return what says that nothing is left, whatever a call may cost, or None."""
        if self.seconds_left == 0.0:
            return self._error("time", f"{self._prefix}time is reached.")
        if self._reservations:
            return None
        if self.cost_left == 0.0:
            return self._error("cost", f"{self._prefix}cost is reached: {self._money_spent()}.")
        if self.tokens_left == 0:
            return self._error("tokens", f"{self._prefix}tokens is reached: {self._tokens_spent()}.")
        return None

    def answer_tokens_left(self, request_tokens: int, model: Model) -> tuple[float, BudgetExhausted]:
        """Return how long an answer to a request may be, in tokens, and what to say if that is too short."""
        allowed = math.inf
        error = self._error("tokens", "")
        if (tokens := self.tokens_left) is not None:
            allowed = tokens - request_tokens
            error = self._error(
                "tokens", f"A call of about {request_tokens} tokens would exceed {self._prefix}tokens: "
                f"{self._tokens_spent()}."
            )  # fmt: skip
        price = model.price_usd(request_tokens, 0)
        if (money := self.cost_left) is not None:
            answer = model.price_usd(request_tokens, LONG_ANSWER)
            affordable: float = 0.0 if money <= 0.0 else math.inf
            if price is not None and answer is not None:
                left = money - price
                affordable = left * LONG_ANSWER / (answer - price) if answer > price else math.inf if left > 0 else 0.0
            if affordable < allowed:
                allowed = affordable
                request = "A call" if price is None else f"A call that costs {price:.4g} USD and more"
                error = self._error("cost", f"{request} would exceed {self._prefix}cost: {self._money_spent()}.")
        return allowed, error

    @contextlib.contextmanager
    def reserved(self, tokens: int, cost_usd: float) -> Iterator[None]:
        """Reserve tokens and money while a call goes on."""
        self._reserved_tokens += tokens
        self._reserved_cost += cost_usd
        self._reservations += 1
        try:
            yield
        finally:
            self._reservations -= 1
            self._reserved_tokens -= tokens
            # Sums of fractions leave a rest.
            self._reserved_cost = self._reserved_cost - cost_usd if self._reservations else 0.0
            for waiting in self._waiting:
                if not waiting.done():
                    waiting.set_result(None)

    @property
    def may_get_more(self) -> bool:
        """Whether calls are going on that may turn out cheaper than what they reserved."""
        return self._reservations > 0

    async def change(self) -> None:
        """Wait until a call has ended."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)

    def _error(self, limit: str, message: str) -> BudgetExhausted:
        return BudgetExhausted(f"{self._prefix}{limit}", message)

    def _money_spent(self) -> str:
        return f"{self.spent.cost_usd + self.spent.estimated_usd:.4g} of {self._max_cost:g} USD are spent"

    def _tokens_spent(self) -> str:
        return f"{self.spent.prompt_tokens + self.spent.completion_tokens} of {self._max_tokens} are used"


class EpisodeClock:
    """The time of an episode, and how much of it a language model was waited for.

    Args:
        limits: Of the episode.
        run: The run's budget, if there is one.
    """

    def __init__(self, limits: Limits, run: Budget | None) -> None:
        self.started = time.monotonic()
        self._limits = limits
        self._run = run
        self._waited = 0.0
        self._calls = 0
        self._calls_began = 0.0

    @property
    def elapsed(self) -> float:
        """Wall time since the beginning, in seconds."""
        return time.monotonic() - self.started

    @property
    def working(self) -> float:
        """The same without the time in which a language model was waited for."""
        waiting = time.monotonic() - self._calls_began if self._calls else 0.0
        return self.elapsed - self._waited - waiting

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Stop the working time. Calls at the same time count once."""
        if not self._calls:
            self._calls_began = time.monotonic()
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            if not self._calls:
                self._waited += time.monotonic() - self._calls_began

    @property
    def seconds_left(self) -> float | None:
        """Wall time that the episode still has, in seconds; None without a limit."""
        left = [seconds for _, seconds in self._wall_times()]
        return min(left) if left else None

    @property
    def action_seconds_left(self) -> float | None:
        """Time that an action may still take, in seconds; None without a limit."""
        left = [seconds for _, seconds in (*self._wall_times(), *self._working_times())]
        return min(left) if left else None

    def exhausted(self) -> BudgetExhausted | None:
        """Return what says which time is up, or None."""
        for limit, seconds in (*self._wall_times(), *self._working_times()):
            if seconds <= 0.0:
                return BudgetExhausted(limit, f"{limit} is reached.")
        return None

    def first_end(self) -> tuple[str, float] | None:
        """Return which limit of wall time comes first, and in how many seconds."""
        return min(self._wall_times(), key=lambda pair: pair[1], default=None)

    def _wall_times(self) -> list[tuple[str, float]]:
        times = []
        if self._limits.max_time is not None:
            times.append(("max_time", max(self._limits.max_time - self.elapsed, 0.0)))
        if self._run is not None and (left := self._run.seconds_left) is not None:
            times.append(("max_run_time", left))
        return times

    def _working_times(self) -> list[tuple[str, float]]:
        limit = self._limits.max_working_time
        return [] if limit is None else [("max_working_time", max(limit - self.working, 0.0))]
