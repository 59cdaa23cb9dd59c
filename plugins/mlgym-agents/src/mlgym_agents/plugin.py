"""What the plugin registers."""

from __future__ import annotations

from collections.abc import Iterator

from mlgym_core import AgentSpec, hookimpl

MLGYM_API = 1


@hookimpl
def mlgym_agents() -> Iterator[AgentSpec]:
    """Yield the agents."""
    yield AgentSpec(
        "react",
        "mlgym_agents.react:ReactAgent",
        "Lets a model think and call tools in turn",
        needs_model=True,
    )
    yield AgentSpec(
        "exec",
        "mlgym_agents.exec.agent:ExecAgent",
        "Runs any command-line agent in the sandbox (-A command=…), and gives it the model",
    )
