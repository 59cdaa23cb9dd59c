"""Many episodes: planned, recorded so that a run can be resumed, and retried when the infrastructure fails."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import fcntl
import hashlib
import inspect
import json
import os
import platform
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, Field, ValidationError

from mlgym_core import __version__
from mlgym_core.accounts import used_before
from mlgym_core.budgets import LONG_ANSWER, Budget
from mlgym_core.env import AsyncEnv
from mlgym_core.episode import EpisodeIdentity, now
from mlgym_core.errors import (
    BudgetExhausted,
    ContextTooLong,
    InfrastructureError,
    MlgymError,
    RequestRefused,
    UnknownNameError,
    UsageError,
)
from mlgym_core.face import Env
from mlgym_core.host import Host
from mlgym_core.ids import did_you_mean, slug
from mlgym_core.interfaces import Agent, EpisodeEvent, Executor, Message, Model, Mount, ToolSchema
from mlgym_core.journal import Observer
from mlgym_core.limits import Limits, RunLimits
from mlgym_core.machine import describe_machine
from mlgym_core.making import EnvOptions, make_env
from mlgym_core.models import make_model, secret_options
from mlgym_core.preparation import prepare_task
from mlgym_core.records import episode_folder, read_json, write_json
from mlgym_core.sandbox.selection import check_counts_processor_time, choose_sandbox, needs_of
from mlgym_core.signatures import checked_arguments, options_model
from mlgym_core.toolbox import load_tools, offered_tools, secret_tool_options
from mlgym_core.types import EpisodeResult, Frozen, Protocol, RewardScheme

RUN_SCHEMA = "mlgym.run/1"
_FINISHED = ("completed", "invalid_submission")


class RunPlan(Frozen):
    """What a run consists of: every task with every agent, `repeat` times.

    Attributes:
        agent_options: Options for all agents (`-A`); an agent takes those it knows.
        model_options: Options of the model (`-M`).
        tool_options: Options of the tools (`-T`), by `TOOL.KEY`.
        grants: What tools that need a grant are granted (`--grant`).
        max_run_cost: US dollars of model calls of all episodes together; likewise `max_run_tokens`, and
            `max_run_time` in seconds.
        attempts: How often an episode is tried when the infrastructure fails.
        limits_of_agents: Limits that hold for an agent instead of the run's, by the agent's id; likewise
            `tools_of_agents`. They are those of the agents' specs, unless the plan says something itself.
        suites: Where the tasks come from, for the record.
        variants_of_tasks: The data variants by task where `variant` names none.
        limits_of_tasks: Limits that hold for a task instead of the run's; of these and an agent's, the tighter.
    """

    tasks: tuple[str, ...]
    agents: tuple[str, ...]
    agent_options: dict[str, str] = Field(default_factory=dict)
    model: str | None = None
    model_options: dict[str, str] = Field(default_factory=dict)
    repeat: int = Field(default=1, ge=1)
    seed: int = 0
    sandbox: str = "auto"
    executor: str = "local"
    parallel: int = Field(default=1, ge=1)
    protocol: Protocol = "strict"
    reward: RewardScheme = "improvement"
    variant: str | None = None
    tools: tuple[str, ...] | None = None
    tool_options: dict[str, str] = Field(default_factory=dict)
    grants: tuple[str, ...] = ()
    max_steps: int = 50
    max_time: float | None = None
    max_working_time: float | None = None
    max_processor_time: float | None = None
    max_cost: float | None = None
    max_tokens: int | None = None
    max_run_cost: float | None = None
    max_run_tokens: int | None = None
    max_run_time: float | None = None
    max_validations: int | None = 20
    action_timeout: float = 1800.0
    attempts: int = Field(default=2, ge=1)
    limits_of_agents: dict[str, dict[str, int | float | None]] = Field(default_factory=dict)
    tools_of_agents: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    suites: tuple[str, ...] = ()
    variants_of_tasks: dict[str, str] = Field(default_factory=dict)
    limits_of_tasks: dict[str, dict[str, int | float | None]] = Field(default_factory=dict)

    def variant_of(self, task: str) -> str | None:
        """Return the data variant of a task; None for its first."""
        return self.variant if self.variant is not None else self.variants_of_tasks.get(task)

    def limits_of(self, agent: str, task: str) -> dict[str, int | float | None]:
        """Return the limits of an agent's episodes of a task, by name."""
        own = self.limits_of_agents.get(agent, {})
        limits = {name: getattr(self, name) for name in Limits.__annotations__} | own
        for name, limit in self.limits_of_tasks.get(task, {}).items():
            limits[name] = _tighter(limit, limits[name]) if name in own else limit
        return limits


