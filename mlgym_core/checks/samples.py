"""A tiny task and scripted language models, which agents and tools are tried on. They need no network and no key."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence

from mlgym_core.checks.sample_task import BEST, SUBMISSION
from mlgym_core.errors import ContextTooLong, ModelError
from mlgym_core.hookspecs import hookimpl
from mlgym_core.interfaces import (
    Message,
    Model,
    ModelCall,
    ModelReply,
    ModelToolCall,
    Sampling,
    ToolSchema,
)
from mlgym_core.specs import ModelSpec, TaskMetric, TaskSpec

SAMPLE_TASK = "sample/number"
"""The task that `SamplePlugin` registers: write a number that is near one that graders know."""
SAMPLE_MODEL = "sample/works"
"""A model that calls `bash` to write the answer, then `validate`, then `submit`. For the others see `SampleModel`."""

_TOKENS = 100
"""Of each answer, so that a budget of tokens ends every conversation."""


_CALLS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "works": (
        ("bash", json.dumps({"command": f"echo {BEST} > {SUBMISSION}"})),
        ("validate", "{}"),
        ("submit", "{}"),
    ),
    "confused": (
        ("no_such_tool", "{}"),
        ("bash", "{not json"),
        ("bash", json.dumps({"comand": 7})),
        ("bash", json.dumps({"command": "exit 3"})),
        ("", "[]"),
        ("validate", json.dumps({"surprise": None})),
    ),
}


class SampleModel(Model):
    """A model that follows a script, which its name chooses.

    `works` solves the sample task. `talks` never calls a tool. `confused` calls tools wrongly. `hangs` never answers.
    `fails` is a provider that is down. `long` finds every conversation too long.

    Attributes:
        asked: The conversations that it was asked to go on with.
        hanging: Set while `hangs` does.
    """

    def __init__(self, provider: str, name: str) -> None:
        super().__init__(provider, name)
        self.asked: list[list[Message]] = []
        self.hanging = asyncio.Event()

    async def complete(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSchema] = (),
        sampling: Sampling = Sampling(),
        call: ModelCall | None = None,
    ) -> ModelReply:
        """Go on with the script."""
        turn = len(self.asked)
        self.asked.append(list(messages))
        if self.name == "hangs":
            self.hanging.set()
            await asyncio.Event().wait()
        if self.name == "fails":
            raise ModelError("The sample model's provider is down.")
        if self.name == "long":
            raise ContextTooLong("No conversation is short enough for this sample model.")
        script = _CALLS.get(self.name, ())
        if turn >= len(script):
            return self._reply("I am thinking about it.", ())
        tool, written = script[turn]
        try:
            parsed = json.loads(written)
        except ValueError:
            parsed = None
        arguments = parsed if isinstance(parsed, dict) else None
        tool_call = ModelToolCall(id=f"call-{turn}", tool=tool, arguments=arguments, written=written)
        command = (arguments or {}).get("command", tool)
        return self._reply(f"I call {tool or 'a tool'}.\n\n```bash\n{command}\n```\n", (tool_call,))

    @staticmethod
    def _reply(text: str, calls: tuple[ModelToolCall, ...]) -> ModelReply:
        return ModelReply(
            text=text,
            tool_calls=calls,
            finish_reason="tool_calls" if calls else "stop",
            model="sample",
            prompt_tokens=_TOKENS,
            completion_tokens=_TOKENS,
            cost_usd=0.0,
        )

    def answer_tokens(self) -> int | None:
        """Return how many tokens an answer has."""
        return _TOKENS

    def price_usd(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """Return that it costs nothing."""
        return 0.0


class SamplePlugin:
    """Registers the sample task and the sample models."""

    MLGYM_API = 1

    @hookimpl
    def mlgym_tasks(self) -> Iterator[TaskSpec]:
        """Yield the task."""
        yield TaskSpec(
            SAMPLE_TASK,
            "mlgym_core.checks.sample_task:SampleTask",
            "Write a number",
            metrics=(TaskMetric("closeness"),),
        )

    @hookimpl
    def mlgym_models(self) -> Iterator[ModelSpec]:
        """Yield the provider of the models."""
        yield ModelSpec("sample", f"{__name__}:SampleModel", "Follows a script, for trying agents")
