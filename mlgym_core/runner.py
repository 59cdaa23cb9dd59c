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
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, Field, ValidationError

from mlgym_core import __version__
from mlgym_core.env import AsyncEnv
from mlgym_core.episode import EpisodeIdentity
from mlgym_core.errors import InfrastructureError, UsageError
from mlgym_core.face import Env
from mlgym_core.host import Host
from mlgym_core.ids import slug
from mlgym_core.interfaces import Agent, EpisodeEvent, Executor
from mlgym_core.journal import Observer
from mlgym_core.making import EnvOptions, make_env
from mlgym_core.preparation import prepare_task
from mlgym_core.records import episode_folder, read_json, write_json
from mlgym_core.sandbox.selection import choose_sandbox, needs_of
from mlgym_core.signatures import checked_arguments, parameters_model
from mlgym_core.types import EpisodeResult, Frozen, Protocol, RewardScheme

RUN_SCHEMA = "mlgym.run/1"
_FINISHED = ("completed", "invalid_submission")


class RunPlan(Frozen):
    """What a run consists of: every task with every agent, `repeat` times.

    Attributes:
        agent_options: Options for all agents (`-A`); an agent takes those it knows.
        attempts: How often an episode is tried when the infrastructure fails.
    """

    tasks: tuple[str, ...]
    agents: tuple[str, ...]
    agent_options: dict[str, str] = Field(default_factory=dict)
    model: str | None = None
    repeat: int = Field(default=1, ge=1)
    seed: int = 0
    sandbox: str = "auto"
    executor: str = "local"
    parallel: int = Field(default=1, ge=1)
    protocol: Protocol = "strict"
    reward: RewardScheme = "improvement"
    variant: str | None = None
    tools: tuple[str, ...] | None = None
    max_steps: int = 50
    max_time: float | None = None
    max_cost: float | None = None
    max_tokens: int | None = None
    max_validations: int | None = 20
    action_timeout: float = 1800.0
    attempts: int = Field(default=2, ge=1)


class EpisodePlan(Frozen):
    """One episode of a run."""

    id: str
    task: str
    agent: str
    repeat: int


Progress = Callable[[EpisodePlan, EpisodeEvent | EpisodeResult], None]
"""Told of every event of every episode, and of its result."""


