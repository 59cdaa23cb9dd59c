"""Whether better submissions score better, and the reference is within reach: by the task's own oracle."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from mlgym_core.checks.findings import CheckFailed, CheckSkipped
from mlgym_core.checks.statements import SPLITS
from mlgym_core.interfaces import Task
from mlgym_core.specs import TaskSpec
from mlgym_core.types import Score, Split

QUALITIES = (0.0, 0.5, 1.0)
_SHORT_OF_REFERENCE = 0.05
"""Share of the scale by which the best submission may miss the reference, by bad luck of the draw."""
_REMEDY = "Mend the grader, the direction of the metric in the spec, the anchors, or the task's oracle()."

Grade = Callable[[Path, Split], Awaitable[Score]]


async def check_direction(spec: TaskSpec, task: Task, private: Path, folder: Path, grade: Grade) -> str:
    """Grade what the task's oracle writes, from poor to perfect.

    Args:
        folder: Where submissions are written; it exists.
        grade: Grades a folder on a split.
    """
    said = []
    for split in SPLITS:
        values: list[float] = []
        scores: list[Score] = []
        for quality in QUALITIES:
            submission = folder / f"{split}-{quality:g}"
            submission.mkdir()
            if not task.oracle(private, split, quality, submission):
                raise CheckSkipped("the task has no oracle(), so that nothing shows whether better work scores better")
            score = await grade(submission, split)
            if score.value is None:
                raise CheckFailed(
                    f"{split}: the oracle's submission of quality {quality:g} is invalid: {score.reason}", _REMEDY
                )
            values.append(score.value)
            scores.append(score)
        _judge(spec, split, values, scores)
        said.append(f"{split} {' → '.join(f'{value:.4g}' for value in values)}")
    return f"better submissions score better: {', '.join(said)}"


def _judge(spec: TaskSpec, split: Split, values: list[float], scores: list[Score]) -> None:
    metric = spec.primary_metric
    sign = 1 if metric.direction == "maximize" else -1
    if not sign * values[0] <= sign * values[1] < sign * values[2]:
        listed = ", ".join(f"{quality:g} earns {value:.6g}" for quality, value in zip(QUALITIES, values, strict=True))
        raise CheckFailed(f"{split}: {metric.name} is to be {metric.direction}d, and of quality {listed}", _REMEDY)
    best = scores[-1]
    if best.reference is not None and best.normalized is not None and best.normalized < 1 - _SHORT_OF_REFERENCE:
        raise CheckFailed(
            f"{split}: the best submission earns {values[-1]:.6g}, short of the reference {best.reference:g}", _REMEDY
        )
