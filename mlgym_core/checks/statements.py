"""What a task says of itself: its description and the ends of its scale."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from mlgym_core.checks.findings import CheckFailed
from mlgym_core.interfaces import Anchors, Task
from mlgym_core.specs import Direction, TaskSpec
from mlgym_core.types import Split

SPLITS: tuple[Split, ...] = ("validation", "test")
_FEWEST_WORDS = 10
"""Of the description's prose before its first list, table or section."""
_LIMIT = re.compile(r"limit|at most|may take|may have|no more than", re.IGNORECASE)


def check_description(spec: TaskSpec, task: Task) -> str:
    """Check that a description has a goal, the submission format, the metric with its direction, and limits."""
    text = task.description()
    wanted = {
        "the primary metric": spec.primary_metric.name,
        **{f"the submission file {file.path}": file.path for file in task.submission_files()},
    }
    if task.baseline_script is not None:
        wanted["the baseline's script"] = task.baseline_script
    missing = [what for what, word in wanted.items() if word not in text]
    direction = spec.primary_metric.direction.removesuffix("imize")
    if direction not in text.lower() and {"max": "higher", "min": "lower"}[direction] not in text.lower():
        missing.append(f"whether the metric is {spec.primary_metric.direction}d")
    if not text.startswith("# ") or len(_opening(text).split()) < _FEWEST_WORDS:
        missing.append("the goal: a title, then what it is about in a sentence or two")
    if not _LIMIT.search(text):
        missing.append("what is limited, such as validations or the time of a call")
    if missing:
        raise CheckFailed(f"it does not say {', '.join(missing)}", "Say so in the task's description().")
    if task.answers_public and not task.contamination():
        raise CheckFailed("the answers are public, and nothing says where", "Say so in the task's contamination().")
    return f"{len(text.split())} words"


def _opening(text: str) -> str:
    """Return what stands between the title and the first section."""
    return re.split(r"^#", text.partition("\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def check_files_are_described(task: Task, public: Path) -> str:
    """Check that a description names what lies in the workspace."""
    text = task.description()
    names = sorted(path.name for path in public.iterdir() if path.name not in ("README.md", "README"))
    missing = [name for name in names if name not in text]
    if missing:
        raise CheckFailed(
            f"the workspace has {', '.join(missing[:5])}, of which the description says nothing",
            "Say what each file or folder is in the task's description().",
        )
    return f"the description names all of {_listed(names)}" if names else "the workspace is empty"


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown) if len(shown) <= 6 else f"{len(shown)} files and folders"


def check_anchors(spec: TaskSpec, task: Task) -> str:
    """Check that the ends of the scale are stated, with their sources, and that the reference is the better one."""
    direction = spec.primary_metric.direction
    for split in SPLITS:
        anchors = task.anchors(split)
        if anchors.reference is None and anchors.scale is None and anchors.optimum is None:
            raise CheckFailed(f"{split}: neither a reference nor a scale", "State one in the task's anchors().")
        if not anchors.baseline_source or (anchors.reference is not None and not anchors.reference_source):
            raise CheckFailed(f"{split}: a number without a source", "State the sources in the task's anchors().")
        if anchors.reference is not None and anchors.reference == anchors.baseline:
            raise CheckFailed(f"{split}: baseline and reference are equal", "A scale needs two ends; see anchors().")
        if anchors.scale is not None and anchors.scale <= 0:
            raise CheckFailed(
                f"{split}: the scale {anchors.scale:g} is not positive", "State a difference in anchors()."
            )
        if anchors.reference is not None and not _is_better(anchors.reference, anchors, direction):
            raise CheckFailed(
                f"{split}: {spec.primary_metric.name} is to be {direction}d, and the reference {anchors.reference:g} "
                f"is worse than the baseline {anchors.baseline:g}",
                "Mend the direction of the metric in the spec, or the task's anchors().",
            )
    anchors = task.anchors("test")
    reference = "none" if anchors.reference is None else f"{anchors.reference:g}"
    return f"baseline {anchors.baseline:g}, reference {reference}"


def _is_better(value: float, anchors: Anchors, direction: Direction) -> bool:
    """Whether a value is better than the baseline."""
    if anchors.optimum is not None:
        return abs(value - anchors.optimum) < abs(anchors.baseline - anchors.optimum)
    return value > anchors.baseline if direction == "maximize" else value < anchors.baseline
