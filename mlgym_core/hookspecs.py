"""The hooks a plugin may implement. Each yields specs; none is `firstresult` or historic, and order never matters.

A plugin is a module named by an entry point in group `mlgym`. It states the version of this interface that it
was written for (`MLGYM_API = 1`) and implements any of the functions below:

    from mlgym_core import TaskSpec, hookimpl

    MLGYM_API = 1

    @hookimpl
    def mlgym_tasks():
        yield TaskSpec("games/blotto", "mlgym_task_games.blotto:Blotto", "Colonel Blotto", metrics=(…,))
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from mlgym_core.interfaces import EpisodeEvent
from mlgym_core.specs import (
    AgentSpec,
    ExecutorSpec,
    MetricSpec,
    ModelSpec,
    SandboxSpec,
    SuiteSpec,
    TaskSpec,
    ToolSpec,
)

PROJECT = "mlgym"
API_VERSION = 1
"""Version of the hooks. The host accepts plugins of this version and the one before; hooks gain arguments only."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Decorator of a plugin's functions that implement hooks."""


@hookspec
def mlgym_tasks() -> Iterable[TaskSpec]:  # type: ignore[empty-body]
    """Register tasks.

    Example:
        @hookimpl
        def mlgym_tasks():
            yield TaskSpec(
                "games/blotto",
                "mlgym_task_games.blotto:Blotto",
                "Divide 120 soldiers over six fields",
                metrics=(TaskMetric("payoff"),),
            )
    """


@hookspec
def mlgym_agents() -> Iterable[AgentSpec]:  # type: ignore[empty-body]
    """Register agents.

    Example:
        @hookimpl
        def mlgym_agents():
            yield AgentSpec("baseline", "mlgym_core.builtin.baseline:BaselineAgent", "Runs the starter and submits")
    """


@hookspec
def mlgym_tools() -> Iterable[ToolSpec]:  # type: ignore[empty-body]
    """Register tools that agents call.

    Example:
        @hookimpl
        def mlgym_tools():
            yield ToolSpec("word-count", "my_tools:WordCount", "Counts the words of a file")
    """


@hookspec
def mlgym_metrics() -> Iterable[MetricSpec]:  # type: ignore[empty-body]
    """Register metrics.

    Example:
        @hookimpl
        def mlgym_metrics():
            yield MetricSpec("accuracy", "my_metrics:Accuracy", "Share of correct labels")
    """


@hookspec
def mlgym_sandboxes() -> Iterable[SandboxSpec]:  # type: ignore[empty-body]
    """Register sandboxes.

    Example:
        @hookimpl
        def mlgym_sandboxes():
            yield SandboxSpec("bwrap", "mlgym_core.sandbox.bwrap:BwrapSandbox", "User namespaces", preference=10)
    """


@hookspec
def mlgym_models() -> Iterable[ModelSpec]:  # type: ignore[empty-body]
    """Register providers of language models; an id is the prefix of `--model`.

    Example:
        @hookimpl
        def mlgym_models():
            yield ModelSpec("echo", "my_models:Echo", "Repeats what it is told")
    """


@hookspec
def mlgym_executors() -> Iterable[ExecutorSpec]:  # type: ignore[empty-body]
    """Register ways of running many episodes.

    Example:
        @hookimpl
        def mlgym_executors():
            yield ExecutorSpec("local", "mlgym_core.builtin.executors:LocalExecutor", "On this machine")
    """


@hookspec
def mlgym_suites() -> Iterable[SuiteSpec]:  # type: ignore[empty-body]
    """Register named lists of tasks, with the variants and limits that they are run with.

    Example:
        @hookimpl
        def mlgym_suites():
            yield SuiteSpec(
                "quick",
                "What is played in a minute",
                tasks=("games/blotto", "vision/cifar10"),
                variants={"vision/cifar10": "mini"},
                limits={"max_processor_time": 600},
                distributions={"games/blotto": "mlgym-task-games", "vision/cifar10": "mlgym-task-vision"},
            )
    """


@hookspec
def mlgym_episode_events(event: EpisodeEvent) -> None:
    """Observe an episode: called for each event, after it was recorded.

    An observer that raises is reported once and not called again in that episode.

    Example:
        @hookimpl
        def mlgym_episode_events(event):
            print(event.episode_id, event.type)
    """
