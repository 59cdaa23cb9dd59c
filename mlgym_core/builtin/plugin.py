"""The core's own plugin."""

from __future__ import annotations

from collections.abc import Iterator

from mlgym_core.hookspecs import hookimpl
from mlgym_core.specs import AgentSpec, ExecutorSpec, MetricSpec, SandboxSpec, ToolSpec

MLGYM_API = 1


@hookimpl
def mlgym_agents() -> Iterator[AgentSpec]:
    """The agents that need no key."""
    package = "mlgym_core.builtin"
    yield AgentSpec("baseline", f"{package}.baseline:BaselineAgent", "Runs the starter as it is, and submits")
    yield AgentSpec("script", f"{package}.script:ScriptAgent", "Plays the actions of a file (-A file=PATH)")
    yield AgentSpec("tuner", f"{package}.tuner:TunerAgent", "Searches over the parameters that a starter declares")
    yield AgentSpec("human", f"{package}.human:HumanAgent", "Lets you play in the terminal")


@hookimpl
def mlgym_tools() -> Iterator[ToolSpec]:
    """The six basic tools."""
    package = "mlgym_core.builtin.tools"
    yield ToolSpec("bash", f"{package}:Bash", "Runs a command in a persistent shell", default=True)
    yield ToolSpec("read_file", f"{package}:ReadFile", "Shows a file or a part of it", default=True)
    yield ToolSpec("write_file", f"{package}:WriteFile", "Writes a file", default=True)
    yield ToolSpec("edit_file", f"{package}:EditFile", "Replaces a text that occurs once", default=True)
    yield ToolSpec("validate", f"{package}:Validate", "Grades on the validation split", default=True)
    yield ToolSpec("submit", f"{package}:Submit", "Ends the episode", default=True)


@hookimpl
def mlgym_metrics() -> Iterator[MetricSpec]:
    """Metrics of predictions."""
    package = "mlgym_core.builtin.metrics"
    yield MetricSpec("accuracy", f"{package}:Accuracy", "Share of predictions that are right")
    yield MetricSpec("r2", f"{package}:R2", "Coefficient of determination")
    yield MetricSpec("rmse", f"{package}:RootMeanSquaredError", "Root mean squared error", direction="minimize")


@hookimpl
def mlgym_sandboxes() -> Iterator[SandboxSpec]:
    """The embedded sandbox, and the one that is none."""
    package = "mlgym_core.sandbox"
    yield SandboxSpec("bwrap", f"{package}.bwrap:BwrapSandbox", "User namespaces, through bubblewrap", preference=10)
    yield SandboxSpec("process", f"{package}.process:ProcessSandbox", "No isolation; for code that you trust")


@hookimpl
def mlgym_executors() -> Iterator[ExecutorSpec]:
    """The executor that needs nothing but this machine."""
    yield ExecutorSpec("local", "mlgym_core.builtin.executors:LocalExecutor", "Runs episodes on this machine")
