"""Agents, tools and metrics that each have one fault, for the checks."""

from __future__ import annotations

import asyncio
import math
import shlex
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any

from mlgym_core import (
    Agent,
    AgentSpec,
    AsyncEnv,
    EpisodeOver,
    Metric,
    MetricSpec,
    ModelError,
    Tool,
    ToolContext,
    ToolError,
    ToolResult,
    ToolSpec,
    hookimpl,
)

# --------------------------------------------------------------------------------------------- agents


class Caller(Agent):
    """Does what its model says, as an agent should."""

    async def run(self, env: AsyncEnv) -> None:
        while not env.is_over:
            reply = await self.ask(env)
            for call in reply.tool_calls:
                if not env.is_over:
                    await env.step({"tool": call.tool, "arguments": dict(call.arguments or {})})

    async def ask(self, env: AsyncEnv) -> Any:
        assert env.model is not None
        return await env.model.complete([{"role": "user", "content": "What now?"}], env.tools)


class Terse(Caller):
    """Has an option of which it says nothing."""

    def __init__(self, *, mood: str = "calm") -> None:
        self.mood = mood


class Quitter(Caller):
    """Breaks at once."""

    async def run(self, env: AsyncEnv) -> None:
        raise RuntimeError("no")


class Deaf(Caller):
    """Breaks when the model calls no tool."""

    async def run(self, env: AsyncEnv) -> None:
        while not env.is_over:
            call = (await self.ask(env)).tool_calls[0]
            await env.step({"tool": call.tool, "arguments": dict(call.arguments or {})})


class Gullible(Caller):
    """Breaks where arguments are no object."""

    async def run(self, env: AsyncEnv) -> None:
        while not env.is_over:
            for call in (await self.ask(env)).tool_calls:
                assert call.arguments is not None
                if not env.is_over:
                    await env.step({"tool": call.tool, "arguments": dict(call.arguments)})


class Soothing(Caller):
    """Makes a score of what is a failure of the provider."""

    async def run(self, env: AsyncEnv) -> None:
        try:
            await super().run(env)
        except ModelError:
            await env.step({"tool": "submit"})


class Stubborn(Caller):
    """Does not stop when it is interrupted."""

    async def run(self, env: AsyncEnv) -> None:
        try:
            await super().run(env)
        except asyncio.CancelledError:
            try:
                await env.step({"tool": "submit"})
            except EpisodeOver:
                return


class Retrying(Caller):
    """Tries again whatever happens, and never waits for anything when it does."""

    async def run(self, env: AsyncEnv) -> None:
        assert env.model is not None
        while not env.is_over:
            try:
                await env.model.complete([{"role": "user", "content": "Well?"}], env.tools)
            except BaseException:  # noqa: BLE001 - that is the fault
                continue


class Dozing(Caller):
    """Waits without `await`."""

    async def run(self, env: AsyncEnv) -> None:
        time.sleep(3600)  # noqa: ASYNC251 - that is the fault


class Aloof(Caller):
    """Never asks its model."""

    async def run(self, env: AsyncEnv) -> None:
        await env.step({"tool": "submit"})


# ---------------------------------------------------------------------------------------------- tools


class Reader(Tool):
    """Reads files, as a tool should."""

    async def run(self, context: ToolContext, path: str) -> ToolResult:
        """Return the first bytes of a file."""
        return ToolResult(text=(await context.read_file(path, 1000)).decode("utf-8", "replace"))


class Silent(Tool):
    """Says nothing of what it does."""

    async def run(self, context: ToolContext, path: str) -> ToolResult:
        return ToolResult(text=path)


class Forgetful(Tool):
    """Forgets to return what it found."""

    async def run(self, context: ToolContext, path: str) -> ToolResult:
        """Look at a file of the workspace."""
        return None  # type: ignore[return-value]


class Sleepy(Tool):
    """Waits without `await`."""

    async def run(self, context: ToolContext, path: str) -> ToolResult:
        """Wait until a file of the workspace is there."""
        time.sleep(3600)  # noqa: ASYNC251 - that is the fault
        return ToolResult(text="")


class Vague(Tool):
    """Does not say what its argument may be."""

    async def run(self, context: ToolContext, path: Any) -> ToolResult:
        """Return what it was told to return."""
        return ToolResult(text=ascii(path)[:100])


class Fragile(Tool):
    """Breaks on what is no number."""

    async def run(self, context: ToolContext, path: str, number: int = 1) -> ToolResult:
        """Return one divided by a number."""
        return ToolResult(text=str(1 / number))


