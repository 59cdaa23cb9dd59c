"""The agent `react`: its model thinks and calls tools, sees what they return, and goes on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from mlgym_agents import prompting
from mlgym_agents.conversation import Conversation, without_middle
from mlgym_agents.remaining import remaining, remaining_line
from mlgym_core import (
    Agent,
    AsyncEnv,
    ContextTooLong,
    EpisodeModel,
    Message,
    ModelReply,
    ModelToolCall,
    Sampling,
    ToolSchema,
    UsageError,
)

PROMPT_VARIABLES = ("left", "limits", "task", "tools")
_LONG_ANSWER = 4096
"""Tokens that are kept free for an answer where the user does not say how long it may be."""
_SPARE = 0.2
"""Share of the room that is freed besides where something has to be elided. With none, it would have to be done in each
turn, and no provider could go on from what it has in its cache."""
_TRIES = 5
"""How often a conversation is shortened that the provider finds too long."""
_SHORTEST_OBSERVATION = 50


class ReactAgent(Agent):
    """Lets a model call tools until the episode is over.

    Args:
        temperature: 0 always takes the likeliest token; `default` leaves it to the provider.
        top_p: Share of the probability from which tokens are drawn; unless given, the provider's.
        max_tokens: Longest answer, in tokens; unless given, the provider's.
        reminders: How many turns in a row may pass in which nothing is done: no tool is called, none that exists, or
            none with readable arguments. The model is reminded in each; after the next one, the agent ends.
        observation_tokens: Longest output that the model is shown, in tokens. The middle of longer ones is cut out.
        context_tokens: How long the conversation and an answer may be together, in tokens; unless given, what the
            model's context holds.
        prompt: Path of a Jinja template to use as the system prompt instead of the package's `react_system.md.jinja`.
    """

    def __init__(
        self,
        *,
        temperature: float | Literal["default"] = 0.0,
        top_p: float | None = None,
        max_tokens: int | None = None,
        reminders: int = 3,
        observation_tokens: int = 8000,
        context_tokens: int | None = None,
        prompt: str | None = None,
    ) -> None:
        if reminders < 0:
            raise UsageError(f"reminders is {reminders}: it must not be negative.")
        if observation_tokens < _SHORTEST_OBSERVATION:
            raise UsageError(f"observation_tokens is {observation_tokens}: the least is {_SHORTEST_OBSERVATION}.")
        for name, value in (("max_tokens", max_tokens), ("context_tokens", context_tokens)):
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}: it must be positive.")
        if max_tokens is not None and context_tokens is not None and max_tokens >= context_tokens:
            raise UsageError(f"max_tokens is {max_tokens}: context_tokens is only {context_tokens}.")
        self._sampling = Sampling(
            temperature=None if temperature == "default" else temperature, top_p=top_p, max_tokens=max_tokens
        )
        self._reminders = reminders
        self._observation_tokens = observation_tokens
        self._context_tokens = context_tokens
        if prompt is None:
            self._system = prompting.packaged("react_system")
        else:
            self._system = prompting.of_file(Path(prompt), PROMPT_VARIABLES)

    def opening(self, env: AsyncEnv) -> list[Message]:
        """Return the messages with which the conversation begins.

        Raises:
            UsageError: if the user's prompt cannot be rendered.
        """
        tools = _names(env.tools)
        known = {"task": env.task, "limits": env.limits, "tools": tools, "left": remaining(env)}
        return [
            {"role": "system", "content": prompting.rendered(self._system, **known)},
            {"role": "user", "content": prompting.rendered(prompting.packaged("react_task"), **known)},
        ]

    async def run(self, env: AsyncEnv) -> None:
        """Play the episode.

        Raises:
            BudgetExhausted: if a limit is reached.
            ModelError: if the provider fails, or says that even the shortened conversation is too long.
            UsageError: if the environment has no model, or the user's prompt cannot be rendered.
        """
        model = env.model
        if model is None:
            raise UsageError("The agent 'react' needs a language model.")
        tools = env.tools
        names = _names(tools)
        conversation = Conversation(self.opening(env))
        idle = 0
        while not env.is_over:
            reply = await self._answer(model, conversation, tools)
            conversation.add_answer(reply)
            acted = await self._act(env, names, model, conversation, reply)
            if env.is_over:
                return
            idle = 0 if acted else idle + 1
            if idle > self._reminders:
                return
            if not reply.tool_calls:
                template = prompting.packaged("react_reminder")
                reminder = prompting.rendered(template, tools=names, cut_off=reply.finish_reason == "length")
                conversation.add_reminder(f"{reminder}\n\n{remaining_line(env)}")

    async def _answer(self, model: EpisodeModel, conversation: Conversation, tools: Sequence[ToolSchema]) -> ModelReply:
        """Ask the model, with a conversation that fits."""
        if (window := self._window(model)) is not None:
            answer = min(self._sampling.max_tokens or min(_LONG_ANSWER, window // 4), window // 2)
            room = window - answer
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

    async def _act(
        self, env: AsyncEnv, tools: Sequence[str], model: EpisodeModel, conversation: Conversation, reply: ModelReply
    ) -> bool:
        """Carry out the calls of an answer one after another, and return whether any of them was an action."""
        acted = False
        longest = self._longest_observation(model, len(reply.tool_calls))
        for number, call in enumerate(reply.tool_calls, 1):
            is_score = False
            if env.is_over:
                text = "The episode is over."
            elif (problem := _problem(call, tools, cut_off=reply.finish_reason == "length")) is not None:
                text = problem
            else:
                observation, *_ = await env.step({"tool": call.tool, "arguments": dict(call.arguments or {})})
                acted = True
                # Why a submission is invalid can be long, and is soon out of date.
                is_score = observation.score is not None and observation.score.valid
                text = without_middle(observation.text.rstrip(), longest, model.count_tokens) or "[no output]"
                if observation.exit_code:
                    text += f"\n[exit code {observation.exit_code}]"
            if number == len(reply.tool_calls) and not env.is_over:
                text += f"\n\n{remaining_line(env)}"
            conversation.add_result(call, text, is_score=is_score)
        return acted

    def _window(self, model: EpisodeModel) -> int | None:
        return model.context_tokens() if self._context_tokens is None else self._context_tokens

    def _longest_observation(self, model: EpisodeModel, calls: int) -> int:
        """Return how long an output may be, in tokens, so that those of a turn fit beside the rest."""
        window = self._window(model)
        if window is None:
            return self._observation_tokens
        share = window // 4 // max(calls, 1)
        return max(min(self._observation_tokens, share), _SHORTEST_OBSERVATION)


def _names(tools: Sequence[ToolSchema]) -> list[str]:
    return [str(tool["name"]) for tool in tools]


def _problem(call: ModelToolCall, tools: Sequence[str], *, cut_off: bool) -> str | None:
    """Return why a call can be no action, in words for the model, or None."""
    if call.tool not in tools:
        return f"There is no tool {call.tool[:100]!r}. There are: {', '.join(tools)}."
    if call.arguments is None:
        why = " They were cut off, since the answer was too long: write less at a time." if cut_off else ""
        return f"Nothing was done: the arguments of {call.tool} are not a JSON object.{why} Call it again."
    return None
