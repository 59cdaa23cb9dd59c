"""The agent `thought-action`: its model writes a discussion and one command in each turn, and calls no tools."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from mlgym_agents.answers import fenced_blocks
from mlgym_agents.asking import Asker, Temperature, is_score, model_of, shown_output
from mlgym_agents.commands import SHELL, CommandProblem, parse_command, usage
from mlgym_agents.conversation import Conversation
from mlgym_agents.prompt_samples import SAMPLES
from mlgym_agents.prompting import Prompts
from mlgym_agents.remaining import remaining, remaining_line
from mlgym_core import Agent, AsyncEnv, Message, ModelReply, ToolSchema, UsageError

_KNOWN = ("left", "limits", "outputs", "task", "tools")
PROMPTS = {
    "thought_action_system": _KNOWN,
    "thought_action_task": _KNOWN,
    "thought_action_reminder": ("cut_off", "problem", "tools"),
}
"""The prompts of the agent, and what each is rendered with."""
_SAMPLES = [
    {"name": name, "usage": f"{name} PATH", "description": "Does something."} for name in (*SAMPLES["tools"], "edit")
]


class ThoughtActionAgent(Agent):
    """Lets a model write one command in each turn, in a fenced block after some discussion, until the episode is over.

    It is the scheme of the 2025 paper, for models that cannot call tools.

    Args:
        temperature: 0 always takes the likeliest token; `default` leaves it to the provider.
        top_p: Share of the probability from which tokens are drawn.
        max_tokens: Longest answer, in tokens; unless given, the provider's.
        reminders: How many answers in a row may be malformed. The model is told what is wrong and asked again; after
            the next one, the agent ends.
        outputs: How many of the last outputs are shown in full; older ones are replaced by a line.
        observation_tokens: Longest output that the model is shown, in tokens. The middle of longer ones is cut out.
        context_tokens: How long the conversation and an answer may be together, in tokens; unless given, what the
            model's context holds.
        prompts: Folder with Jinja templates that replace those of the package with the same names.
    """

    sends_tools = False

    def __init__(
        self,
        *,
        temperature: Temperature = 0.0,
        top_p: float | None = 0.95,
        max_tokens: int | None = None,
        reminders: int = 3,
        outputs: int = 5,
        observation_tokens: int = 8000,
        context_tokens: int | None = None,
        prompts: str | None = None,
    ) -> None:
        if outputs < 1:
            raise UsageError(f"outputs is {outputs}: at least the last one must be shown.")
        self._asker = Asker(
            temperature=temperature,
            top_p=top_p,
            max_tokens=max_tokens,
            context_tokens=context_tokens,
            observation_tokens=observation_tokens,
            reminders=reminders,
        )
        self._outputs = outputs
        self._prompts = Prompts(PROMPTS, prompts, tools=_SAMPLES)

    def opening(self, env: AsyncEnv) -> list[Message]:
        """Return the messages with which the conversation begins.

        Raises:
            UsageError: if a prompt of the user's cannot be rendered.
        """
        tools = env.tools
        known = {
            "task": env.task,
            "limits": env.limits,
            "left": remaining(env, validates=_can_validate(tools)),
            "outputs": self._outputs,
            "tools": _described(tools),
        }
        return [
            {"role": "system", "content": self._prompts.render("thought_action_system", **known)},
            {"role": "user", "content": self._prompts.render("thought_action_task", **known)},
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
        validates = _can_validate(tools)
        conversation = Conversation(self.opening(env))
        malformed = 0
        while not env.is_over:
            reply = await self._asker.answer(model, conversation)
            try:
                command, end = _block_of(reply)
                action = parse_command(command, tools)
            except CommandProblem as problem:
                conversation.add_answer(_as_text(reply, len(reply.text)))
                malformed += 1
                if malformed > self._asker.reminders:
                    return
                reminder = self._reminder(reply, str(problem), tools)
                conversation.add_reminder(f"{reminder}\n\n{remaining_line(env, validates=validates)}")
                continue
            malformed = 0
            # What a model says of the outcome before it has seen it is not so.
            conversation.add_answer(_as_text(reply, end))
            observation, *_ = await env.step(action)
            if env.is_over:
                return
            text = shown_output(observation, self._asker.longest_observation(model), model)
            left = remaining_line(env, validates=validates)
            conversation.add_output(f"{text}\n\n{left}", is_score=is_score(observation))
            conversation.keep_outputs(self._outputs, model.count_tokens)

    def _reminder(self, reply: ModelReply, problem: str, tools: Sequence[ToolSchema]) -> str:
        return self._prompts.render(
            "thought_action_reminder",
            problem=problem,
            cut_off=reply.finish_reason == "length",
            tools=_described(tools),
        )


def _block_of(reply: ModelReply) -> tuple[str, int]:
    """Return the command in an answer, and where its block ends.

    Raises:
        CommandProblem: if there is not exactly one.
    """
    if reply.tool_calls:
        raise CommandProblem("Tools cannot be called that way here: write a command into a block.")
    blocks, is_open = fenced_blocks(reply.text)
    if is_open:
        raise CommandProblem("The block is not closed by a line of its own with as many backticks as opened it.")
    if len(blocks) != 1:
        raise CommandProblem(f"There are {len(blocks)} blocks." if blocks else "There is no block.")
    return blocks[0].content, blocks[0].end


def _as_text(reply: ModelReply, end: int) -> ModelReply:
    """Return an answer as it stays in the conversation: its text up to a place, without calls that nobody answers."""
    return dataclasses.replace(reply, text=reply.text[:end].rstrip(), tool_calls=())


def _can_validate(tools: Sequence[ToolSchema]) -> bool:
    return any(tool["name"] == "validate" for tool in tools)


def _described(tools: Sequence[ToolSchema]) -> list[dict[str, str]]:
    """Return the tools as prompts have them: name, usage and description, the shell last."""
    ordered = sorted(tools, key=lambda tool: tool["name"] == SHELL)
    return [{"name": tool["name"], "usage": usage(tool), "description": tool["description"]} for tool in ordered]