class EpisodePlan(Frozen):
    """One episode of a run."""

    id: str
    task: str
    agent: str
    repeat: int


@dataclass(frozen=True)
class AnswerSoFar:
    """The text of an answer that a language model is giving.

    Attributes:
        text: As far as it came.
    """

    text: str


Progress = Callable[[EpisodePlan, EpisodeEvent | EpisodeResult | AnswerSoFar], None]
"""Told of every event of every episode, of what models say while they say it, and of each result."""


def planned_episodes(plan: RunPlan) -> list[EpisodePlan]:
    """Return the episodes of a run, in order; the same plan gives the same ids."""
    episodes = []
    for task in plan.tasks:
        for agent in plan.agents:
            for repeat in range(plan.repeat):
                # What earlier versions did not know is left out unless it is used: their runs can be resumed.
                model = [plan.model, plan.model_options] if plan.model_options else plan.model
                identity: list[Any] = [task, plan.variant_of(task), agent, plan.agent_options, model, repeat]
                if plan.tool_options or plan.grants:
                    identity.append([plan.tool_options, sorted(plan.grants)])
                digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
                name = f"{slug(task)}-{slug(agent)}-{repeat}-{digest}"
                episodes.append(EpisodePlan(id=name, task=task, agent=agent, repeat=repeat))
    return episodes


def _tighter(one: float | None, other: float | None) -> float | None:
    """Return the tighter of two limits; None is no limit."""
    return min((limit for limit in (one, other) if limit is not None), default=None)


def _with_agents_own(host: Host, plan: RunPlan) -> RunPlan:
    """Return the plan with what its agents bring along where it says nothing itself: a recorded plan says all."""
    limits: dict[str, dict[str, int | float | None]] = {}
    tools: dict[str, tuple[str, ...]] = {}
    for agent in plan.agents:
        spec = host.agents.spec(agent)
        own = {name: value for name, value in spec.limits.items() if name not in plan.model_fields_set}
        if own:
            limits[agent] = own
        if spec.tools is not None and "tools" not in plan.model_fields_set:
            tools[agent] = spec.tools
    own_fields = {"limits_of_agents": limits, "tools_of_agents": tools}
    return plan.model_copy(update={name: own for name, own in own_fields.items() if name not in plan.model_fields_set})


