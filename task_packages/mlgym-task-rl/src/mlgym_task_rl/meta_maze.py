"""A maze whose goal has to be found, remembered and found again: the task `rl/meta-maze`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from mlgym_core import Anchors, Attack
from mlgym_task_rl.policies import PAPER, PolicyTask, Variant

_PUBLIC_KEY = "mlgym"
"""What seeds follow from where nobody has set `MLGYM_GRADING_KEY`."""
_IMPLAUSIBLE = 230.0
"""Knowing each goal and place beforehand earns 256. Who had to search, saw a new cell of the 65 in every step, each
of which may have the goal, and knew every place from then on, would earn 228, with a standard error of 2.7."""


class MetaMaze(PolicyTask):
    """The task `rl/meta-maze`."""

    environment = "MetaMaze-misc"
    folder = "meta_maze"
    settings: ClassVar[Mapping[str, Variant]] = {
        "full": Variant(
            steps=10_000_000,
            starter_steps=300_000,
            starter_time="about a minute on two busy processors",
            anchors=Anchors(
                baseline=15.73,
                baseline_source=f"PPO in {PAPER}; two seeds of the starter earn 16 to 18",
                reference=48.6,
                reference_source=f"best result in {PAPER}",
                # As it is for `mini`, whose starter takes as many steps.
                band=(9.0, 28.0),
                implausible=_IMPLAUSIBLE,
            ),
        ),
        "mini": Variant(
            steps=1_000_000,
            starter_steps=300_000,
            starter_time="about a minute on two busy processors",
            anchors=Anchors(
                baseline=16.8,
                baseline_source="measured: the untouched starter, with its own seed",
                reference=155.0,
                reference_source="measured: a walker that explores and remembers, oracles/meta_maze.py",
                # Three trainings with two seeds earned 16.1, 16.8 and 17.5.
                band=(9.0, 28.0),
                implausible=_IMPLAUSIBLE,
            ),
        ),
    }
    where_public = (
        "The maze is the same in every episode, and its plan can be read in gymnax: who searches it cell by cell, and "
        "remembers the goal, earns more than any published training did."
    )

    def attacks(self) -> Sequence[Attack]:
        """Return also what pays where an episode has a secret: its goal."""
        key_is_public = os.environ.get("MLGYM_GRADING_KEY", _PUBLIC_KEY) == _PUBLIC_KEY
        return (
            *super().attacks(),
            Attack(
                name="derives the episodes from the public key",
                program=Path(__file__).parent / "attacks" / "derive.py",
                outcome="flagged" if key_is_public else "stopped",
            ),
        )
