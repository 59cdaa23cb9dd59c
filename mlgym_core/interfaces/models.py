"""Language models: what they are asked, what they answer, and the model of an episode."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a language model is to answer. None leaves a setting to the provider.

    Attributes:
        temperature: 0 always takes the likeliest token.
        top_p: Share of the probability from which tokens are drawn.
        max_tokens: Longest answer, in tokens.
        stop: Texts at which the answer ends.
        seed: For providers that can repeat an answer.
    """

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class ModelToolCall:
    """A tool call that a language model asked for.

    Attributes:
        id: The provider's name for it, by which its result is returned.
        tool: The tool's name, which may be none that was offered.
        arguments: The arguments, or None if the model did not write a JSON object.
        written: The arguments as the model wrote them.
    """

    id: str
    tool: str
    arguments: Mapping[str, Any] | None
    written: str


@dataclass(frozen=True, kw_only=True)
class ModelReply:
    """One answer of a language model.

    Attributes:
        text: What it said, without tool calls.
        tool_calls: The calls it asked for, in order.
        finish_reason: Why it ended: `stop`, `tool_calls`, `length`, or the provider's own word.
        model: The model that answered, as the provider calls it.
        prompt_tokens: Tokens of the request.
        cached_tokens: Those of them that the provider had in its cache.
        completion_tokens: Tokens of the answer, with those that it reasoned with.
        reasoning_tokens: The latter alone.
        cost_usd: Cost in US dollars; None if unknown.
        seconds: Wall time that the provider took, in seconds.
        from_cache: Whether it was given before and kept; tokens and cost are those of then.
        estimated: Whether the numbers of tokens are our own estimates, since the provider gave none that can be true.
        prompt_token_ids: Ids of the request's tokens, if the server says them.
        completion_token_ids: Ids of the answer's tokens, likewise.
        log_probabilities: Natural logarithm of each answer token's probability, likewise.
        extra: What else the provider wants to see again in the message when the conversation goes on, such as the
            signed thoughts of a model that reasons.
    """

    text: str
    tool_calls: tuple[ModelToolCall, ...] = ()
    finish_reason: str = "stop"
    model: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: float | None = None
    seconds: float = 0.0
    estimated: bool = False
    from_cache: bool = False
    prompt_token_ids: tuple[int, ...] | None = None
    completion_token_ids: tuple[int, ...] | None = None
    log_probabilities: tuple[float, ...] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def as_message(self) -> dict[str, Any]:
        """Return the answer as the next message of the conversation.

        If it has tool calls, one message `{"role": "tool", "tool_call_id": …, "content": …}` for each must follow.
        """
        message: dict[str, Any] = {**self.extra, "role": "assistant", "content": self.text or None}
        if self.tool_calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    # Providers refuse arguments that are not a JSON object, even in what their model wrote.
                    "function": {"name": call.tool, "arguments": "{}" if call.arguments is None else call.written},
                }
                for call in self.tool_calls
            ]
        elif message["content"] is None:
            message["content"] = ""
        return message


Message = Mapping[str, Any]
"""A message of a conversation, in the format of the Chat Completions API."""
ToolSchema = Mapping[str, Any]
"""A tool on offer: `{"name", "description", "parameters"}`, the parameters as a JSON schema."""


class ModelCall(abc.ABC):
    """A call as its model sees it: here the model says what becomes of it before there is an answer.

    All of it belongs to the event loop in which `Model.complete` was called.

    Attributes:
        repeat: Which repetition of its episode it belongs to, from 0.
    """

    repeat: int

    @abc.abstractmethod
    def attempt_failed(self, error: str, *, completion_tokens: int | None = None) -> None:
        """Count and record an attempt that failed, but for which the provider may charge.

        Args:
            error: What failed.
            completion_tokens: Tokens of the answer, as far as it came; None if nobody knows, in which case they are
                estimated from the time that the attempt took.
        """

    @abc.abstractmethod
    async def next_attempt(self, pause: float) -> Sampling:
        """Wait, if time and budgets allow a further attempt, and return its settings.

        Args:
            pause: Seconds to wait.

        Returns:
            The settings of the call, perhaps with a shorter answer than before.

        Raises:
            BudgetExhausted: if they do not allow it. Let it pass.
        """

    @abc.abstractmethod
    def said(self, text: str) -> None:
        """Show those who watch the text of an answer as far as it came."""


