"""The kit for plugin authors. It needs the extra `testing` (`pip install mlgym-core[testing]`).

The fixtures are a pytest plugin that nobody gets unasked: `pytest_plugins = ["mlgym_core.testing.fixtures"]`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mlgym_core.checks.samples import (
        SAMPLE_MODEL as SAMPLE_MODEL,
        SAMPLE_TASK as SAMPLE_TASK,
        SampleModel as SampleModel,
        SamplePlugin as SamplePlugin,
    )
    from mlgym_core.testing.conformance import (
        AgentConformance as AgentConformance,
        MetricConformance as MetricConformance,
        TaskConformance as TaskConformance,
        ToolConformance as ToolConformance,
    )
    from mlgym_core.testing.gradings import LocalGrading as LocalGrading, LocalProgram as LocalProgram
    from mlgym_core.testing.model_server import (
        ScriptedAnswer as ScriptedAnswer,
        ScriptedModelServer as ScriptedModelServer,
    )
    from mlgym_core.testing.sandboxes import SandboxConformance as SandboxConformance

# Before the imports: pytest shows the values in a failed assertion only of modules that it has rewritten.
for _module in ("conformance", "fixtures", "sandboxes"):
    pytest.register_assert_rewrite(f"mlgym_core.testing.{_module}")

_NAMES = {
    "mlgym_core.checks.samples": "SAMPLE_MODEL SAMPLE_TASK SampleModel SamplePlugin",
    "mlgym_core.testing.conformance": "AgentConformance MetricConformance TaskConformance ToolConformance",
    "mlgym_core.testing.gradings": "LocalGrading LocalProgram",
    "mlgym_core.testing.model_server": "ScriptedAnswer ScriptedModelServer",
    "mlgym_core.testing.sandboxes": "SandboxConformance",
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605 - the names are listed once


def __getattr__(name: str) -> Any:
    # When it is first used: the module of the server is also a program (`python -m`), which must not be imported twice.
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'mlgym_core.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULE_OF[name]), name)
