"""The opponents play by their rules."""

from __future__ import annotations

import random
from collections import Counter
from itertools import product
from typing import Any

import pytest

from mlgym_task_games import prisoners_dilemma as dilemma
from mlgym_task_games.battle_of_sexes import BattleOfSexes
from mlgym_task_games.blotto import Blotto
from mlgym_task_games.derivations import blotto_sample, defection_probability
from mlgym_task_games.prisoners_dilemma import PrisonersDilemma

DRAWS = 20_000
TOLERANCE = 0.016
"""More than four standard errors of a frequency of one half in 20,000 draws."""


def frequency_of_one(play: Any, history: list[tuple[int, int]]) -> float:
    """Return how often a player answers the history with 1."""
    ones: int = sum(play(history) for _ in range(DRAWS))
    return ones / DRAWS


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([], 1.0),
        ([(0, 1)], 0.2),
        ([(1, 1)], 0.8),
        ([(0, 1), (1, 1), (1, 0)], 0.2),
        ([(1, 1), (0, 0), (0, 1)], 0.8),
    ],
)
def test_battle_of_sexes_follows_the_first_move(history: list[tuple[int, int]], expected: float) -> None:
    play = BattleOfSexes().opponent(random.Random(1))
    assert frequency_of_one(play, history) == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize(
    ("rule", "opening", "answers"),
    [
        # The answers to: cooperated twice; defected, cooperated; cooperated, defected; defected twice, the opponent
        # having played 0 throughout; then the same with the opponent having played 1 throughout.
        (dilemma.tit_for_tat, 0, "0011 0011"),
        (dilemma.always_cooperate, 0, "0000 0000"),
        (dilemma.always_defect, 1, "1111 1111"),
        (dilemma.grim_trigger, 0, "0111 0111"),
        (dilemma.pavlov, 0, "0011 1100"),
        (dilemma.tit_for_two_tats, 0, "0001 0001"),
        (dilemma.suspicious_tit_for_tat, 1, "0011 0011"),
        (dilemma.forgiving_tit_for_tat, 0, "0010 0010"),
    ],
)
def test_rules_without_chance(rule: dilemma.Rule, opening: int, answers: str) -> None:
    assert rule([], 0.5) == opening
    rows = [(0, 0), (1, 0), (0, 1), (1, 1)]
    histories = [[(before, column), (last, column)] for column in (0, 1) for before, last in rows]
    assert [rule(history, 0.5) for history in histories] == [int(answer) for answer in answers.replace(" ", "")]


def test_rules_in_the_second_round() -> None:
    assert dilemma.tit_for_two_tats([(1, 0)], 0.5) == 0
    assert dilemma.forgiving_tit_for_tat([(1, 0)], 0.5) == 1


def test_grim_trigger_looks_at_the_row_player_alone_and_never_forgets() -> None:
    assert dilemma.grim_trigger([(0, 1)] * 9, 0.5) == 0
    assert dilemma.grim_trigger([(1, 0)] + [(0, 0)] * 8, 0.5) == 1


@pytest.mark.parametrize(
    ("last", "expected"),
    [((0, 0), 1 / 6 + 0.1), ((0, 1), 1 / 6 + 0.5), ((1, 0), 1 / 6), ((1, 1), 1 / 6 + 0.4)],
)
def test_random_mixer(last: tuple[int, int], expected: float) -> None:
    assert dilemma.random_mixer([], 0.0) == 1
    answers = [dilemma.random_mixer([last], (draw + 0.5) / 10_000) for draw in range(10_000)]
    assert sum(answers) / len(answers) == pytest.approx(expected, abs=2e-4)


def test_eleven_rules_with_two_coin_flips() -> None:
    assert len(dilemma.RULES) == 11
    assert Counter(dilemma.RULES)[dilemma.coin_flip] == 2


@pytest.mark.parametrize("rows", [(), (0,), (1,), *product((0, 1), repeat=2), (1, 0, 0), (1, 1, 0), (0, 1, 1)])
@pytest.mark.parametrize("column", [0, 1])
def test_dilemma_plays_as_often_as_the_derivation_of_its_optimum_assumes(rows: tuple[int, ...], column: int) -> None:
    play = PrisonersDilemma().opponent(random.Random(2))
    row = rows[-1] if rows else 0
    row_before = rows[-2] if len(rows) > 1 else 0
    expected = defection_probability(len(rows), row, row_before, column, int(any(rows)))
    assert frequency_of_one(play, [(move, column) for move in rows]) == pytest.approx(expected, abs=TOLERANCE)


def test_blotto_divides_all_soldiers_as_the_derivation_assumes() -> None:
    play = Blotto().opponent(random.Random(3))
    allocations = [play([]) for _ in range(DRAWS)]
    assert all(sum(allocation) == 120 and min(allocation) >= 0 and len(allocation) == 6 for allocation in allocations)
    sample = blotto_sample(200_000, seed=3)
    assert (sample.sum(axis=1) == 120).all()
    for field, limit in product(range(6), (0, 5, 10, 20, 30, 40)):
        frequency = sum(allocation[field] <= limit for allocation in allocations) / DRAWS
        assert frequency == pytest.approx((sample[:, field] <= limit).mean(), abs=TOLERANCE)


def test_blotto_gives_everybody_to_one_field_if_all_draws_are_zero() -> None:
    class OnlyZeros(random.Random):
        def random(self) -> float:
            return 0.0

    assert Blotto().opponent(OnlyZeros())([]) == (120, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("game", [BattleOfSexes, PrisonersDilemma])
def test_luck_does_not_depend_on_what_is_played(game: type[BattleOfSexes] | type[PrisonersDilemma]) -> None:
    first, second = random.Random(4), random.Random(4)
    play_first, play_second = game().opponent(first), game().opponent(second)
    for rounds in range(200):
        play_first([(0, 0)] * (rounds % 10))
        play_second([(1, 1)] * (rounds % 10))
    assert first.getstate() == second.getstate()
