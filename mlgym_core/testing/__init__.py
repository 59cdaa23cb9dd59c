"""The kit for plugin authors. It needs the extra `testing` (`pip install mlgym-core[testing]`)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mlgym_core.testing.gradings import LocalGrading as LocalGrading, LocalProgram as LocalProgram
    from mlgym_core.testing.model_server import (
        ScriptedAnswer as ScriptedAnswer,
        ScriptedModelServer as ScriptedModelServer,
    )
    from mlgym_core.testing.sandboxes import SandboxConformance as SandboxConformance

# Before the import: pytest shows the values in a failed assertion only of modules that it has rewritten.
pytest.register_assert_rewrite("mlgym_core.testing.sandboxes")

_MODULE_OF = {
    "LocalGrading": "gradings",
    "LocalProgram": "gradings",
    "SandboxConformance": "sandboxes",
    "ScriptedAnswer": "model_server",
    "ScriptedModelServer": "model_server",
}


def __getattr__(name: str) -> Any:
    # When it is first used: the module of the server is also a program (`python -m`), which must not be imported twice.
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'mlgym_core.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(f"mlgym_core.testing.{_MODULE_OF[name]}"), name)
