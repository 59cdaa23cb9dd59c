"""Episodes of the small task with tools of choice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlgym_core import Env, Host, Observation, TaskMetric, TaskSpec, hookimpl
from mlgym_tools import plugin


class Tasks:
    """Registers the small task."""

    MLGYM_API = 1

    @hookimpl
    def mlgym_tasks(self) -> Iterator[TaskSpec]:
        """Yield it."""
        yield TaskSpec("small/notes", "notes_task:Notes", "Write notes", metrics=(TaskMetric("value"),))


def host() -> Host:
    """Return a host with the small task and the tools."""
    return Host.of(Tasks(), plugin)


def call(env: Env, tool: str, **arguments: Any) -> Observation:
    """Call a tool."""
    observation, *_ = env.step({"tool": tool, "arguments": arguments})
    return observation


def done(env: Env, tool: str, **arguments: Any) -> str:
    """Return what a tool says that succeeds."""
    observation = call(env, tool, **arguments)
    assert not observation.error, observation.text
    return observation.text


def refused(env: Env, tool: str, **arguments: Any) -> str:
    """Return why a tool refuses."""
    observation = call(env, tool, **arguments)
    assert observation.error, observation.text
    assert "broke" not in observation.text, observation.text
    return observation.text
