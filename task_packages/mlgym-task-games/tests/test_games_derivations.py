"""The references are what the derivations give, and the derivations are right."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from mlgym_task_games.battle_of_sexes import BattleOfSexes
from mlgym_task_games.blotto import Blotto
from mlgym_task_games.derivations import (
    battle_of_sexes_optimum,
    best_blotto_allocation,
    blotto_sample,
    blotto_value,
    prisoners_dilemma_optimum,
)
from mlgym_task_games.prisoners_dilemma import PrisonersDilemma


def test_battle_of_sexes() -> None:
    assert battle_of_sexes_optimum() == pytest.approx(BattleOfSexes.reference, abs=1e-9)


def test_prisoners_dilemma() -> None:
    assert prisoners_dilemma_optimum() == pytest.approx(PrisonersDilemma.reference, abs=1e-6)


def test_best_blotto_allocation_leaves_two_fields_empty() -> None:
    # A sample of this size does not tell 30 soldiers from 29 or 31, but all 436,140 allocations are compared on it.
    allocation, value = best_blotto_allocation(size=8_000, seed=0)
    assert allocation[:2] == (0, 0)
    assert allocation[2:] == pytest.approx((30, 30, 30, 30), abs=2)
    assert value == pytest.approx(Blotto.reference, abs=0.03)


def test_blotto_reference_is_the_best_of_its_neighbourhood() -> None:
    sample = blotto_sample(1_000_000, seed=1)

    def value(*allocation: int) -> float:
        lead = np.sign(np.array(allocation, dtype=np.int8) - sample).sum(axis=1, dtype=np.int8)
        return float(np.sign(lead).mean())

    best = value(0, 0, 30, 30, 30, 30)
    # Four standard errors: a round has a standard deviation below 1.
    assert best == pytest.approx(Blotto.reference, abs=0.004)
    assert value(0, 0, 29, 30, 30, 31) < best
    assert value(0, 1, 29, 30, 30, 30) < best


@pytest.mark.parametrize("allocation", [(0, 3, 3), (2, 2, 2), (6, 0, 0), (1, 2, 3), (0, 0, 2, 2), (1, 1, 1, 1)])
def test_blotto_value_equals_that_of_all_draws_gone_through(allocation: tuple[int, ...]) -> None:
    soldiers, fields = sum(allocation), len(allocation)
    lead = 0
    for draws in product(range(soldiers + 1), repeat=fields):
        total = sum(draws) or 1
        scaled = [draw * soldiers // total for draw in draws]
        for favoured in range(fields):
            opponent = list(scaled)
            opponent[favoured] += soldiers - sum(scaled)
            won = sum(int(np.sign(own - other)) for own, other in zip(allocation, opponent, strict=True))
            lead += int(np.sign(won))
    assert blotto_value(allocation) == pytest.approx(lead / (fields * (soldiers + 1) ** fields), abs=1e-12)
