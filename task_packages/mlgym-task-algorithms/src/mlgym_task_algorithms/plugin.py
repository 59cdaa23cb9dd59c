"""What this distribution registers with mlgym. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from mlgym_core import SuiteSpec, TaskMetric, TaskSpec, hookimpl

MLGYM_API = 1


@hookimpl
def mlgym_tasks() -> Iterable[TaskSpec]:
    """Register the tasks."""
    yield TaskSpec(
        "algorithms/3sat-heuristic",
        "mlgym_task_algorithms.three_sat:ThreeSat",
        "Choose the branching variables of a 3-SAT solver so that its search stays small",
        metrics=(
            TaskMetric("decisions", "minimize"),
            TaskMetric("seconds", "minimize"),
            TaskMetric("solved", "maximize"),
        ),
        paper_metric="seconds",
        tags=("satisfiability", "search", "cpu"),
    )


@hookimpl
def mlgym_suites() -> Iterable[SuiteSpec]:
    """Register the suite of all tasks of this distribution."""
    yield SuiteSpec("algorithms", "Algorithms that a grader measures", tasks=("algorithms/3sat-heuristic",))
