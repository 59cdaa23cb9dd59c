"""What prompts of the users are rendered with on trial, before anything is played."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlgym_core import Limits, TaskView

_NODE = {"number": 1, "kind": "draft", "parent": 0, "plan": "A plan.", "score": 0.5, "problem": "It failed."}

SAMPLES: Mapping[str, Any] = {
    "task": TaskView(
        id="some/task",
        variant="full",
        description="A description.",
        metric="accuracy",
        direction="maximize",
        baseline=0.25,
        submission_files=("submission.csv", "model.py", "weights.npz"),
        baseline_script="baseline.py",
    ),
    "limits": Limits(
        max_time=3600.0, max_working_time=3600.0, max_processor_time=3600.0, max_cost=1.0, max_tokens=1000
    ),
    "tools": ["bash", "read_file", "write_file", "edit_file", "validate", "submit"],
    "left": ["50 steps", "20 validations", "60 min", "60 min of working time", "1.00 USD", "1,000 tokens"],
    "outputs": 5,
    "cut_off": True,
    "problem": "There is no block.",
    "workspace": "== baseline.py, 10 bytes",
    "nodes": [_NODE, {**_NODE, "number": 2, "kind": "improve", "parent": 1}],
    "best": 1,
    "parent": {**_NODE, "files": {"solve.py": "print(1)"}, "output": "1"},
}
"""A value of each variable, with all that it may have: a prompt that fits some tasks only is no broken one."""


def variants(samples: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield samples for answers that were cut off, and for others: reminders say something else to each."""
    yield {**samples, "cut_off": True}
    yield {**samples, "cut_off": False}
