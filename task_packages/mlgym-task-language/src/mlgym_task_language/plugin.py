"""What this distribution registers with mlgym. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from mlgym_core import Resources, SuiteSpec, TaskMetric, TaskSpec, hookimpl

MLGYM_API = 1


@hookimpl
def mlgym_tasks() -> Iterable[TaskSpec]:
    """Register the two tasks."""
    yield TaskSpec(
        "language/fineweb",
        "mlgym_task_language.fineweb:FineWeb",
        "Train a language model on web pages, and predict held-out ones token by token",
        metrics=(TaskMetric("val_loss", "minimize"),),
        tags=("language-modelling", "deep-learning"),
        variants=("full", "mini"),
        requirements=("numpy>=1.26", "safetensors>=0.4", "torch>=2.2,<2.14"),
        grader_requirements=("numpy>=1.26",),
        resources=Resources(memory_bytes=16 << 30),
    )
    yield TaskSpec(
        "language/mnli",
        "mlgym_task_language.mnli:MultiNli",
        "Tell what follows from a sentence, what contradicts it, and what does neither",
        metrics=(TaskMetric("accuracy", "maximize"),),
        tags=("natural-language-inference", "deep-learning"),
        variants=("full", "mini"),
        requirements=("numpy>=1.26", "safetensors>=0.4", "torch>=2.2,<2.14"),
        resources=Resources(memory_bytes=8 << 30),
    )


@hookimpl
def mlgym_suites() -> Iterable[SuiteSpec]:
    """Register the suite."""
    yield SuiteSpec(
        "language",
        "Language models, and inference between sentences",
        tasks=("language/fineweb", "language/mnli"),
    )
