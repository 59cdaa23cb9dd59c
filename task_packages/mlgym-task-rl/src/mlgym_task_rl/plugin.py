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

_TASKS = (
    (
        "rl/mountain-car-continuous",
        "mlgym_task_rl.mountain_car:MountainCar",
        "Drive a weak car out of a valley with as little force as possible",
    ),
    (
        "rl/breakout-minatar",
        "mlgym_task_rl.breakout:Breakout",
        "Keep a ball in play with a paddle, so that it breaks as many bricks as possible",
    ),
    (
        "rl/meta-maze",
        "mlgym_task_rl.meta_maze:MetaMaze",
        "Find a goal in a maze, remember where it was, and go back to it as often as possible",
    ),
)


@hookimpl
def mlgym_tasks() -> Iterable[TaskSpec]:
    """Register the tasks, which differ in their simulators alone."""
    for task, target, summary in _TASKS:
        yield TaskSpec(
            task,
            target,
            summary,
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
    yield SuiteSpec("rl", "Policies for simulators that the grader owns", tasks=tuple(task for task, *_ in _TASKS))
