"""Making environments from a task's name and options."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack

from mlgym_core.budgets import Budget
from mlgym_core.env import AsyncEnv
from mlgym_core.episode import EpisodeIdentity
from mlgym_core.errors import UsageError
from mlgym_core.host import Host, default_host
from mlgym_core.interfaces import Model, Mount
from mlgym_core.journal import Observer
from mlgym_core.limits import Limits
from mlgym_core.models import make_model
from mlgym_core.preparation import prepare_task
from mlgym_core.records import new_run_folder
from mlgym_core.sandbox.selection import check_counts_processor_time, choose_sandbox, needs_of
from mlgym_core.toolbox import load_tools
from mlgym_core.types import PROTOCOLS, REWARD_SCHEMES, Protocol, RewardScheme

Choice = TypeVar("Choice", bound=str)

_log = logging.getLogger("mlgym")


class EnvOptions(TypedDict, total=False):
    """Options of `make` and `make_async`.

    Attributes:
        sandbox: `auto` (the default), or the id of a sandbox.
        seed: Seed of the episodes, 0 unless given; everything random in grading derives from it.
        reward: `improvement` (the default) pays each validation that beats the best so far, `final` only the end.
        protocol: `strict` (the default), or `paper` for the rules of the 2025 benchmark.
        variant: The task's first variant unless given.
        tools: Ids of the tools on offer; the default tools unless given.
        tool_options: Options of the tools, by `TOOL.KEY`.
        grants: What tools that need a grant are granted, such as `literature`.
        runs_dir: Where episodes are recorded; not at all unless given.
        max_steps: Actions per episode, 50 unless given.
        max_time: Wall time per episode, in seconds; no limit unless given.
        max_working_time: The same without the time in which the language model is waited for.
        max_processor_time: Processor time per episode of all processes that the agent starts, in seconds; no limit
            unless given.
        max_validations: Validations per episode under protocol `strict`, 20 unless given.
        max_cost: Cost of model calls per episode, in US dollars; no limit unless given.
        max_tokens: Tokens of model calls per episode, prompts and completions together; no limit unless given.
        action_timeout: Wall time of one action, in seconds; 1800 unless given.
        model: The language model, as `PROVIDER/NAME`, or a `Model` of your own; `env.model` is None unless given.
        model_options: The model's options, by name.
    """

    sandbox: str
    seed: int
    reward: RewardScheme
    protocol: Protocol
    variant: str | None
    tools: Sequence[str] | None
    tool_options: Mapping[str, Any] | None
    grants: Sequence[str]
    runs_dir: str | Path | None
    max_steps: int
    max_time: float | None
    max_working_time: float | None
    max_processor_time: float | None
    max_validations: int | None
    max_cost: float | None
    max_tokens: int | None
    action_timeout: float
    model: str | Model | None
    model_options: Mapping[str, Any] | None


async def make_env(
    task: str,
    *,
    host: Host | None = None,
    run_folder: Path | None = None,
    identity: EpisodeIdentity | None = None,
    observers: Sequence[Observer] = (),
    run_budget: Budget | None = None,
    on_text: Callable[[str], None] | None = None,
    mounts: Sequence[Mount] = (),
    **options: Unpack[EnvOptions],
) -> AsyncEnv:
    """Return an environment. `make` and `make_async` are the public ways to call this; the runner calls it, too.

    Args:
        run_folder: Folder of the run to record in, instead of a new one below `runs_dir`.
        identity: Who plays.
        observers: Told of every event, besides the plugins that observe.
        run_budget: What model calls are paid from besides the episode's own budget.
        on_text: Is shown answers of the language model while they are said.
        mounts: What sandboxes show besides, read-only.
    """
    unknown = set(options) - set(EnvOptions.__annotations__)
    if unknown:
        raise UsageError(
            f"make() has no option {', '.join(sorted(unknown))}. It has: {', '.join(EnvOptions.__annotations__)}."
        )
    host = host or default_host()
    reward = _chosen("reward", options.get("reward", "improvement"), REWARD_SCHEMES)
    protocol = _chosen("protocol", options.get("protocol", "strict"), PROTOCOLS)
    limits = Limits(
        **{name: options[name] for name in Limits.__annotations__ if name in options},  # type: ignore[literal-required]
    )
    identity = identity or EpisodeIdentity()
    model = options.get("model")
    owns_model = isinstance(model, str)
    if isinstance(model, str):
        identity = dataclasses.replace(identity, model=model)
        model = make_model(host, model, options.get("model_options") or {})
        await asyncio.to_thread(model.check)
    elif options.get("model_options"):
        raise UsageError("model_options are for a model that is given as PROVIDER/NAME.")
    elif model is not None and identity.model is None:
        identity = dataclasses.replace(identity, model=f"{model.provider}/{model.name}")
    tools = load_tools(
        host, options.get("tools"), options=options.get("tool_options") or {}, grants=options.get("grants", ())
    )
    needs = needs_of(host.tasks.spec(task))
    sandbox_name, sandbox_class = choose_sandbox(host, options.get("sandbox", "auto"), needs)
    if limits.max_processor_time is not None:
        check_counts_processor_time(sandbox_name, sandbox_class)
    prepared = await asyncio.to_thread(prepare_task, host, task, options.get("variant"), _log.info)
    runs_dir = options.get("runs_dir")
    if run_folder is None and runs_dir is not None:
        run_folder = new_run_folder(runs_dir, "make")
    return AsyncEnv(
        prepared,
        sandbox_name,
        sandbox_class,
        tools,
        seed=options.get("seed", 0),
        reward=reward,
        protocol=protocol,
        limits=limits,
        run_folder=run_folder,
        identity=identity,
        observers=(*host.observers(), *observers),
        model=model,
        run_budget=run_budget,
        owns_model=owns_model,
        on_text=on_text,
        mounts=mounts,
    )


def _chosen(name: str, value: Choice, known: Sequence[Choice]) -> Choice:
    if value not in known:
        raise UsageError(f"{value!r} is not a {name}: choose {' or '.join(map(str, known))}.")
    return value
