"""What this distribution registers with mlgym. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from mlgym_core import SuiteSpec, TaskSpec, hookimpl

MLGYM_API = 1


@hookimpl
def mlgym_tasks() -> Iterable[TaskSpec]:
    """Register the tasks."""
    return ()


@hookimpl
def mlgym_suites() -> Iterable[SuiteSpec]:
    """Register the suite."""
    yield SuiteSpec("language", "Language models, and inference between sentences", tasks=())
