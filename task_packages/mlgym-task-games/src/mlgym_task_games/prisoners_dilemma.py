"""The iterated prisoner's dilemma against an opponent who follows another rule in every round."""

from __future__ import annotations

import random
from collections.abc import Callable

from mlgym_task_games.matches import MatrixGame

History = list[tuple[int, int]]
"""Rounds of a match, oldest first: the row player's move, then the opponent's."""
Rule = Callable[[History, float], int]
"""From the history and a number drawn uniformly from [0, 1) to the opponent's move."""


def random_mixer(history: History, draw: float) -> int:
    """Open with 1; then 0 (1/3), 1 (1/6), its own last move (0.4) or the opposite of the row player's (0.1)."""
    if not history:
        return 1
    if draw < 1 / 3:
        return 0
    if draw < 1 / 2:
        return 1
    row, own = history[-1]
    return own if draw < 0.9 else 1 - row


def tit_for_tat(history: History, draw: float) -> int:
    """Open with 0, then repeat the row player's last move."""
    return history[-1][0] if history else 0


def always_cooperate(history: History, draw: float) -> int:
    """Play 0."""
    return 0


def always_defect(history: History, draw: float) -> int:
    """Play 1."""
    return 1


def coin_flip(history: History, draw: float) -> int:
    """Play 0 or 1 with equal probability."""
    return int(draw < 0.5)


def grim_trigger(history: History, draw: float) -> int:
    """Play 0 until the row player has played 1, and 1 from then on."""
    return int(any(row for row, _ in history))


def pavlov(history: History, draw: float) -> int:
    """Open with 0; then play 0 if both played the same in the last round, else 1."""
    return int(history[-1][0] != history[-1][1]) if history else 0


def tit_for_two_tats(history: History, draw: float) -> int:
    """Play 1 only if the row player did so in both of the last two rounds."""
    return int(len(history) >= 2 and history[-1][0] == 1 and history[-2][0] == 1)


def suspicious_tit_for_tat(history: History, draw: float) -> int:
    """Open with 1, then repeat the row player's last move."""
    return history[-1][0] if history else 1


def forgiving_tit_for_tat(history: History, draw: float) -> int:
    """Repeat the row player's last move, but open with 0 and forgive two defections in a row."""
    if not history or tit_for_two_tats(history, draw):
        return 0
    return history[-1][0]


RULES: tuple[Rule, ...] = (
    random_mixer,
    tit_for_tat,
    always_cooperate,
    always_defect,
    coin_flip,
    grim_trigger,
    pavlov,
    tit_for_two_tats,
    suspicious_tit_for_tat,
    coin_flip,
    forgiving_tit_for_tat,
)
"""The rules that the opponent chooses from uniformly in every round. The coin flip counts twice."""


class PrisonersDilemma(MatrixGame):
    """The task `games/prisoners-dilemma`."""

    title = "Iterated prisoner's dilemma"
    rules = """\
In every round each player either cooperates (`0`) or defects (`1`). Whatever the other does, defecting earns more in
that round; but both earn more if both cooperate than if both defect.

| you | opponent | your payoff | opponent's payoff |
| --- | --- | --- | --- |
| 0 | 0 | 3 | 3 |
| 0 | 1 | 0 | 5 |
| 1 | 0 | 5 | 0 |
| 1 | 1 | 1 | 1 |
"""
    starter = "prisoners_dilemma.py"
    payoffs = ((3, 0), (5, 1))
    baseline = 2.372
    reference = 2.6251486
    reference_source = (
        "Optimum, by dynamic programming over what the opponent's rules depend on (mlgym_task_games.derivations): "
        "always defect."
    )

    def opponent(self, generator: random.Random) -> Callable[[History], int]:
        """Return a player who draws one of the rules anew in every round and does what it says."""
        chance = generator.random
        count = len(RULES)

        def play(history: History) -> int:
            rule = RULES[int(chance() * count)]
            return rule(history, chance())

        return play
