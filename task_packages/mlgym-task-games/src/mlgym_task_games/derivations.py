"""How the references were derived. Nothing here takes part in grading.

`python -m mlgym_task_games.derivations` prints them all; it needs numpy and takes about a minute and a half.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from mlgym_task_games.battle_of_sexes import FOLLOWS, OPENING, BattleOfSexes
from mlgym_task_games.blotto import FIELDS, SOLDIERS
from mlgym_task_games.matches import ROUNDS
from mlgym_task_games.prisoners_dilemma import PrisonersDilemma

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Counts = NDArray[numpy.int64]


def battle_of_sexes_optimum() -> float:
    """Return the payoff per round of the best strategy: in each round the best reply to the opponent's mixture."""
    payoffs = BattleOfSexes.payoffs
    totals = []
    for first in (0, 1):
        replies = [FOLLOWS * payoffs[row][first] + (1 - FOLLOWS) * payoffs[row][1 - first] for row in (0, 1)]
        totals.append(payoffs[first][OPENING] + (ROUNDS - 1) * max(replies))
    return max(totals) / ROUNDS


def defection_probability(played: int, row: int, row_before: int, column: int, ever_defected: int) -> float:
    """Return the probability that the opponent in the prisoner's dilemma plays 1.

    Written from the rules of the game, apart from the code that plays them.

    Args:
        played: Rounds that are over; if 0, the other arguments do not matter.
        row: The row player's last move.
        row_before: Its move before that; 0 if there was none.
        column: The opponent's last move.
        ever_defected: Whether the row player has ever played 1.
    """
    if played == 0:
        # 1 is opened with by the random mixer, the one who always defects and the suspicious one; half by each coin.
        return (1 + 1 + 1 + 1 / 2 + 1 / 2) / 11
    twice = row * row_before
    return (
        (1 / 6 + 0.4 * column + 0.1 * (1 - row))  # random mixer
        + row  # tit for tat
        + 0  # always 0
        + 1  # always 1
        + 1 / 2  # coin flip
        + ever_defected  # grim trigger
        + (row != column)  # pavlov
        + twice  # tit for two tats
        + row  # suspicious tit for tat
        + 1 / 2  # coin flip again
        + (row - twice)  # forgiving tit for tat
    ) / 11


def prisoners_dilemma_optimum() -> float:
    """Return the payoff per round of the best strategy, exactly, by dynamic programming from the last round back.

    The opponent looks at nothing but the arguments of `defection_probability`, so a best strategy needs no more.
    """
    payoffs = PrisonersDilemma.payoffs

    @cache
    def worth(played: int, row: int, row_before: int, column: int, ever_defected: int) -> float:
        if played == ROUNDS:
            return 0.0
        defects = defection_probability(played, row, row_before, column, ever_defected)

        def expected(move: int) -> float:
            return sum(
                probability * (payoffs[move][reply] + worth(played + 1, move, row, reply, ever_defected or move))
                for reply, probability in ((0, 1 - defects), (1, defects))
            )

        return max(expected(0), expected(1))

    return worth(0, 0, 0, 0, 0) / ROUNDS


def blotto_value(allocation: tuple[int, ...]) -> float:
    """Return the exact payoff per round of a fixed allocation against the opponent in Colonel Blotto.

    The numbers of soldiers and fields, and the largest number that the opponent draws, are those of the allocation.
    For each sum that the opponent's draws can have, scaling acts on each draw alone, so the draws are counted field
    by field. The field that gets the remainder comes last: it holds whatever the others leave.
    """
    soldiers, fields = sum(allocation), len(allocation)
    lead = sum(
        multiplicity * _lead_with_remainder_on(favoured, rest, soldiers, total)
        for favoured, multiplicity, rest in _favoured(allocation)
        for total in range(1, fields * soldiers + 1)
    )
    # If the opponent draws nothing but zeros, all soldiers are on one field.
    for favoured, multiplicity, rest in _favoured(allocation):
        lead += multiplicity * _sign(sum(map(_sign, rest)) + _sign(favoured - soldiers))
    cases: int = fields * (soldiers + 1) ** fields
    return lead / cases


def _favoured(allocation: tuple[int, ...]) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """Yield each distinct entry of an allocation, how often it occurs, and the others."""
    for favoured, multiplicity in Counter(allocation).items():
        rest = list(allocation)
        rest.remove(favoured)
        yield favoured, multiplicity, tuple(rest)


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)


