"""What plugin authors implement. Import these names from `mlgym_core`, not from here.

The part that runs inside the grader (`tasks`) needs only the standard library, and so do the others: a grader's Python
holds nothing but what the task's `grader_requirements` name.
"""

from __future__ import annotations

from mlgym_core.interfaces.agents import Agent
from mlgym_core.interfaces.executors import Executor
from mlgym_core.interfaces.metrics import Metric
from mlgym_core.interfaces.models import (
    EpisodeModel,
    Message,
    Model,
    ModelCall,
    ModelReply,
    ModelToolCall,
    Sampling,
    ToolSchema,
)
from mlgym_core.interfaces.observers import EpisodeEvent
from mlgym_core.interfaces.sandboxes import Mount, Sandbox, SandboxLayout, SandboxProcess
from mlgym_core.interfaces.tasks import (
    Anchors,
    Attack,
    Grading,
    Kept,
    Preparation,
    SubmissionFile,
    SubmittedProgram,
    Task,
)
from mlgym_core.interfaces.tools import Note, SharedNotes, Tool, ToolContext, ToolResult

__all__ = [
    "Agent",
    "Anchors",
    "Attack",
    "EpisodeEvent",
    "EpisodeModel",
    "Executor",
    "Grading",
    "Kept",
    "Message",
    "Metric",
    "Model",
    "ModelCall",
    "ModelReply",
    "ModelToolCall",
    "Mount",
    "Note",
    "Preparation",
    "Sampling",
    "Sandbox",
    "SandboxLayout",
    "SandboxProcess",
    "SharedNotes",
    "SubmissionFile",
    "SubmittedProgram",
    "Task",
    "Tool",
    "ToolContext",
    "ToolResult",
    "ToolSchema",
]
