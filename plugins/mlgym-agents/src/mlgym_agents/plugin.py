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
        default=True,
    )
    yield AgentSpec(
        "thought-action",
        "mlgym_agents.thought_action:ThoughtActionAgent",
        "Lets a model write one command in each turn, without calling tools",
        needs_model=True,
        tools=(
            *("bash", "open", "goto", "scroll_up", "scroll_down", "create", "edit", "insert"),
            *("search_dir", "search_file", "find_file", "validate", "submit"),
        ),
        tools_from="mlgym-tools",
        limits={"max_steps": 50, "max_cost": 4.0},
    )
    yield AgentSpec(
        "tree-search",
        "mlgym_agents.tree.agent:TreeSearchAgent",
        "Lets a model write whole solutions, and improves the best",
        needs_model=True,
        needs_tools=("bash", "write_file", "validate", "submit"),
        tools=("bash", "write_file", "validate", "submit"),
        limits={"max_steps": 100},
    )
    yield AgentSpec(
        "exec",
        "mlgym_agents.exec.agent:ExecAgent",
        "Runs any command-line agent in the sandbox (-A command=…), and gives it the model",
    )