def planned_episodes(plan: RunPlan) -> list[EpisodePlan]:
    """Return the episodes of a run, in order; the same plan gives the same ids."""
    episodes = []
    for task in plan.tasks:
        for agent in plan.agents:
            for repeat in range(plan.repeat):
                identity = [task, plan.variant, agent, plan.agent_options, plan.model, repeat]
                digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
                name = f"{slug(task)}-{slug(agent)}-{repeat}-{digest}"
                episodes.append(EpisodePlan(id=name, task=task, agent=agent, repeat=repeat))
    return episodes


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
        self.plan = plan
        self.episodes = planned_episodes(plan)

    @classmethod
    def start(cls, host: Host, folder: Path, plan: RunPlan) -> Run:
        """Check a plan against what is installed and record it in a new folder.

        Raises:
            UsageError: if something in the plan does not exist, or the folder does.
        """
        run = cls(host, folder, plan)
        run._check()
        if (folder / "run.json").exists():
            raise UsageError(
                f"The run {folder.name!r} exists already in {folder.parent}: resume it, or choose another id."
            )
        document = {
            "schema": RUN_SCHEMA,
            "run_id": folder.name,
            "started_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "plan": plan.model_dump(mode="json"),
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
    def reopen(cls, host: Host, folder: Path) -> Run:
        """Return a run that was started before.

        Raises:
            UsageError: if the folder holds none.
        """
        document = read_json(folder / "run.json")
        try:
            plan = RunPlan.model_validate(document.get("plan"))
        except ValidationError as error:
            raise UsageError(f"{folder / 'run.json'} holds no plan that this version understands: {error}") from None
        run = cls(host, folder, plan)
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
            if plan.variant is not None and plan.variant not in spec.variants:
                raise UsageError(f"Task {task!r} has no variant {plan.variant!r}. It has: {', '.join(spec.variants)}.")
        known: set[str] = set()
        for agent in plan.agents:
            spec_of_agent = self._host.agents.spec(agent)
            if spec_of_agent.needs_model and plan.model is None:
                raise UsageError(f"Agent {agent!r} needs a language model: name one with --model.")
            known |= set(self._options_model(agent).model_fields)
            self._make_agent(agent)
        if unknown := set(plan.agent_options) - known:
            raise UsageError(
                f"No agent of this run has an option {', '.join(sorted(unknown))}. "
                f"Known: {', '.join(sorted(known)) or 'none'}."
            )
        for tool in plan.tools or ():
            self._host.tools.spec(tool)
        self._host.executors.spec(plan.executor)
        for task in plan.tasks:
            choose_sandbox(self._host, plan.sandbox, needs_of(self._host.tasks.spec(task)))

    def _options_model(self, agent: str) -> type[BaseModel]:
        """Return the model that checks the options of an agent."""
        constructor = self._host.agents.load(agent).__init__
        return parameters_model(agent, _no_options if constructor is object.__init__ else constructor, skip=1)

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

        Raises:
            UsageError: if another process plays this run.
        """
        with self._only_player():
            waiting = [episode for episode in self.episodes if self.finished(episode) is None]
            for task in dict.fromkeys(episode.task for episode in waiting):
                # Once, before episodes compete for it.
                await asyncio.to_thread(prepare_task, self._host, task, self.plan.variant, _to_standard_error)
            executor: Executor = self._host.executors.load(self.plan.executor)()
            jobs = [self._job(episode, progress) for episode in waiting]
            results = executor.execute(jobs, self.plan.parallel)
            async with contextlib.aclosing(cast(Any, results)):
                async for result in results:
                    yield result

    def _job(self, episode: EpisodePlan, progress: Progress) -> Callable[[], Awaitable[EpisodeResult]]:
        async def play() -> EpisodeResult:
            result = await self._attempt(episode, progress)
            for _ in range(self.plan.attempts - 1):
                if result.status != "infrastructure_failure":
                    break
                result = await self._attempt(episode, progress)
            progress(episode, result)
            return result

        return play

    async def _attempt(self, episode: EpisodePlan, progress: Progress) -> EpisodeResult:
        _set_aside(episode_folder(self.folder, episode.id))
        plan = self.plan
        names = set(EnvOptions.__annotations__) - {"runs_dir"}
        options: dict[str, Any] = {name: getattr(plan, name) for name in names}
        observer: Observer = ("the run's progress", lambda event: progress(episode, event))
        env = await make_env(
            episode.task,
            host=self._host,
            run_folder=self.folder,
            identity=EpisodeIdentity(
                episode_id=episode.id, agent=episode.agent, model=plan.model, repeat=episode.repeat
            ),
            observers=[observer],
            max_tokens=plan.max_tokens,
            **options,
        )
        async with env:
            # A sandbox that does not start leaves a result that says so.
            with contextlib.suppress(InfrastructureError):
                await env.reset()
                await self._play_agent(episode, env)
                if not env.is_over:
                    await env.finish("agent_exit")
        assert env.result is not None
        return env.result

    async def _play_agent(self, episode: EpisodePlan, env: AsyncEnv) -> None:
        agent = self._make_agent(episode.agent)
        try:
            if inspect.iscoroutinefunction(agent.run):
                await agent.run(env)
            else:
                loop = asyncio.get_running_loop()
                face = Env(env, lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, loop).result())
                await asyncio.to_thread(agent.run, cast(AsyncEnv, face))
        except Exception as error:  # noqa: BLE001 - whatever breaks in an agent ends its episode, not the run
            if not env.is_over:
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


def _no_options(self: object) -> None:
    pass


def _to_standard_error(message: str) -> None:
    print(message, file=sys.stderr)
