"""The checks of an agent: it plays a tiny task, with scripted language models that work, wander, fail and hang."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from mlgym_core.checks.findings import Check, CheckFailed, Checks, CheckSkipped
from mlgym_core.checks.importing import check_import
from mlgym_core.checks.samples import SAMPLE_MODEL, SAMPLE_TASK, SampleModel, SamplePlugin
from mlgym_core.checks.watching import nothing_held_up
from mlgym_core.env import AsyncEnv
from mlgym_core.errors import PluginError
from mlgym_core.host import Host
from mlgym_core.interfaces import Agent
from mlgym_core.making import make_env
from mlgym_core.runner import Run, RunPlan
from mlgym_core.sandbox.scratch import remove_scratch, scratch_folder
from mlgym_core.signatures import checked_arguments, parameters_model
from mlgym_core.types import EpisodeResult

_PATIENCE = 120.0
"""Seconds after which an agent counts as one that does not end; episodes of the sample task take one or two."""
_GRACE = 30.0
"""Seconds after which an interrupted agent counts as one that goes on."""
_TOKENS = 6000
_WAITING = (
    "Wait with `await`, and let BudgetExhausted, EpisodeOver and ModelError pass. An ordinary `def run` may block: it "
    "gets a thread of its own."
)


class AgentChecks(Checks):
    """The checks of an agent. Run `all`.

    Args:
        options: The agent's options, as for `mlgym run -A`.
    """

    kind = "agent"

    def __init__(self, host: Host, agent_id: str, sandbox: str, options: Mapping[str, str] | None = None) -> None:
        super().__init__(agent_id)
        self._entry = host.agents.entry(agent_id)
        self._host = host.extended(SamplePlugin())
        self._sandbox = sandbox
        self._options = dict(options or {})
        self._folder = scratch_folder("check")
        self._runs = 0

    def checks(self) -> Sequence[Check]:
        """Return the checks of every agent."""
        return (
            ("import", self._import),
            ("options", self._options_are_documented),
            ("plays", self._plays),
            ("ends", self._ends),
            ("confused model", self._confused),
            ("failing model", self._failing),
            ("interrupted", self._interrupted),
        )

    async def close(self) -> None:
        """Remove what the checks left."""
        remove_scratch(self._folder)

    # ------------------------------------------------------------------------------------- what it says

    async def _import(self) -> str:
        said = await check_import(self._entry, target=False)
        self._class()
        return said

    async def _options_are_documented(self) -> str:
        names = list(self._options_model().model_fields)
        text = " ".join(filter(None, (inspect.getdoc(self._class()), inspect.getdoc(self._class().__init__))))
        missing = [name for name in names if f"{name}:" not in text]
        if missing:
            raise CheckFailed(
                f"nothing says what {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} for",
                "Describe each in the class's docstring, below `Args:`.",
            )
        return f"{', '.join(names)}: all are documented" if names else "it has none"

    # ---------------------------------------------------------------------------------------- how it plays

    async def _plays(self) -> str:
        result = await self._play("works")
        if result.status != "completed" or result.score is None:
            raise CheckFailed(f"the sample task ends as {_outcome(result)}", "Mend the agent.")
        return (
            f"it plays the sample task in {result.steps} steps ({result.exit_reason}), score {result.score.value:.3g}"
        )

    async def _ends(self) -> str:
        said = []
        limits = {"max_steps": 1} if not self._needs_model() else {"max_tokens": _TOKENS, "max_steps": 2}
        for model in ("talks", "works"):
            result = await self._play(model, **limits)
            if result.status not in ("completed", "invalid_submission"):
                raise CheckFailed(
                    f"with a model that {model} and {_shown(limits)} it ends as {_outcome(result)}",
                    "Return when `env.is_over`, and let BudgetExhausted and EpisodeOver pass.",
                )
            said.append(result.exit_reason)
        return f"limits end it ({', '.join(dict.fromkeys(said))})"

    async def _confused(self) -> str:
        self._needs_model_or_skips()
        result = await self._play("confused", max_tokens=_TOKENS, max_steps=12)
        if result.status not in ("completed", "invalid_submission"):
            raise CheckFailed(
                f"a model that calls tools wrongly makes it end as {_outcome(result)}",
                "Answer wrong calls with what is wrong, and go on.",
            )
        return f"wrong calls of tools do it no harm ({result.exit_reason})"

    async def _failing(self) -> str:
        self._needs_model_or_skips()
        result = await self._play("fails", max_tokens=_TOKENS)
        if result.status != "infrastructure_failure":
            raise CheckFailed(
                f"a provider that is down counts as {_outcome(result)}",
                "Let ModelError pass: it is no fault of the model, and such an episode is played again.",
            )
        # Whatever becomes of it, it must become something.
        result = await self._play("long", max_tokens=_TOKENS)
        return f"a provider that is down is a failure of the infrastructure; no room in the context: {result.status}"

    async def _interrupted(self) -> str:
        self._needs_model_or_skips()
        if not inspect.iscoroutinefunction(self._class().run):
            raise CheckSkipped("it runs in a thread, which nothing can interrupt")
        model = SampleModel("sample", "hangs")
        async with await make_env(SAMPLE_TASK, host=self._host, sandbox=self._sandbox, model=model) as env:
            await env.reset()
            playing = asyncio.ensure_future(_awaited(self._made(), env))
            asked = asyncio.ensure_future(model.hanging.wait())
            # What it raises says nothing here, and is no exception that nobody saw.
            playing.add_done_callback(lambda done: done.cancelled() or done.exception())
            try:
                with nothing_held_up(self._code(), _WAITING):
                    await asyncio.wait((playing, asked), timeout=_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
            finally:
                was_asked = asked.done()
                asked.cancel()
                playing.cancel()
            with nothing_held_up(self._code(), _WAITING):
                await asyncio.wait((playing,), timeout=_GRACE)
            self.goes_on = self.goes_on or not playing.done()
            if not was_asked:
                raise CheckFailed("it never asked its model", "Ask `env.model`.")
            if not playing.cancelled():
                raise CheckFailed("it goes on when it is interrupted", "Let CancelledError pass.")
        return "an interrupt ends it at once"

    # ---------------------------------------------------------------------------------------- inner works

    def _class(self) -> type[Agent]:
        return self._host.agents.load(self.id)

    def _code(self) -> object:
        return getattr(self._class().run, "__code__", None)

    def _options_model(self) -> type[BaseModel]:
        constructor: Any = self._class().__init__
        try:
            return parameters_model(self.id, _no_options if constructor is object.__init__ else constructor, skip=1)
        except (TypeError, NameError) as error:
            raise PluginError(f"The options of the agent {self.id!r} cannot be read: {error}.") from error

    def _made(self) -> Agent:
        return self._class()(**checked_arguments(self._options_model(), self._options))

    def _needs_model(self) -> bool:
        return self._entry.spec.needs_model

    def _needs_model_or_skips(self) -> None:
        if not self._needs_model():
            raise CheckSkipped("it needs no model")

    async def _play(self, model: str, **limits: int) -> EpisodeResult:
        """Play an episode of the sample task with a sample model, and return its result."""
        fields = self._options_model().model_fields
        required = [name for name, field in fields.items() if field.is_required()]
        if lacking := [name for name in required if name not in self._options]:
            raise CheckSkipped(f"it needs options: -A {' -A '.join(f'{name}=…' for name in lacking)}")
        self._runs += 1
        plan = RunPlan(
            tasks=(SAMPLE_TASK,),
            agents=(self.id,),
            agent_options=self._options,
            model=f"{SAMPLE_MODEL.partition('/')[0]}/{model}" if self._needs_model() else None,
            sandbox=self._sandbox,
            attempts=1,
            **limits,  # type: ignore[arg-type]
        )
        run = Run.start(self._host, self._folder / str(self._runs), plan)
        playing = asyncio.ensure_future(_only_result(run))
        with nothing_held_up(self._code(), _WAITING):
            await asyncio.wait((playing,), timeout=_PATIENCE)
            if playing.done():
                return playing.result()
            playing.cancel()
            await asyncio.wait((playing,), timeout=_GRACE)
            # Its thread goes on, and nothing tells.
            in_thread = not inspect.iscoroutinefunction(self._class().run)
            self.goes_on = self.goes_on or in_thread or not playing.done()
            raise CheckFailed(
                f"with a model that {model} it does not end within {_PATIENCE:g} s", "Return when `env.is_over`."
            )
        raise AssertionError("whoever is held up has failed")


async def _only_result(run: Run) -> EpisodeResult:
    [result] = [result async for result in run.play()]
    return result


async def _awaited(agent: Agent, env: AsyncEnv) -> None:
    running = agent.run(env)
    assert running is not None
    await running


def _outcome(result: EpisodeResult) -> str:
    said = result.error or (result.score.reason if result.score is not None else None)
    return f"{result.status}: {said}" if said else result.status


def _shown(limits: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {value}" for name, value in limits.items())


def _no_options(self: object) -> None:
    pass
