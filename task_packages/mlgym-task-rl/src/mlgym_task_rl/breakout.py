"""A ball that breaks bricks, and a paddle that keeps it in play: the task `rl/breakout-minatar`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from mlgym_core import Anchors
from mlgym_task_rl.policies import PAPER, PolicyTask, Variant


class Breakout(PolicyTask):
    """The task `rl/breakout-minatar`."""

    environment = "Breakout-MinAtar"
    folder = "breakout"
    settings: ClassVar[Mapping[str, Variant]] = {
        "full": Variant(
            steps=10_000_000,
            starter_steps=1_000_000,
            starter_time="about four minutes on two busy processors",
            anchors=Anchors(
                baseline=48.82,
                baseline_source=f"PPO in {PAPER}",
                reference=71.4,
                reference_source=f"best result in {PAPER}",
                band=(20.0, 75.0),
            ),
        ),
        "mini": Variant(
            steps=2_000_000,
            starter_steps=500_000,
            starter_time="about a minute on two busy processors",
            anchors=Anchors(
                baseline=10.0,
                baseline_source="measured: the untouched starter, with its own seed",
                reference=84.0,
                reference_source="measured: a paddle that follows the ball, oracles/breakout.py",
                band=(4.0, 60.0),
            ),
        ),
    }
    where_public = (
        "How to play it is plain: a paddle that is always below the ball keeps it in play to the end, and earns more "
        "than any published training did."
    )
