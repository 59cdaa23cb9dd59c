"""What this distribution registers with mlgym. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from mlgym_bench.tasks import DISTRIBUTIONS, PUBLISHED_BASELINES, TASKS
from mlgym_core import SuiteSpec, hookimpl

MLGYM_API = 1


@hookimpl
def mlgym_suites() -> Iterable[SuiteSpec]:
    """Register the benchmark, and the same with small data."""
    yield SuiteSpec(
        "mlgym-bench-v0",
        "The thirteen tasks of the benchmark, in the settings of 2025",
        tasks=tuple(TASKS),
        variants={task: variants.full for task, variants in TASKS.items()},
        distributions=DISTRIBUTIONS,
        published_baselines=PUBLISHED_BASELINES,
    )
    yield SuiteSpec(
        "mlgym-bench-v0-mini",
        "The same thirteen with small data and short trainings, for two processors and no network",
        tasks=tuple(TASKS),
        variants={task: variants.mini for task, variants in TASKS.items()},
        distributions=DISTRIBUTIONS,
        published_baselines=PUBLISHED_BASELINES,
    )
