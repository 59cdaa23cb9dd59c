"""mlgym: a gym in which AI research agents are measured and trained.

Every public name can be imported from here; each is loaded when it is first used, so that `import mlgym_core`
stays cheap.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_MODULE_OF = {
    name: module
    for module, names in {
        "mlgym_core.env": "AsyncEnv Env Snapshot make make_async",
        "mlgym_core.errors": (
            "CapabilityError ConfigurationError ConflictError EpisodeOver GraderError InfrastructureError "
            "InvalidSubmission MlgymError PluginError SandboxError SandboxUnavailableError ToolError "
            "UnknownNameError UsageError"
        ),
        "mlgym_core.hookspecs": "API_VERSION hookimpl",
        "mlgym_core.host": "Host",
        "mlgym_core.interfaces": (
            "Agent Anchors EpisodeEvent Executor Grading Metric Model ModelReply Mount Preparation Sandbox "
            "SandboxLayout SandboxProcess SubmissionFile SubmittedProgram Task Tool ToolContext ToolResult"
        ),
        "mlgym_core.specs": (
            "AgentSpec ExecutorSpec MetricSpec ModelSpec Resources SandboxSpec SuiteSpec TaskMetric TaskSpec ToolSpec"
        ),
        "mlgym_core.types": "EpisodeResult Observation Score ToolCall",
    }.items()
    for name in names.split()
}

__all__ = ["__version__", *sorted(_MODULE_OF)]  # noqa: PLE0604 - all are strings


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'mlgym_core' has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
