"""mlgym: a gym in which AI research agents are measured and trained.

Every public name can be imported from here; each is loaded when it is first used, so that `import mlgym_core`
stays cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlgym_core.builtin.metrics import (
        R2 as R2,
        Accuracy as Accuracy,
        RootMeanSquaredError as RootMeanSquaredError,
    )
    from mlgym_core.conversations import recorded_conversations as recorded_conversations
    from mlgym_core.data.archives import (
        read_gzip as read_gzip,
        read_limited as read_limited,
        read_member as read_member,
        read_members as read_members,
    )
    from mlgym_core.data.content import Content as Content
    from mlgym_core.data.declarations import (
        Dataset as Dataset,
        Download as Download,
        PythonPackage as PythonPackage,
        PythonSourceArchive as PythonSourceArchive,
        RemoteFile as RemoteFile,
        SystemFiles as SystemFiles,
        UserFiles as UserFiles,
    )
    from mlgym_core.env import AsyncEnv as AsyncEnv
    from mlgym_core.episode import Snapshot as Snapshot, TaskView as TaskView
    from mlgym_core.errors import (
        BudgetExhausted as BudgetExhausted,
        CapabilityError as CapabilityError,
        ConfigurationError as ConfigurationError,
        ConflictError as ConflictError,
        ContextTooLong as ContextTooLong,
        DataError as DataError,
        EpisodeOver as EpisodeOver,
        GraderError as GraderError,
        InfrastructureError as InfrastructureError,
        InvalidSubmission as InvalidSubmission,
        MlgymError as MlgymError,
        ModelError as ModelError,
        PluginError as PluginError,
        RequestRefused as RequestRefused,
        SandboxError as SandboxError,
        SandboxUnavailableError as SandboxUnavailableError,
        ToolError as ToolError,
        UnknownNameError as UnknownNameError,
        UsageError as UsageError,
    )
    from mlgym_core.face import (
        Env as Env,
        make as make,
        make_async as make_async,
    )
    from mlgym_core.hookspecs import (
        API_VERSION as API_VERSION,
        hookimpl as hookimpl,
    )
    from mlgym_core.host import (
        Host as Host,
        default_host as default_host,
    )
    from mlgym_core.ids import did_you_mean as did_you_mean
    from mlgym_core.interfaces import (
        Agent as Agent,
        Anchors as Anchors,
        Attack as Attack,
        EpisodeEvent as EpisodeEvent,
        EpisodeModel as EpisodeModel,
        Executor as Executor,
        Grading as Grading,
        Kept as Kept,
        Message as Message,
        Metric as Metric,
        Model as Model,
        ModelCall as ModelCall,
        ModelReply as ModelReply,
        ModelToolCall as ModelToolCall,
        Mount as Mount,
        Note as Note,
        Preparation as Preparation,
        Sampling as Sampling,
        Sandbox as Sandbox,
        SandboxLayout as SandboxLayout,
        SandboxProcess as SandboxProcess,
        SharedNotes as SharedNotes,
        SubmissionFile as SubmissionFile,
        SubmittedProgram as SubmittedProgram,
        Task as Task,
        Tool as Tool,
        ToolContext as ToolContext,
        ToolResult as ToolResult,
        ToolSchema as ToolSchema,
    )
    from mlgym_core.limits import (
        Limits as Limits,
    )
    from mlgym_core.making import EnvOptions as EnvOptions
    from mlgym_core.notes import check_note as check_note
    from mlgym_core.predictions import (
        any_text as any_text,
        finite_number as finite_number,
        one_of as one_of,
        read_predictions as read_predictions,
    )
    from mlgym_core.sandbox.environments import packages_for as packages_for
    from mlgym_core.sandbox.listening import Listener as Listener
    from mlgym_core.sandbox.process_tree import ProcessTree as ProcessTree
    from mlgym_core.sandbox.spawning import start_process as start_process
    from mlgym_core.seeds import derive_seed as derive_seed
    from mlgym_core.settings import cache_dir as cache_dir, is_offline as is_offline
    from mlgym_core.specs import (
        AgentSpec as AgentSpec,
        ExecutorSpec as ExecutorSpec,
        MetricSpec as MetricSpec,
        ModelSpec as ModelSpec,
        PublishedScore as PublishedScore,
        Resources as Resources,
        SandboxSpec as SandboxSpec,
        SuiteSpec as SuiteSpec,
        TaskMetric as TaskMetric,
        TaskSpec as TaskSpec,
        ToolSpec as ToolSpec,
    )
    from mlgym_core.splits import secret_order as secret_order
    from mlgym_core.types import (
        EpisodeResult as EpisodeResult,
        Observation as Observation,
        Score as Score,
        ToolCall as ToolCall,
    )

__version__ = "0.1.0"

# The imports above once more, for when the program runs; a test holds the two together.
_NAMES = {
    "mlgym_core.builtin.metrics": "Accuracy R2 RootMeanSquaredError",
    "mlgym_core.conversations": "recorded_conversations",
    "mlgym_core.data.archives": "read_gzip read_limited read_member read_members",
    "mlgym_core.data.content": "Content",
    "mlgym_core.data.declarations": (
        "Dataset Download PythonPackage PythonSourceArchive RemoteFile SystemFiles UserFiles"
    ),
    "mlgym_core.env": "AsyncEnv",
    "mlgym_core.episode": "Snapshot TaskView",
    "mlgym_core.making": "EnvOptions",
    "mlgym_core.errors": (
        "BudgetExhausted CapabilityError ConfigurationError ConflictError ContextTooLong DataError EpisodeOver "
        "GraderError InfrastructureError InvalidSubmission MlgymError ModelError PluginError RequestRefused "
        "SandboxError SandboxUnavailableError ToolError UnknownNameError UsageError"
    ),
    "mlgym_core.face": ("Env make make_async"),
    "mlgym_core.hookspecs": ("API_VERSION hookimpl"),
    "mlgym_core.host": ("Host default_host"),
    "mlgym_core.ids": "did_you_mean",
    "mlgym_core.interfaces": (
        "Agent Anchors Attack EpisodeEvent EpisodeModel Executor Grading Kept Message Metric Model ModelCall "
        "ModelReply ModelToolCall Mount Note Preparation Sampling Sandbox SandboxLayout SandboxProcess SharedNotes "
        "SubmissionFile SubmittedProgram Task Tool ToolContext ToolResult ToolSchema"
    ),
    "mlgym_core.limits": ("Limits"),
    "mlgym_core.notes": "check_note",
    "mlgym_core.predictions": "any_text finite_number one_of read_predictions",
    "mlgym_core.sandbox.environments": "packages_for",
    "mlgym_core.sandbox.listening": "Listener",
    "mlgym_core.sandbox.process_tree": "ProcessTree",
    "mlgym_core.sandbox.spawning": "start_process",
    "mlgym_core.seeds": "derive_seed",
    "mlgym_core.settings": "cache_dir is_offline",
    "mlgym_core.specs": (
        "AgentSpec ExecutorSpec MetricSpec ModelSpec PublishedScore Resources SandboxSpec SuiteSpec TaskMetric "
        "TaskSpec ToolSpec"
    ),
    "mlgym_core.splits": "secret_order",
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
