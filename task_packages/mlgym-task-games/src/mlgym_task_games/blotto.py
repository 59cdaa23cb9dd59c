"""Colonel Blotto: two commanders divide their soldiers over several fields."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from mlgym_task_games.matches import MatchGame

SOLDIERS = 120
FIELDS = 6

Allocation = tuple[int, ...]
"""How many soldiers stand on each field."""

_INTEGERS_ONLY = {int}


class Blotto(MatchGame[Allocation]):
    """The task `games/blotto`."""

    title = "Colonel Blotto"
    rules = f"""\
You and the opponent each command {SOLDIERS} soldiers and divide them over {FIELDS} fields. A field is won by whoever
has more soldiers on it; with equally many, by nobody. Whoever wins more fields wins the round.

| outcome of the round | your payoff |
| --- | --- |
| you win more fields than the opponent | +1 |
| you win fewer | −1 |
| as many | 0 |

Soldiers that you leave at home do not fight.
"""
    expected = f"{FIELDS} integers, none negative, that add up to at most {SOLDIERS}"
    move_names = ("your six integers", "the opponent's six integers")
    starter = "blotto.py"
    baseline = -0.248
    reference = 0.2475358
    reference_source = (
        "Best reply: 30 soldiers on each of any four fields. The opponent's allocation does not depend on the history, "
        "so no strategy beats the best fixed allocation. It was found by comparing all divisions of 120 soldiers into "
        "six numbers on one sample of the opponent's allocations; its value is exact, by counting all of the "
        "opponent's draws (mlgym_task_games.derivations)."
    )

    def opponent(self, generator: random.Random) -> Callable[[list[tuple[Allocation, Allocation]]], Allocation]:
        """Return a player who allocates at random: six uniform draws from 0 to 120, scaled to 120 soldiers.

        Scaling rounds down; what is left goes to one random field.
        """
        chance, choices = generator.random, generator.choices
        numbers = range(SOLDIERS + 1)

        def play(history: list[tuple[Allocation, Allocation]]) -> Allocation:
            draws = choices(numbers, k=FIELDS)
            # If all draws are 0, so are the scaled numbers, and the random field gets everybody.
            total = sum(draws) or 1
            allocation = [draw * SOLDIERS // total for draw in draws]
            allocation[int(chance() * FIELDS)] += SOLDIERS - sum(allocation)
            return tuple(allocation)

        return play

    def checked(self, answer: Any) -> Allocation | None:
        """Accept a list of six integers in range."""
        if (
            type(answer) is list
            and len(answer) == FIELDS
            and set(map(type, answer)) == _INTEGERS_ONLY
            and min(answer) >= 0
            and sum(answer) <= SOLDIERS
        ):
            return tuple(answer)
        return None

    def payoff(self, row: Allocation, column: Allocation) -> int:
        """Return 1, 0 or −1: whether the row player won more fields, as many, or fewer."""
        lead = 0
        for own, other in zip(row, column, strict=True):
            if own > other:
                lead += 1
            elif own < other:
                lead -= 1
        return (lead > 0) - (lead < 0)
