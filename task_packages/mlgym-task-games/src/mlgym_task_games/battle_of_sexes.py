"""Battle of the sexes: both want to meet, each at a place of their own liking."""

from __future__ import annotations

import random
from collections.abc import Callable

from mlgym_task_games.matches import MatrixGame

OPENING = 1
"""The opponent's move in the first round: the place that it likes better."""
FOLLOWS = 0.8
"""Probability with which it plays the row player's first move in every later round; otherwise it plays the other."""


class BattleOfSexes(MatrixGame):
    """The task `games/battle-of-sexes`."""

    title = "Battle of the sexes"
    rules = """\
Two people have agreed to spend the evening together but not where, and cannot talk. You like place `0` better, the
opponent likes place `1` better, and both would rather be together at the wrong place than alone at the right one.

| you | opponent | your payoff | opponent's payoff |
| --- | --- | --- | --- |
| 0 | 0 | 2 | 1 |
| 1 | 1 | 1 | 2 |
| 0 | 1 | 0 | 0 |
| 1 | 0 | 0 | 0 |
"""
    starter = "battle_of_sexes.py"
    payoffs = ((2, 0), (0, 1))
    baseline = 1.023
    reference = 1.44
    reference_source = (
        "Optimum. After an opening 0 the opponent plays 0 with probability 0.8 for the rest of the match, so that "
        "keeping to 0 earns 0 once and 9 times 0.8 * 2: 14.4 in ten rounds. After an opening 1 no reply earns more "
        "than 1 once and 9 times 0.8."
    )

    def opponent(self, generator: random.Random) -> Callable[[list[tuple[int, int]]], int]:
        """Return a player who opens with its favourite, then mostly goes where the row player went first."""
        chance = generator.random

        def play(history: list[tuple[int, int]]) -> int:
            draw = chance()
            if not history:
                return OPENING
            first = history[0][0]
            return first if draw < FOLLOWS else 1 - first

        return play
