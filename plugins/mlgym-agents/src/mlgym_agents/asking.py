"""How agents ask their model: with what settings, within what it can read, and what of outputs it is shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

from mlgym_agents.conversation import Conversation, without_middle
from mlgym_core import (
    AsyncEnv,
    ContextTooLong,
    EpisodeModel,
    Message,
    ModelReply,
    Observation,
    Sampling,
    ToolSchema,
    UsageError,
)

Temperature = float | Literal["default"]
"""`default` leaves it to the provider."""
SHORTEST_OBSERVATION = 50
"""Tokens. Less of an output says nothing."""
_LONG_ANSWER = 4096
"""Tokens that are kept free for an answer where the user does not say how long it may be."""
_SPARE = 0.2
"""Share of the room that is freed besides where something has to be elided. With none, it would have to be done in each
turn, and no provider could go on from what it has in its cache."""
_TRIES = 5
"""How often a conversation is shortened that the provider finds too long."""


class Asker:
    """Asks models with the settings that an agent was given.

    Args:
        temperature: 0 always takes the likeliest token; `default` leaves it to the provider.
        top_p: Share of the probability from which tokens are drawn; None leaves it to the provider.
        max_tokens: Longest answer, in tokens; None leaves it to the provider.
        context_tokens: How long what is asked and an answer may be together, in tokens; None for what the model holds.
        observation_tokens: Longest output that the model is shown, in tokens.
        reminders: How many turns in a row may pass in which nothing is done.

    Raises:
        UsageError: if one of them cannot be meant.
    """

    def __init__(
        self,
        *,
        temperature: Temperature,
        top_p: float | None,
        max_tokens: int | None,
        context_tokens: int | None,
        observation_tokens: int,
        reminders: int,
    ) -> None:
        if reminders < 0:
            raise UsageError(f"reminders is {reminders}: it must not be negative.")
        if observation_tokens < SHORTEST_OBSERVATION:
            raise UsageError(f"observation_tokens is {observation_tokens}: the least is {SHORTEST_OBSERVATION}.")
        for name, value in (("max_tokens", max_tokens), ("context_tokens", context_tokens)):
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}: it must be positive.")
        if temperature != "default" and not 0 <= temperature < math.inf:
            raise UsageError(f"temperature is {temperature}: write 0 or more, or `default`.")
        if top_p is not None and not 0 < top_p <= 1:
            raise UsageError(f"top_p is {top_p}: it is a share, above 0 and at most 1.")
        if max_tokens is not None and context_tokens is not None and max_tokens >= context_tokens:
            raise UsageError(f"max_tokens is {max_tokens}: context_tokens is only {context_tokens}.")
        self._sampling = Sampling(
            temperature=None if temperature == "default" else temperature, top_p=top_p, max_tokens=max_tokens
        )
        self._context_tokens = context_tokens
        self._observation_tokens = observation_tokens
        self.reminders = reminders

    async def answer(
        self, model: EpisodeModel, conversation: Conversation, tools: Sequence[ToolSchema] = ()
    ) -> ModelReply:
        """Return the answer to a conversation, of which as much is elided as does not fit.

        Raises:
            BudgetExhausted: if a limit is reached.
            ModelError: if the provider fails, or finds even the shortened conversation too long.
        """
        if (room := self._room(model)) is not None:
            used = model.count_tokens(conversation.messages, tools)
            if used > room:
                conversation.free(used - room, model.count_tokens, spare=int(_SPARE * room))
        for _ in range(_TRIES):
            try:
                return await model.complete(conversation.messages, tools, self._sampling)
            except ContextTooLong:
                if not conversation.free_half(model.count_tokens):
                    raise
        return await model.complete(conversation.messages, tools, self._sampling)

    async def answer_to(self, model: EpisodeModel, render: Callable[[int], Sequence[Message]]) -> ModelReply:
        """Return the answer to messages that can be made with less in them.

        Args:
            render: Returns the messages, with outputs of at most so many tokens in them.

        Raises:
            BudgetExhausted: if a limit is reached.
            ModelError: if the provider fails, or finds even the shortest messages too long.
        """
        longest, messages = self.fitting(model, render, self.longest_observation(model))
        while True:
            try:
                return await model.complete(messages, (), self._sampling)
            except ContextTooLong:
                if longest <= SHORTEST_OBSERVATION:
                    raise
            longest, messages = self.fitting(model, render, max(longest // 2, SHORTEST_OBSERVATION))

    def fitting(
        self, model: EpisodeModel, render: Callable[[int], Sequence[Message]], longest: int
    ) -> tuple[int, Sequence[Message]]:
        """Return messages that fit into the context, as far as it is known, and how long outputs in them may be."""
        room = self._room(model)
        messages = render(longest)
        while room is not None and longest > SHORTEST_OBSERVATION and model.count_tokens(messages) > room:
            longest = max(longest // 2, SHORTEST_OBSERVATION)
            messages = render(longest)
        return longest, messages

    def longest_observation(self, model: EpisodeModel, outputs: int = 1) -> int:
        """Return how long an output may be, in tokens, so that those of a turn fit beside the rest."""
        window = self._window(model)
        if window is None:
            return self._observation_tokens
        share = window // 4 // max(outputs, 1)
        return max(min(self._observation_tokens, share), SHORTEST_OBSERVATION)

    def _window(self, model: EpisodeModel) -> int | None:
        return model.context_tokens() if self._context_tokens is None else self._context_tokens

    def _room(self, model: EpisodeModel) -> int | None:
        """Return how long a request may be, in tokens, so that there is room for an answer."""
        if (window := self._window(model)) is None:
            return None
        answer = min(self._sampling.max_tokens or min(_LONG_ANSWER, window // 4), window // 2)
        return window - answer


def model_of(env: AsyncEnv) -> EpisodeModel:
    """Return the language model of an episode.

    Raises:
        UsageError: if it has none.
    """
    if env.model is None:
        raise UsageError("This agent needs a language model, and the environment has none.")
    return env.model


def shown_output(observation: Observation, longest: int, model: EpisodeModel) -> str:
    """Return what a model is shown of an observation, with an output of at most so many tokens."""
    text = without_middle(observation.text.rstrip(), longest, model.count_tokens) or "[no output]"
    return f"{text}\n[exit code {observation.exit_code}]" if observation.exit_code else text


def is_score(observation: Observation) -> bool:
    """Whether an observation is a score, which is kept. Why a submission is invalid is long, and soon out of date."""
    return observation.score is not None and observation.score.valid
