"""What this distribution registers with mlgym. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from mlgym_core import Resources, SuiteSpec, TaskMetric, TaskSpec, hookimpl

MLGYM_API = 1

# Exact versions, so that the same seed gives the same episodes, and training the same policies. gymnax imports six
# without requiring it.
_PACKAGES = (
    "flax==0.12.8",
    "gymnax==1.0.1",
    "jax==0.10.2",
    "jaxlib==0.10.2",
    "numpy==2.4.6",
    "optax==0.2.8",
    "six>=1.16",
)


@hookimpl
def mlgym_tasks() -> Iterable[TaskSpec]:
    """Register the tasks."""
    yield TaskSpec(
        "rl/mountain-car-continuous",
        "mlgym_task_rl.mountain_car:MountainCar",
        "Drive a weak car out of a valley with as little force as possible",
        metrics=(TaskMetric("reward_mean"), TaskMetric("reward_deviation", "minimize")),
        tags=("reinforcement-learning", "cpu"),
        variants=("full", "mini"),
        requirements=_PACKAGES,
        grader_requirements=_PACKAGES,
        # JAX starts threads for each processor of the machine.
        resources=Resources(memory_bytes=8 << 30, processes=1024),
    )


@hookimpl
def mlgym_suites() -> Iterable[SuiteSpec]:
    """Register the suite."""
    yield SuiteSpec("rl", "Policies for simulators that the grader owns", tasks=("rl/mountain-car-continuous",))
