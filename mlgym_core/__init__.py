"""mlgym: a gym in which AI research agents are measured and trained.

Every public name can be imported from here; each is loaded when it is first used, so that `import mlgym_core`
stays cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlgym_core.env import (
        AsyncEnv as AsyncEnv,
    )
    from mlgym_core.env import (
        EnvOptions as EnvOptions,
    )
    from mlgym_core.env import (
        TaskView as TaskView,
    )
    from mlgym_core.errors import (
        CapabilityError as CapabilityError,
    )
    from mlgym_core.errors import (
        ConfigurationError as ConfigurationError,
    )
    from mlgym_core.errors import (
        ConflictError as ConflictError,
    )
    from mlgym_core.errors import (
        EpisodeOver as EpisodeOver,
    )
    from mlgym_core.errors import (
        GraderError as GraderError,
    )
    from mlgym_core.errors import (
        InfrastructureError as InfrastructureError,
    )
    from mlgym_core.errors import (
        InvalidSubmission as InvalidSubmission,
    )
    from mlgym_core.errors import (
        MlgymError as MlgymError,
    )
    from mlgym_core.errors import (
        PluginError as PluginError,
    )
    from mlgym_core.errors import (
        SandboxError as SandboxError,
    )
    from mlgym_core.errors import (
        SandboxUnavailableError as SandboxUnavailableError,
    )
    from mlgym_core.errors import (
        ToolError as ToolError,
    )
    from mlgym_core.errors import (
        UnknownNameError as UnknownNameError,
    )
    from mlgym_core.errors import (
        UsageError as UsageError,
    )
    from mlgym_core.face import (
        Env as Env,
    )
    from mlgym_core.face import (
        make as make,
    )
    from mlgym_core.face import (
        make_async as make_async,
    )
    from mlgym_core.hookspecs import (
        API_VERSION as API_VERSION,
    )
    from mlgym_core.hookspecs import (
        hookimpl as hookimpl,
    )
    from mlgym_core.host import (
        Host as Host,
    )
    from mlgym_core.host import (
        default_host as default_host,
    )
    from mlgym_core.interfaces import (
        Agent as Agent,
    )
    from mlgym_core.interfaces import (
        Anchors as Anchors,
    )
    from mlgym_core.interfaces import (
        EpisodeEvent as EpisodeEvent,
    )
    from mlgym_core.interfaces import (
        Executor as Executor,
    )
    from mlgym_core.interfaces import (
        Grading as Grading,
    )
    from mlgym_core.interfaces import (
        Metric as Metric,
    )
    from mlgym_core.interfaces import (
        Model as Model,
    )
    from mlgym_core.interfaces import (
        ModelReply as ModelReply,
    )
    from mlgym_core.interfaces import (
        Mount as Mount,
    )
    from mlgym_core.interfaces import (
        Preparation as Preparation,
    )
    from mlgym_core.interfaces import (
        Sandbox as Sandbox,
    )
    from mlgym_core.interfaces import (
        SandboxLayout as SandboxLayout,
    )
    from mlgym_core.interfaces import (
        SandboxProcess as SandboxProcess,
    )
    from mlgym_core.interfaces import (
        SubmissionFile as SubmissionFile,
    )
    from mlgym_core.interfaces import (
        SubmittedProgram as SubmittedProgram,
    )
    from mlgym_core.interfaces import (
        Task as Task,
    )
    from mlgym_core.interfaces import (
        Tool as Tool,
    )
    from mlgym_core.interfaces import (
        ToolContext as ToolContext,
    )
    from mlgym_core.interfaces import (
        ToolResult as ToolResult,
    )
    from mlgym_core.limits import (
        Limits as Limits,
    )
    from mlgym_core.specs import (
        AgentSpec as AgentSpec,
    )
    from mlgym_core.specs import (
        ExecutorSpec as ExecutorSpec,
    )
    from mlgym_core.specs import (
        MetricSpec as MetricSpec,
    )
    from mlgym_core.specs import (
        ModelSpec as ModelSpec,
    )
    from mlgym_core.specs import (
        Resources as Resources,
    )
    from mlgym_core.specs import (
        SandboxSpec as SandboxSpec,
    )
    from mlgym_core.specs import (
        SuiteSpec as SuiteSpec,
    )
    from mlgym_core.specs import (
        TaskMetric as TaskMetric,
    )
    from mlgym_core.specs import (
        TaskSpec as TaskSpec,
    )
    from mlgym_core.specs import (
        ToolSpec as ToolSpec,
    )
    from mlgym_core.types import (
        EpisodeResult as EpisodeResult,
    )
    from mlgym_core.types import (
        Observation as Observation,
    )
    from mlgym_core.types import (
        Score as Score,
    )
    from mlgym_core.types import (
        ToolCall as ToolCall,
    )

__version__ = "0.1.0"

# The imports above once more, for when the program runs; a test holds the two together.
_NAMES = {
    "mlgym_core.env": ("AsyncEnv EnvOptions TaskView"),
    "mlgym_core.errors": (
        "CapabilityError ConfigurationError ConflictError EpisodeOver GraderError InfrastructureError "
        "InvalidSubmission MlgymError PluginError SandboxError SandboxUnavailableError ToolError "
        "UnknownNameError UsageError"
    ),
    "mlgym_core.face": ("Env make make_async"),
    "mlgym_core.hookspecs": ("API_VERSION hookimpl"),
    "mlgym_core.host": ("Host default_host"),
    "mlgym_core.interfaces": (
        "Agent Anchors EpisodeEvent Executor Grading Metric Model ModelReply Mount Preparation Sandbox "
        "SandboxLayout SandboxProcess SubmissionFile SubmittedProgram Task Tool ToolContext ToolResult"
    ),
    "mlgym_core.limits": ("Limits"),
    "mlgym_core.specs": (
        "AgentSpec ExecutorSpec MetricSpec ModelSpec Resources SandboxSpec SuiteSpec TaskMetric TaskSpec ToolSpec"
    ),
    "mlgym_core.types": ("EpisodeResult Observation Score ToolCall"),
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'mlgym_core' has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*_MODULE_OF, "__version__"])
