"""A language model that says what it is told to, and an agent that does what its language model says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import SecretStr

from mlgym_core import (
    Agent,
    AgentSpec,
    AsyncEnv,
    BudgetExhausted,
    ContextTooLong,
    Env,
    Message,
    Model,
    ModelCall,
    ModelError,
    ModelReply,
    ModelSpec,
    ModelToolCall,
    Sampling,
    ToolSchema,
    UsageError,
    hookimpl,
)


class Parrot(Model):
    """Answers with the texts in its name, separated by commas, over and over; `!` calls a tool with JSON arguments.

    `fails` and `long` raise what they say; `cut5` is an attempt that fails, with a pause of 5 seconds after it.
    A token is a character of the messages' contents.
    """

    def __init__(
        self,
        provider: str,
        name: str,
        *,
        seconds: float = 0.0,
        price: float | None = None,
        cost: float | None = None,
        answer: int | None = None,
        key: SecretStr | None = None,
        need_key: bool = False,
    ) -> None:
        super().__init__(provider, name)
        self.seconds = seconds
        self.price = price
        self.cost = cost
        self.answer = answer
        self.key = key
        self.need_key = need_key
        self.asked: list[tuple[list[Message], Sampling]] = []
        self.closed = 0

    def check(self) -> None:
        if self.need_key and self.key is None:
            raise UsageError("Set PARROT_KEY.")

    async def complete(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSchema] = (),
        sampling: Sampling = Sampling(),
        call: ModelCall | None = None,
    ) -> ModelReply:
        said = self.name.split(",")
        text = said[len(self.asked) % len(said)]
        self.asked.append((list(messages), sampling))
        await asyncio.sleep(self.seconds)
        if text.startswith(("cut", "lost")):
            # Is asked again until it says something else.
            assert call is not None
            is_heard = text.startswith("cut")
            call.attempt_failed("The parrot was cut off.", completion_tokens=2 if is_heard else None)
            sampling = await call.next_attempt(float(text.removeprefix("cut").removeprefix("lost")))
            return await self.complete(messages, tools, sampling, call)
        if call is not None:
            call.said(text)
        if text == "fails":
            raise ModelError("The parrot is out.")
        if text == "long":
            raise ContextTooLong("Too much for a parrot.")
        calls = []
        if text.startswith("!"):
            tool, _, arguments = text[1:].partition(" ")
            calls = [ModelToolCall(id="1", tool=tool, arguments=json.loads(arguments or "{}"), written=arguments)]
        prompt = self.count_tokens(messages)
        return ModelReply(
            text="" if calls else text,
            tool_calls=tuple(calls),
            model="grey-parrot",
            prompt_tokens=prompt,
            completion_tokens=len(text),
            cost_usd=self.cost if self.cost is not None else self.price_usd(prompt, len(text)),
            log_probabilities=tuple(-1.0 for _ in text),
        )

    def count_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> int:
        return sum(len(message.get("content") or "") for message in messages)

    def answer_tokens(self) -> int | None:
        return self.answer

    def price_usd(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        return None if self.price is None else self.price * (prompt_tokens + completion_tokens)

    async def close(self) -> None:
        self.closed += 1


class Talker(Agent):
    """Does what its model says until the episode is over.

    Args:
        calls: How many times it asks.
        stubborn: It goes on working when the budget is exhausted.
    """

    def __init__(self, calls: int = 100, stubborn: bool = False) -> None:
        self.calls = calls
        self.stubborn = stubborn

    async def run(self, env: AsyncEnv) -> None:
        assert env.model is not None
        messages: list[dict[str, Any]] = [{"role": "user", "content": env.observation.text}]
        for _ in range(self.calls):
            try:
                reply = await env.model.complete(messages, env.tools)
            except BudgetExhausted:
                if not self.stubborn:
                    raise
                await env.step("echo stubborn")
                continue
            messages.append(reply.as_message())
            for call in reply.tool_calls:
                observation, *_ = await env.step({"tool": call.tool, "arguments": dict(call.arguments or {})})
                messages.append({"role": "tool", "tool_call_id": call.id, "content": observation.text})
                if env.is_over:
                    return
            if not reply.tool_calls:
                messages.append({"role": "user", "content": "Go on."})


class PlainTalker(Agent):
    """The same without coroutines: one call, one step."""

    def run(self, env: AsyncEnv) -> None:
        assert isinstance(env, Env)
        assert env.model is not None
        reply = env.model.complete([{"role": "user", "content": "What now?"}])
        env.step(f"echo {reply.text} > answer.txt")


class TalkingPlugin:
    """Registers the model and the agents."""

    MLGYM_API = 1

    @hookimpl
    def mlgym_models(self) -> Iterator[ModelSpec]:
        """Yield the model's provider."""
        yield ModelSpec("parrot", "talking:Parrot", "Says what its name says")

    @hookimpl
    def mlgym_agents(self) -> Iterator[AgentSpec]:
        """Yield the agents."""
        yield AgentSpec("talker", "talking:Talker", "Does what its model says", needs_model=True)
        yield AgentSpec("plain-talker", "talking:PlainTalker", "Does it synchronously", needs_model=True)