def _lead_with_remainder_on(favoured: int, rest: tuple[int, ...], soldiers: int, total: int) -> int:
    """Return how many more draws with this total are won than lost if the remainder is on the favoured field.

    What is counted is indexed by the sum of the draws so far, by how many soldiers rounding has lost so far
    compared with scaling the sum, and by the lead in fields.
    """
    import numpy as np

    fields = len(rest) + 1
    sums = np.arange(min(total, len(rest) * soldiers) + 1)
    counts = np.zeros((len(sums), fields, 2 * fields + 1), dtype=np.int64)
    counts[0, 0, fields] = 1
    for own in rest:
        counts = _with_field(counts, own, soldiers, total)
    lead = 0
    possible = total - sums <= soldiers
    leads = np.arange(-fields, fields + 1)
    for lost in range(fields):
        last = soldiers - (soldiers * sums // total - lost)
        outcome = np.sign(leads + np.sign(favoured - last)[:, None])
        lead += int((counts[:, lost] * outcome)[possible].sum())
    return lead


def _with_field(counts: Counts, own: int, soldiers: int, total: int) -> Counts:
    """Return the counts after one more field, on which we have `own` soldiers."""
    import numpy as np

    result = np.zeros_like(counts)
    length = len(counts)
    fractions = soldiers * np.arange(length) % total
    for draw in range(min(soldiers, length - 1) + 1):
        loses = fractions[: length - draw] + soldiers * draw % total >= total
        step = _sign(own - soldiers * draw // total)
        source = np.roll(counts[: length - draw], step, axis=2)
        result[draw:] += np.where(loses[:, None, None], 0, source)
        result[draw:, 1:] += np.where(loses[:, None, None], source, 0)[:, :-1]
    return result


def blotto_sample(size: int, seed: int) -> NDArray[Any]:
    """Return allocations of the opponent in Colonel Blotto, of shape `(size, 6)`."""
    import numpy as np

    generator = np.random.default_rng(seed)
    draws = generator.integers(0, SOLDIERS + 1, (size, FIELDS))
    allocations = draws * SOLDIERS // np.maximum(draws.sum(axis=1, keepdims=True), 1)
    allocations[np.arange(size), generator.integers(0, FIELDS, size)] += SOLDIERS - allocations.sum(axis=1)
    sample: NDArray[Any] = allocations.astype(np.int8)
    return sample


def best_blotto_allocation(size: int, seed: int) -> tuple[tuple[int, ...], float]:
    """Return the best of all allocations on one sample of the opponent's, and what it earns there per round.

    The opponent treats all fields alike, so it is enough to look at allocations in ascending order.
    """
    import numpy as np

    sample = blotto_sample(size, seed)
    soldiers = np.arange(SOLDIERS + 1)[:, None]
    won = [np.sign(soldiers - sample[:, field]).astype(np.int8) for field in range(FIELDS)]
    best: tuple[tuple[int, ...], float] = ((), -1.0)

    def extend(prefix: tuple[int, ...], lead: NDArray[Any]) -> None:
        nonlocal best
        field, left = len(prefix), SOLDIERS - sum(prefix)
        lowest = prefix[-1] if prefix else 0
        if field < FIELDS - 2:
            for number in range(lowest, left // (FIELDS - field) + 1):
                extend((*prefix, number), lead + won[field][number])
            return
        numbers = np.arange(lowest, left // 2 + 1)
        leads = lead + won[-2][numbers] + won[-1][left - numbers]
        values = (np.count_nonzero(leads > 0, axis=1) - np.count_nonzero(leads < 0, axis=1)) / size
        top = int(values.argmax())
        if values[top] > best[1]:
            best = (*prefix, int(numbers[top]), int(left - numbers[top])), float(values[top])

    extend((), np.zeros(size, dtype=np.int8))
    return best


if __name__ == "__main__":
    print(f"battle of the sexes: {battle_of_sexes_optimum():.7f}")
    print(f"prisoner's dilemma: {prisoners_dilemma_optimum():.7f}")
    allocation, estimate = best_blotto_allocation(size=100_000, seed=0)
    print(f"blotto: {allocation}, {estimate:.4f} on the sample, {blotto_value(allocation):.7f} exactly")