class Run:
    """A run and its folder. Make it with `start` or `reopen`.

    Attributes:
        folder: Where it is recorded.
        plan: What it consists of.
        episodes: Its episodes, in order.
    """

    def __init__(self, host: Host, folder: Path, plan: RunPlan) -> None:
        self._host = host
        self.folder = folder
        self.plan = plan = _with_agents_own(host, plan)
        self._secrets: dict[str, str] = {}
        self._tool_secrets: dict[str, str] = {}
        self._model: Model | None = None
        self._budget: Budget | None = None
        self.episodes = planned_episodes(plan)

    @classmethod
    def start(cls, host: Host, folder: Path, plan: RunPlan) -> Run:
        """Check a plan against what is installed and record it in a new folder.

        Raises:
            UsageError: if something in the plan does not exist, or the folder does.
        """
        plan, secrets, tool_secrets = _without_secrets(host, plan)
        run = cls(host, folder, plan)
        run._secrets, run._tool_secrets = secrets, tool_secrets
        run._check()
        if (folder / "run.json").exists():
            raise UsageError(
                f"The run {folder.name!r} exists already in {folder.parent}: resume it, or choose another id."
            )
        document = {
            "schema": RUN_SCHEMA,
            "run_id": folder.name,
            "started_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "plan": run.plan.model_dump(mode="json"),
            "machine": describe_machine(),
            "versions": {
                "mlgym-core": __version__,
                "python": platform.python_version(),
                "platform": platform.platform(),
                "plugins": {plugin.name: f"{plugin.distribution} {plugin.version}" for plugin in host.plugins},
            },
        }
        write_json(folder / "run.json", document)
        return run

    @classmethod
    def reopen(
        cls,
        host: Host,
        folder: Path,
        *,
        model_options: Mapping[str, str] | None = None,
        tool_options: Mapping[str, str] | None = None,
        limits: RunLimits | None = None,
    ) -> Run:
        """Return a run that was started before.

        Args:
            model_options: Options of the model that were not recorded, since they are secret.
            tool_options: The same of tools.
            limits: Limits of the run that replace those in its plan, where given.

        Raises:
            UsageError: if the folder holds none.
        """
        document = read_json(folder / "run.json")
        try:
            plan = RunPlan.model_validate(document.get("plan"))
        except ValidationError as error:
            raise UsageError(f"{folder / 'run.json'} holds no plan that this version understands: {error}") from None
        if limits is not None:
            plan = plan.model_copy(update={name: value for name, value in vars(limits).items() if value is not None})
        run = cls(host, folder, plan)
        run._secrets, run._tool_secrets = dict(model_options or {}), dict(tool_options or {})
        for flag, given, planned in (
            ("-M", run._secrets, plan.model_options),
            ("-T", run._tool_secrets, plan.tool_options),
        ):
            if unknown := set(given) - set(_secret_names(planned)):
                option = f"{flag} {min(unknown)}"
                raise UsageError(f"{option}: only options that were not recorded can be given to `resume`.")
        run._check()
        return run

    def _check(self) -> None:
        plan = self.plan
        if not plan.tasks or not plan.agents:
            raise UsageError("A run needs at least one task and one agent.")
        for repeated in (plan.tasks, plan.agents):
            if len(set(repeated)) != len(repeated):
                raise UsageError(f"Something is named twice: {', '.join(repeated)}. Use --repeat for more episodes.")
        for task in plan.tasks:
            spec = self._host.tasks.spec(task)
            variant = plan.variant_of(task)
            if variant is not None and variant not in spec.variants:
                raise UsageError(f"Task {task!r} has no variant {variant!r}. It has: {', '.join(spec.variants)}.")
        known: set[str] = set()
        for agent in plan.agents:
            spec_of_agent = self._host.agents.spec(agent)
            if spec_of_agent.needs_model and plan.model is None:
                raise UsageError(f"Agent {agent!r} needs a language model: name one with --model.")
            known |= set(self._options_model(agent).model_fields)
            self._make_agent(agent)
            self._check_own(agent)
        if unknown := set(plan.agent_options) - known:
            meant = did_you_mean(sorted(unknown), known)
            raise UsageError(
                f"No agent of this run has an option {', '.join(sorted(unknown))}.{meant} "
                f"Known: {', '.join(sorted(known)) or 'none'}."
            )
        if missing := set(_secret_names(plan.tool_options)) - set(self._tool_secrets):
            option = min(missing)
            raise UsageError(f"The option {option} of a tool is secret and was not recorded: give -T {option}=….")
        offered = [tool for agent in plan.agents for tool in self._tools_of(agent)]
        load_tools(self._host, offered, options=plan.tool_options | self._tool_secrets, grants=plan.grants)
        self._host.executors.spec(plan.executor)
        self._check_model()
        for task in plan.tasks:
            name, sandbox_class = choose_sandbox(self._host, plan.sandbox, needs_of(self._host.tasks.spec(task)))
            if any(plan.limits_of(agent, task)["max_processor_time"] is not None for agent in plan.agents):
                check_counts_processor_time(name, sandbox_class)

    def _tools_of(self, agent: str) -> list[str]:
        """Return the ids of the tools that an agent is offered."""
        named = self.plan.tools_of_agents.get(agent, self.plan.tools)
        return offered_tools(self._host, named, self.plan.grants)

    def _tool_options_of(self, agent: str) -> dict[str, str]:
        """Return the options of those tools."""
        offered = self._tools_of(agent)
        options = self.plan.tool_options | self._tool_secrets
        return {option: value for option, value in options.items() if option.partition(".")[0] in offered}

    def _check_own(self, agent: str) -> None:
        """Check the limits and the tools that an agent brings along."""
        for task in self.plan.tasks:
            Limits(**cast(Any, self.plan.limits_of(agent, task)))
        spec = self._host.agents.spec(agent)
        offered = self._tools_of(agent)
        if missing := [tool for tool in spec.needs_tools if tool not in offered]:
            raise UsageError(f"Agent {agent!r} cannot do without {', '.join(missing)}: name that with --tools, too.")
        for tool in self.plan.tools_of_agents.get(agent, ()):
            try:
                self._host.tools.spec(tool)
            except UnknownNameError:
                remedy = (
                    "a package that provides it" if spec.tools_from is None else f"it: pip install {spec.tools_from}"
                )
                raise UsageError(
                    f"Agent {agent!r} uses the tool {tool!r}, which is not installed. Install {remedy}; or name the "
                    "tools that it is to use with --tools."
                ) from None

    def _check_model(self) -> None:
        plan = self.plan
        RunLimits(**{name: getattr(plan, name) for name in RunLimits.__annotations__})
        if plan.model is None:
            if plan.model_options:
                raise UsageError("-M sets options of a language model: name one with --model.")
            return
        if missing := set(_secret_names(plan.model_options)) - set(self._secrets):
            option = min(missing)
            raise UsageError(f"The option {option} of the model is secret and was not recorded: give -M {option}=….")
        self._model = make_model(self._host, plan.model, plan.model_options | self._secrets)
        if all(self.finished(episode) is not None for episode in self.episodes):
            return
        self._model.check()
        kinds = {(episode.agent, episode.task) for episode in self.episodes}
        costs = [plan.max_run_cost, *(plan.limits_of(*kind)["max_cost"] for kind in kinds)]
        limits_cost = any(cost is not None for cost in costs)
        if limits_cost and self._model.price_usd(1000, 1000) is None:
            _to_standard_error(
                f"The price of {plan.model} is unknown: limits on cost count only what the provider says of it."
            )
        limits_tokens = limits_cost or plan.max_tokens is not None or plan.max_run_tokens is not None
        if limits_tokens and self._model.answer_tokens() is None:
            _to_standard_error(
                f"How long answers of {plan.model} can be is unknown: within the limits they get up to {LONG_ANSWER} "
                "tokens each. Another length can be set where the model or the agent has an option for it."
            )

    def _options_model(self, agent: str) -> type[BaseModel]:
        """Return the model that checks the options of an agent."""
        return options_model(agent, self._host.agents.load(agent))

    def _make_agent(self, agent: str) -> Agent:
        agent_class = self._host.agents.load(agent)
        model = self._options_model(agent)
        chosen = {name: value for name, value in self.plan.agent_options.items() if name in model.model_fields}
        try:
            arguments = checked_arguments(model, chosen)
        except ValueError as error:
            raise UsageError(f"The options (-A) of agent {agent!r} do not fit: {error}.") from None
        return agent_class(**arguments)

    def finished(self, episode: EpisodePlan) -> EpisodeResult | None:
        """Return the result of an episode that need not be played again, or None."""
        path = episode_folder(self.folder, episode.id) / "episode.json"
        if not path.exists():
            return None
        result = EpisodeResult.model_validate(read_json(path))
        return result if result.status in _FINISHED else None

    async def play(self, progress: Progress = lambda *_: None) -> AsyncIterator[EpisodeResult]:
        """Play the episodes that are not finished and yield each result when it is there.

        Of several tasks, one that cannot be prepared is a failure of the infrastructure in its episodes alone.

        Raises:
            UsageError: if another process plays this run.
            MlgymError: if the only task of the run cannot be prepared.
        """
        with self._only_player():
            waiting = [episode for episode in self.episodes if self.finished(episode) is None]
            problems: dict[str, str] = {}
            for task in dict.fromkeys(episode.task for episode in waiting):
                # Once, before episodes compete for it.
                if (problem := await asyncio.to_thread(self._prepare, task)) is not None:
                    problems[task] = problem
            for episode in waiting:
                if episode.task in problems:
                    result = self._record_unprepared(episode, problems[episode.task])
                    progress(episode, result)
                    yield result
            waiting = [episode for episode in waiting if episode.task not in problems]
            for agent in dict.fromkeys(episode.agent for episode in waiting):
                await asyncio.to_thread(self._make_agent(agent).sandbox_mounts)
            executor: Executor = self._host.executors.load(self.plan.executor)()
            self._budget = await asyncio.to_thread(self._begin_budget)
            jobs = [self._job(episode, progress) for episode in waiting]
            results = executor.execute(jobs, self.plan.parallel)
            try:
                async with contextlib.aclosing(cast(Any, results)):
                    async for result in results:
                        yield result
            finally:
                if self._model is not None:
                    await self._model.close()

    def _prepare(self, task: str) -> str | None:
        """Prepare a task, and return why that failed, if it did and there are others to be played."""
        try:
            prepare_task(self._host, task, self.plan.variant_of(task), _to_standard_error)
        except Exception as error:
            if len(self.plan.tasks) == 1:
                raise
            problem = str(error) if isinstance(error, MlgymError) else f"{type(error).__name__}: {error}"
            _to_standard_error(f"{task} cannot be prepared, and the others are played without it: {problem}")
            return problem
        return None

    def _record_unprepared(self, episode: EpisodePlan, problem: str) -> EpisodeResult:
        """Record that an episode could not begin since its task could not be prepared, and return its result."""
        spec = self._host.tasks.spec(episode.task)
        folder = episode_folder(self.folder, episode.id)
        result = EpisodeResult(
            episode_id=episode.id,
            task=episode.task,
            task_version=spec.version,
            data_hash="",
            variant=self.plan.variant_of(episode.task) or spec.variants[0],
            protocol=self.plan.protocol,
            reward=self.plan.reward,
            sandbox=choose_sandbox(self._host, self.plan.sandbox, needs_of(spec))[0],
            agent=episode.agent,
            model=self.plan.model,
            seed=self.plan.seed,
            repeat=episode.repeat,
            started_at=now(),
            error=f"The task could not be prepared: {problem}",
            status="infrastructure_failure",
            exit_reason="error",
            steps=0,
            wall_s=0.0,
            dir=str(folder),
        )
        _set_aside(folder)
        write_json(folder / "episode.json", result.model_dump(mode="json"))
        return result

    def _begin_budget(self) -> Budget | None:
        limits = RunLimits(**{name: getattr(self.plan, name) for name in RunLimits.__annotations__})
        if limits == RunLimits():
            return None
        return Budget.of_run(limits, *used_before(self.folder, self._model))

    def _job(self, episode: EpisodePlan, progress: Progress) -> Callable[[], Awaitable[EpisodeResult]]:
        async def play() -> EpisodeResult:
            result = await self._attempt(episode, progress)
            for _ in range(self.plan.attempts - 1):
                if result.status != "infrastructure_failure" or self._exhausted() is not None:
                    break
                result = await self._attempt(episode, progress)
            progress(episode, result)
            return result

        return play

    def _exhausted(self) -> BudgetExhausted | None:
        return None if self._budget is None else self._budget.exhausted()

    async def _attempt(self, episode: EpisodePlan, progress: Progress) -> EpisodeResult:
        observer: Observer = ("the run's progress", lambda event: progress(episode, event))
        agent = self._make_agent(episode.agent)
        mounts = await asyncio.to_thread(agent.sandbox_mounts)
        env = await self._environment(
            episode,
            self.folder,
            [observer],
            on_text=lambda text: progress(episode, AnswerSoFar(text)),
            mounts=mounts,
        )
        if (exhausted := self._exhausted()) is not None:
            return env.refuse(exhausted)
        _set_aside(episode_folder(self.folder, episode.id))
        async with env:
            # A sandbox that does not start leaves a result that says so.
            with contextlib.suppress(InfrastructureError):
                await env.reset()
                await self._play_agent(agent, episode, env)
                if not env.is_over:
                    await env.finish("agent_exit")
        assert env.result is not None
        return env.result

    async def _environment(
        self,
        episode: EpisodePlan,
        run_folder: Path | None,
        observers: Sequence[Observer] = (),
        on_text: Callable[[str], None] | None = None,
        mounts: Sequence[Mount] = (),
    ) -> AsyncEnv:
        plan = self.plan
        names = set(EnvOptions.__annotations__) - {"runs_dir", "model", "model_options"}
        options: dict[str, Any] = {name: getattr(plan, name) for name in names}
        options |= plan.limits_of(episode.agent, episode.task)
        options["variant"] = plan.variant_of(episode.task)
        options["tools"] = self._tools_of(episode.agent)
        options["tool_options"] = self._tool_options_of(episode.agent)
        return await make_env(
            episode.task,
            host=self._host,
            run_folder=run_folder,
            identity=EpisodeIdentity(
                episode_id=episode.id, agent=episode.agent, model=plan.model, repeat=episode.repeat
            ),
            observers=observers,
            on_text=on_text,
            run_budget=self._budget,
            model=self._model,
            mounts=mounts,
            **options,
        )

    async def openings(self) -> AsyncIterator[tuple[EpisodePlan, Sequence[Message], Sequence[ToolSchema]]]:
        """Yield for each task and agent the messages and tools that a language model sees first.

        Nothing is played, recorded or sent to a model.

        Raises:
            UsageError: if something in the plan does not exist.
        """
        self._check()
        self._budget = await asyncio.to_thread(self._begin_budget)
        for episode in self.episodes:
            if episode.repeat == 0:
                variant = self.plan.variant_of(episode.task)
                await asyncio.to_thread(prepare_task, self._host, episode.task, variant, _to_standard_error)
                async with await self._environment(episode, None) as env:
                    await env.reset()
                    agent = self._make_agent(episode.agent)
                    opening = agent.opening(env)
                    messages = await opening if inspect.isawaitable(opening) else opening
                    yield episode, messages, env.tools if agent.sends_tools else []

    async def _play_agent(self, agent: Agent, episode: EpisodePlan, env: AsyncEnv) -> None:
        try:
            if inspect.iscoroutinefunction(agent.run):
                await agent.run(env)
            else:
                loop = asyncio.get_running_loop()
                face = Env(env, lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, loop).result())
                await asyncio.to_thread(agent.run, cast(AsyncEnv, face))
        except Exception as error:  # noqa: BLE001 - whatever breaks in an agent ends its episode, not the run
            if env.is_over:
                return
            if (exhausted := _exhausted_behind(error)) is not None:
                # Of an episode that got no answer, the run would otherwise have the baseline as its result.
                nothing_played = env.model is not None and env.model.calls == 0
                if nothing_played and exhausted.limit in ("max_run_cost", "max_run_tokens"):
                    await env.give_up(exhausted)
                else:
                    await env.finish(limit=exhausted.limit)
            elif isinstance(error, ContextTooLong | RequestRefused) and env.model is not None and env.model.calls > 0:
                # What the model said led there. With what a provider refuses it could get rid of a bad episode.
                await env.finish("error", error=str(error))
            elif isinstance(error, InfrastructureError):
                await env.fail(str(error))
            else:
                await env.fail(f"The agent {episode.agent!r} broke: {type(error).__name__}: {error}")

    @contextlib.contextmanager
    def _only_player(self) -> Iterator[None]:
        descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(f"Another process is playing the run {self.folder.name!r}.") from None
            yield
        finally:
            os.close(descriptor)


