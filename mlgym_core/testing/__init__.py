"""The kit for plugin authors. It needs the extra `testing` (`pip install mlgym-core[testing]`)."""

from __future__ import annotations

import pytest

# Before the import: pytest shows the values in a failed assertion only of modules that it has rewritten.
pytest.register_assert_rewrite("mlgym_core.testing.sandboxes")

from mlgym_core.testing.gradings import LocalGrading, LocalProgram  # noqa: E402
from mlgym_core.testing.model_server import ScriptedAnswer, ScriptedModelServer  # noqa: E402
from mlgym_core.testing.sandboxes import SandboxConformance  # noqa: E402

__all__ = ["LocalGrading", "LocalProgram", "SandboxConformance", "ScriptedAnswer", "ScriptedModelServer"]
