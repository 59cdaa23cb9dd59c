"""The kit for plugin authors. It needs the extra `testing` (`pip install mlgym-core[testing]`).

The fixtures are a pytest plugin that nobody gets unasked: `pytest_plugins = ["mlgym_core.testing.fixtures"]`.
"""

from __future__ import annotations

import pytest

# Before the imports: pytest shows the values in a failed assertion only of modules that it has rewritten.
for _module in ("conformance", "fixtures", "sandboxes"):
    pytest.register_assert_rewrite(f"mlgym_core.testing.{_module}")

from mlgym_core.checks.samples import SAMPLE_MODEL, SAMPLE_TASK, SampleModel, SamplePlugin  # noqa: E402
from mlgym_core.testing.conformance import (  # noqa: E402
    AgentConformance,
    MetricConformance,
    TaskConformance,
    ToolConformance,
)
from mlgym_core.testing.gradings import LocalGrading, LocalProgram  # noqa: E402
from mlgym_core.testing.model_server import ScriptedAnswer, ScriptedModelServer  # noqa: E402
from mlgym_core.testing.sandboxes import SandboxConformance  # noqa: E402

__all__ = [
    "SAMPLE_MODEL",
    "SAMPLE_TASK",
    "AgentConformance",
    "LocalGrading",
    "LocalProgram",
    "MetricConformance",
    "SampleModel",
    "SamplePlugin",
    "SandboxConformance",
    "ScriptedAnswer",
    "ScriptedModelServer",
    "TaskConformance",
    "ToolConformance",
]
