"""What counts as an answer of policies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlgym_task_rl.actions import ActionSpace, IllegalActions

FORCE = ActionSpace(-1.0, 1.0, is_discrete=False)
MOVE = ActionSpace(0, 2, is_discrete=True)


@pytest.mark.parametrize("answer", [[[0, 1.0], [-1, -0.5]], [[0.0, -0.0], [1e-300, True and 1]]])
def test_numbers_in_range_are_forces(answer: Any) -> None:
    FORCE.check(answer, 2, 2)


def test_integers_in_range_are_moves() -> None:
    MOVE.check([[0, 1], [2, 2]], 2, 2)


@pytest.mark.parametrize(
    ("space", "answer", "said"),
    [
        (FORCE, None, "None; expected 2 lists, one for each policy"),
        (FORCE, 0.5, "0.5; expected 2 lists"),
        (FORCE, {"0": [0, 0]}, "expected 2 lists"),
        (FORCE, [[0, 0]], "a list of 1; expected 2 lists"),
        (FORCE, [[0, 0], [0]], "a list of 1 for policy 1; expected 2 numbers, one for each episode"),
        (FORCE, [[0, 0], "00"], "'00' for policy 1; expected 2 numbers"),
        (FORCE, [[0, 0], [0, [0]]], "a list of 1 for policy 1 in episode 1; expected a number from -1 to 1"),
        (FORCE, [[0, float("nan")], [0, 0]], "nan for policy 0 in episode 1"),
        (FORCE, [[0, float("inf")], [0, 0]], "inf for policy 0 in episode 1"),
        (FORCE, [[0, 1.0000001], [0, 0]], "1.0000001 for policy 0 in episode 1"),
        (FORCE, [[0, 10**5000], [0, 0]], "an integer out of range for policy 0 in episode 1"),
        (FORCE, [[0, True], [0, 0]], "True for policy 0 in episode 1"),
        (FORCE, [[0, "1"], [0, 0]], "'1' for policy 0 in episode 1"),
        (FORCE, [[0, None], [0, 0]], "None for policy 0 in episode 1"),
        (MOVE, [[0, 1.0], [0, 0]], "1.0 for policy 0 in episode 1; expected an integer from 0 to 2"),
        (MOVE, [[0, 3], [0, 0]], "3 for policy 0 in episode 1"),
        (MOVE, [[0, -1], [0, 0]], "-1 for policy 0 in episode 1"),
    ],
)
def test_anything_else_is_illegal_and_says_where(space: ActionSpace, answer: Any, said: str) -> None:
    with pytest.raises(IllegalActions) as raised:
        space.check(answer, 2, 2)
    assert said in str(raised.value)


def test_what_json_makes_of_numbers_that_are_none_is_illegal() -> None:
    for text in ("NaN", "Infinity", "-Infinity", "1e999", "1" * 300):
        with pytest.raises(IllegalActions):
            FORCE.check(json.loads(f"[[{text}]]"), 1, 1)