class Injected(Tool):
    """Puts its argument into a command as it is."""

    async def run(self, context: ToolContext, path: str) -> ToolResult:
        """Return the size of a file."""
        if "\0" in path or not path.isascii() or len(path) > 1000:
            raise ToolError("That is no path.")
        return await context.run_shell(f"ls {path}")


class Talkative(Tool):
    """Returns whole files, whatever their size."""

    async def run(self, context: ToolContext, path: str) -> ToolResult:
        """Return what a file holds."""
        return ToolResult(text=(await context.read_file(path, 10 << 20)).decode("utf-8", "replace"))


class Strict(Tool):
    """Breaks on files that are not UTF-8."""

    async def run(self, context: ToolContext, path: str) -> ToolResult:
        """Return the first bytes of a file."""
        return ToolResult(text=(await context.read_file(path, 1000)).decode("utf-8"))


class Quoting(Tool):
    """Runs a command with its argument, as a tool should."""

    async def run(self, context: ToolContext, path: str) -> ToolResult:
        """Return the size of a file."""
        if "\0" in path or len(path) > 1000:
            raise ToolError("That is no path.")
        return await context.run_shell(f"stat -c %s -- {shlex.quote(path)}")


# -------------------------------------------------------------------------------------------- metrics


class Distance(Metric):
    """The mean absolute error, as a metric should be."""

    def compute(self, references: Sequence[float], predictions: Sequence[float]) -> float:
        if len(references) != len(predictions) or not references:
            raise ValueError("They differ in length.")
        return math.fsum(abs(a - b) for a, b in zip(references, predictions, strict=True)) / len(references)


class Ordered(Distance):
    """Counts later rows for more."""

    def compute(self, references: Sequence[float], predictions: Sequence[float]) -> float:
        super().compute(references, predictions)
        return float(sum(place * abs(a - b) for place, (a, b) in enumerate(zip(references, predictions, strict=True))))


class Correlation(Distance):
    """Is not a number where nothing varies."""

    def compute(self, references: Sequence[float], predictions: Sequence[float]) -> float:
        super().compute(references, predictions)
        spread = statistics.pvariance(references) * statistics.pvariance(predictions)
        if spread == 0:
            return math.nan
        return -statistics.correlation(references, predictions)


class Truncating(Distance):
    """Compares what is there."""

    def compute(self, references: Sequence[float], predictions: Sequence[float]) -> float:
        pairs = list(zip(references, predictions, strict=False))
        return math.fsum(abs(a - b) for a, b in pairs) / max(len(pairs), 1)


class Sorting(Distance):
    """Sorts what it is given."""

    def compute(self, references: Sequence[float], predictions: Sequence[float]) -> float:
        value = super().compute(references, predictions)
        assert isinstance(references, list)
        references.sort()
        return value


class Whole(Distance):
    """Returns no float."""

    def compute(self, references: Sequence[float], predictions: Sequence[float]) -> float:
        return round(super().compute(references, predictions))


class Picky(Distance):
    """Accepts nothing."""

    def compute(self, references: Sequence[float], predictions: Sequence[float]) -> float:
        raise TypeError("not these")


class FaultyPlugins:
    """Registers them all."""

    MLGYM_API = 1

    @hookimpl
    def mlgym_agents(self) -> Iterator[AgentSpec]:
        """Yield the agents."""
        for kind in (Caller, Terse, Quitter, Deaf, Gullible, Soothing, Stubborn, Aloof, Retrying, Dozing):
            yield AgentSpec(kind.__name__.lower(), f"{__name__}:{kind.__name__}", "s", needs_model=True)

    @hookimpl
    def mlgym_tools(self) -> Iterator[ToolSpec]:
        """Yield the tools."""
        for kind in (Reader, Silent, Vague, Fragile, Injected, Talkative, Strict, Quoting, Forgetful, Sleepy):
            yield ToolSpec(kind.__name__.lower(), f"{__name__}:{kind.__name__}", "s")

    @hookimpl
    def mlgym_metrics(self) -> Iterator[MetricSpec]:
        """Yield the metrics."""
        for kind in (Distance, Ordered, Correlation, Truncating, Sorting, Whole, Picky):
            yield MetricSpec(kind.__name__.lower(), f"{__name__}:{kind.__name__}", "s", direction="minimize")
        yield MetricSpec("upside-down", f"{__name__}:Distance", "s", direction="maximize")