class Model(abc.ABC):
    """A language model. One instance serves all episodes of a run, at the same time.

    The typed keyword parameters of its `__init__` after `provider` and `name` are its options (`-M key=value`). Those
    with the type `pydantic.SecretStr` are never recorded. Making one is cheap: what takes time or can fail belongs into
    `check`.

    Args:
        provider: The id under which it is registered: the part of `--model` before the first slash.
        name: What follows it.
    """

    def __init__(self, provider: str, name: str) -> None:
        self.provider = provider
        self.name = name

    @abc.abstractmethod
    async def complete(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSchema] = (),
        sampling: Sampling = Sampling(),
        call: ModelCall | None = None,
    ) -> ModelReply:
        """Answer a conversation.

        Args:
            messages: The conversation.
            tools: The tools on offer.
            sampling: How to answer.
            call: Who is to know of failed attempts, and decides on further ones; None outside of episodes.

        Raises:
            ContextTooLong: if it does not fit into the model's context.
            RequestRefused: if the provider refuses it for another reason that lies in the request.
            ModelError: if the provider fails, after having been tried again where that may help.
        """

    def check(self) -> None:
        """Look at what can be known without asking the provider, such as whether there is a key.

        It is called once, before any episode, and may take seconds.

        Raises:
            UsageError: naming what is missing.
        """

    def context_tokens(self) -> int | None:
        """Return how many tokens a conversation and its answer may have together, or None if unknown."""
        return None

    def answer_tokens(self) -> int | None:
        """Return how many tokens an answer may have, or None if unknown."""
        return None

    def count_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> int | None:
        """Return about how many tokens a request has, or None if unknown. Never asks the provider."""
        return None

    def price_usd(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """Return what so many tokens cost, in US dollars, or None if unknown."""
        return None

    async def close(self) -> None:
        """Close connections. A later call opens them anew."""


class EpisodeModel(abc.ABC):
    """The language model of an episode, as `env.model`: every call is counted, recorded, and within the budget.

    Attributes:
        id: The model's id, as in `--model`.
        calls: How many calls were answered so far.
    """

    id: str
    calls: int

    @abc.abstractmethod
    async def complete(
        self, messages: Sequence[Message], tools: Sequence[ToolSchema] = (), sampling: Sampling = Sampling()
    ) -> ModelReply:
        """Answer a conversation.

        If only a shorter answer than `sampling` allows is within the budget, the model is asked for that.

        Raises:
            EpisodeOver: if the episode has ended.
            BudgetExhausted: if a limit of the episode or the run is reached, or the call would exceed it. Let it
                pass: the episode ends, and what is in the workspace is graded.
            ContextTooLong: if the conversation does not fit into the model's context.
            ModelError: if the provider fails. Let it pass: the episode counts as a failure of the infrastructure.
        """

    @abc.abstractmethod
    def context_tokens(self) -> int | None:
        """Return how many tokens a conversation and its answer may have together, or None if unknown."""

    @abc.abstractmethod
    def count_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> int:
        """Return about how many tokens a request has: the model's own count, or a quarter of its letters."""

    @property
    @abc.abstractmethod
    def cost_left_usd(self) -> float | None:
        """US dollars that the episode may still spend, within the run's budget too; None without a limit."""

    @property
    @abc.abstractmethod
    def tokens_left(self) -> int | None:
        """Tokens that the episode may still use, within the run's budget too; None without a limit."""
