"""What this distribution registers with mlgym. Every listing imports it: keep it light."""

from __future__ import annotations

from collections.abc import Iterator

from mlgym_core import TaskMetric, TaskSpec, hookimpl

MLGYM_API = 1


@hookimpl
def mlgym_tasks() -> Iterator[TaskSpec]:
    """Register the task."""
    yield TaskSpec(
        "science/nuclear-masses",
        "mlgym_task_science.nuclear_masses:NuclearMasses",
        "Predict how tightly exotic atomic nuclei are bound, from those that were known in 1995",
        metrics=(TaskMetric("rmse", "minimize"),),
        tags=("physics", "regression", "cpu"),
        # None of them holds masses of nuclides.
        requirements=("numpy>=1.26", "scikit-learn>=1.5"),
    )
