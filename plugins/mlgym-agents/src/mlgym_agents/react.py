"""The agent `react`: its model thinks and calls tools, sees what they return, and goes on."""

from __future__ import annotations

from collections.abc import Sequence

from mlgym_agents.asking import Asker, Temperature, is_score, model_of, shown_output
from mlgym_agents.conversation import Conversation
from mlgym_agents.prompting import Prompts
from mlgym_agents.remaining import remaining, remaining_line
from mlgym_core import Agent, AsyncEnv, EpisodeModel, Message, ModelReply, ModelToolCall, ToolSchema

_KNOWN = ("left", "limits", "task", "tools")
PROMPTS = {"react_system": _KNOWN, "react_task": _KNOWN, "react_reminder": ("cut_off", "tools")}
"""The prompts of the agent, and what each is rendered with."""


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
        prompts: Folder with Jinja templates that replace those of the package with the same names.
    """

    def __init__(
        self,
        *,
        temperature: Temperature = 0.0,
        top_p: float | None = None,
        max_tokens: int | None = None,
        reminders: int = 3,
        observation_tokens: int = 8000,
        context_tokens: int | None = None,
        prompts: str | None = None,
    ) -> None:
        self._asker = Asker(
            temperature=temperature,
            top_p=top_p,
            max_tokens=max_tokens,
            context_tokens=context_tokens,
            observation_tokens=observation_tokens,
            reminders=reminders,
        )
        self._prompts = Prompts(PROMPTS, prompts)

    def opening(self, env: AsyncEnv) -> list[Message]:
        """Return the messages with which the conversation begins.

        Raises:
            UsageError: if a prompt of the user's cannot be rendered.
        """
        tools = _names(env.tools)
        known = {
            "task": env.task,
            "limits": env.limits,
            "tools": tools,
            "left": remaining(env, validates="validate" in tools),
        }
        return [
            {"role": "system", "content": self._prompts.render("react_system", **known)},
            {"role": "user", "content": self._prompts.render("react_task", **known)},
        ]

    async def run(self, env: AsyncEnv) -> None:
        """Play the episode.

        Raises:
            BudgetExhausted: if a limit is reached.
            ModelError: if the provider fails, or says that even the shortened conversation is too long.
            UsageError: if the environment has no model, or a prompt of the user's cannot be rendered.
        """
        model = model_of(env)
        tools = env.tools
        names = _names(tools)
        conversation = Conversation(self.opening(env))
        idle = 0
        while not env.is_over:
            reply = await self._asker.answer(model, conversation, tools)
            conversation.add_answer(reply)
            acted = await self._act(env, names, model, conversation, reply)
            if env.is_over:
                return
            idle = 0 if acted else idle + 1
            if idle > self._asker.reminders:
                return
            if not reply.tool_calls:
                cut_off = reply.finish_reason == "length"
                reminder = self._prompts.render("react_reminder", tools=names, cut_off=cut_off)
                conversation.add_reminder(f"{reminder}\n\n{remaining_line(env, validates='validate' in names)}")

    async def _act(
        self, env: AsyncEnv, tools: Sequence[str], model: EpisodeModel, conversation: Conversation, reply: ModelReply
    ) -> bool:
        """Carry out the calls of an answer one after another, and return whether any of them was an action."""
        acted = False
        longest = self._asker.longest_observation(model, len(reply.tool_calls))
        for number, call in enumerate(reply.tool_calls, 1):
            scored = False
            if env.is_over:
                text = "The episode is over."
            elif (problem := _problem(call, tools, cut_off=reply.finish_reason == "length")) is not None:
                text = problem
            else:
                observation, *_ = await env.step({"tool": call.tool, "arguments": dict(call.arguments or {})})
                acted = True
                scored = is_score(observation)
                text = shown_output(observation, longest, model)
            if number == len(reply.tool_calls) and not env.is_over:
                text += f"\n\n{remaining_line(env, validates='validate' in tools)}"
            conversation.add_result(call, text, is_score=scored)
        return acted


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