def _set_aside(folder: Path) -> None:
    """Move what an earlier attempt at an episode left to `attempts/<n>/`."""
    left = [path for path in folder.glob("*") if path.name != "attempts"]
    if not left:
        return
    numbers = [int(path.name) for path in folder.glob("attempts/*") if path.name.isdigit()]
    attempt = folder / "attempts" / str(max(numbers, default=0) + 1)
    attempt.mkdir(parents=True)
    for path in left:
        path.rename(attempt / path.name)


def _exhausted_behind(error: BaseException | None) -> BudgetExhausted | None:
    """Return the exhausted budget that an error is or comes from, also inside groups of errors; None if none is."""
    while error is not None:
        if isinstance(error, BudgetExhausted):
            return error
        if isinstance(error, BaseExceptionGroup):
            found = (_exhausted_behind(one) for one in error.exceptions)
            return next((one for one in found if one is not None), None)
        error = error.__cause__ or error.__context__
    return None


_SECRET = "[secret: not recorded]"


def _without_secrets(host: Host, plan: RunPlan) -> tuple[RunPlan, dict[str, str], dict[str, str]]:
    """Return the plan as it may be recorded, and the values that were taken out of it: of the model and of tools."""
    hidden = secret_options(host, plan.model) if plan.model is not None and plan.model_options else frozenset()
    model_options, secrets = _parted(plan.model_options, hidden)
    tool_options, tool_secrets = _parted(plan.tool_options, secret_tool_options(host, plan.tool_options))
    shown = plan.model_copy(update={"model_options": model_options, "tool_options": tool_options})
    return shown, secrets, tool_secrets


def _parted(options: Mapping[str, str], hidden: frozenset[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return options as they may be recorded, and those of them that are hidden."""
    secrets = {name: value for name, value in options.items() if name in hidden}
    return {name: _SECRET if name in secrets else value for name, value in options.items()}, secrets


def _secret_names(options: Mapping[str, str]) -> list[str]:
    return [name for name, value in options.items() if value == _SECRET]


def _to_standard_error(message: str) -> None:
    print(message, file=sys.stderr)
