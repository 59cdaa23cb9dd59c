"""The solver finds what is true, asks for decisions when it should, and tells the heuristic where it stands."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest

from mlgym_task_algorithms import solver
from mlgym_task_algorithms.instances import draw_clauses, is_satisfiable
from mlgym_task_algorithms.solver import (
    Clause,
    Decide,
    IllegalDecision,
    Instance,
    Outcome,
    read_instance,
    satisfies,
    solve,
)

State = tuple[dict[int, bool], dict[int, int], list[int], list[list[int]]]

EVERY_SIGN = [[sign_1, 2 * sign_2, 3 * sign_3] for sign_1, sign_2, sign_3 in product((1, -1), repeat=3)]
"""All clauses over three variables: unsatisfiable, and any seven of them are not."""


def instance(variables: int, clauses: list[Clause]) -> Instance:
    return Instance(variables, clauses, is_satisfiable(clauses))


def random_decisions(variables: int, seed: int) -> Decide:
    generator = random.Random(seed)

    def decide(assignments: dict[int, bool], *_: Any) -> tuple[int, bool]:
        free = [variable for variable in range(1, variables + 1) if variable not in assignments]
        return generator.choice(free), generator.random() < 0.5

    return decide


def plain_search(variables: int, clauses: list[Clause], decide: Decide) -> tuple[bool, list[State]]:
    """Search as the description says, by recursion and by looking at all clauses; return all that `decide` was shown.

    Propagation takes clauses in another order than the solver does, so only what does not depend on it is comparable.
    """
    shown: list[State] = []
    conflict_count = dict.fromkeys(range(1, variables + 1), 0)

    def propagated(assignments: dict[int, bool], literal: int) -> dict[int, bool] | None:
        assignments = {**assignments, abs(literal): literal > 0}
        while True:
            left = [
                [literal for literal in clause if abs(literal) not in assignments]
                for clause in clauses
                if not any(assignments.get(abs(literal)) == (literal > 0) for literal in clause)
            ]
            if [] in left:
                return None
            units = [literals[0] for literals in left if len(literals) == 1]
            if not units:
                return assignments
            assignments[abs(units[0])] = units[0] > 0

    def search(assignments: dict[int, bool], levels: list[list[int]]) -> bool:
        if len(assignments) == variables:
            return True
        shown.append((dict(assignments), dict(conflict_count), list(assignments), levels))
        variable, value = decide(assignments, conflict_count, list(assignments), levels)
        for literal in (variable, -variable) if value else (-variable, variable):
            extended = propagated(assignments, literal)
            if extended is not None and search(extended, [*levels, [v for v in extended if v not in assignments]]):
                return True
        return False

    return search({}, []), shown


@pytest.mark.parametrize("seed", range(40))
def test_searches_as_described(seed: int) -> None:
    generator = random.Random(seed)
    variables = generator.randrange(4, 25)
    clauses = draw_clauses(variables, generator)
    seen: list[State] = []
    decide = random_decisions(variables, seed)

    def observed(*state: Any) -> Any:
        assignments, conflict_count, history, levels = state
        seen.append((dict(assignments), dict(conflict_count), history[:], [level[:] for level in levels]))
        return decide(*state)

    outcome = solve(instance(variables, clauses), observed, 10**6)
    satisfiable, expected = plain_search(variables, clauses, random_decisions(variables, seed))
    assert outcome.satisfiable == satisfiable == is_satisfiable(clauses)
    assert outcome.decisions == len(seen) == len(expected)
    for (assignments, _, history, levels), (known, _, _, known_levels) in zip(seen, expected, strict=True):
        assert assignments == known
        assert [set(level) for level in levels] == [set(level) for level in known_levels]
        assert [level[0] for level in levels] == [level[0] for level in known_levels]
        assert [variable for level in levels for variable in level] == history
        assert history == list(assignments)


@pytest.mark.parametrize("seed", range(5))
def test_each_conflict_counts_for_the_three_variables_of_its_clause(seed: int) -> None:
    clauses = draw_clauses(40, random.Random(seed))
    counts: list[dict[int, int]] = []
    decide = random_decisions(40, seed)

    def observed(*state: Any) -> Any:
        counts.append(dict(state[1]))
        return decide(*state)

    outcome = solve(instance(40, clauses), observed, 10**6)
    assert outcome.conflicts > 3
    assert counts[0] == dict.fromkeys(range(1, 41), 0)
    assert sum(counts[-1].values()) % 3 == 0
    assert 0 < sum(counts[-1].values()) <= 3 * outcome.conflicts
    assert all(list(before) == list(after) for before, after in pairwise(counts))
    assert all(before[v] <= after[v] for before, after in pairwise(counts) for v in before)


def test_conflict_count_by_hand() -> None:
    # Deciding 1 and 2 makes 3 and -3 follow: a conflict; the same with 1 and -2, and, after the level of 1 was turned
    # around, once more for either value of 2.
    counts: list[dict[int, int]] = []

    def first_free(assignments: dict[int, bool], conflict_count: dict[int, int], *_: Any) -> tuple[int, bool]:
        counts.append(dict(conflict_count))
        return next(variable for variable in (1, 2, 3) if variable not in assignments), True

    assert solve(instance(3, EVERY_SIGN), first_free, 100) == Outcome(False, 3, 4)
    assert counts == [{1: 0, 2: 0, 3: 0}, {1: 0, 2: 0, 3: 0}, {1: 2, 2: 2, 3: 2}]


def test_the_level_that_is_turned_around_begins_with_its_variable() -> None:
    seen: list[State] = []

    def decide(*state: Any) -> tuple[int, bool]:
        assignments, conflict_count, history, levels = state
        seen.append((dict(assignments), dict(conflict_count), history[:], [level[:] for level in levels]))
        return next(variable for variable in (4, 1, 2, 3) if variable not in assignments), bool(assignments)

    # With 1 true there is a conflict whatever 2 is, so 1 becomes false; 4 has nothing to do with it.
    outcome = solve(instance(4, [clause for clause in EVERY_SIGN if clause[0] == -1]), decide, 100)
    assert outcome == Outcome(True, 5, 2)
    assert [state[0] for state in seen[2:4]] == [{4: False, 1: True}, {4: False, 1: False}]
    assert [state[1] for state in seen[2:4]] == [dict.fromkeys((1, 2, 3, 4), 0), {1: 2, 2: 2, 3: 2, 4: 0}]
    assert [state[3] for state in seen] == [[], [[4]], [[4], [1]], [[4], [1]], [[4], [1], [2]]]


def test_gives_up_after_so_many_decisions() -> None:
    clauses = draw_clauses(60, random.Random(3))
    calls = 0

    def decide(assignments: dict[int, bool], *_: Any) -> tuple[int, bool]:
        nonlocal calls
        calls += 1
        return next(variable for variable in range(1, 61) if variable not in assignments), True

    full = solve(instance(60, clauses), decide, 10**6)
    assert full.satisfiable is not None
    assert full.decisions == calls > 50
    assert solve(instance(60, clauses), decide, full.decisions) == full
    calls = 0
    assert solve(instance(60, clauses), decide, full.decisions - 1).satisfiable is None
    assert calls == full.decisions - 1


def test_variables_without_clauses_are_assigned_too() -> None:
    decisions = []

    def decide(assignments: dict[int, bool], *_: Any) -> list[Any]:
        decisions.append(dict(assignments))
        return [next(variable for variable in range(5, 0, -1) if variable not in assignments), 0]

    assert solve(instance(5, [[1, 2, 3]]), decide, 10) == Outcome(True, 4, 0)
    assert decisions[-1] == {5: False, 4: False, 3: False}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (None, "None; expected a pair"),
        (3, "3; expected a pair"),
        ([], "[]; expected"),
        ([3], "[3]; expected"),
        ([3, True, True], "[3, True, True]; expected"),
        ([True, True], "[True, True]; expected"),
        ([3.0, True], "[3.0, True]; expected"),
        (["3", True], "['3', True]; expected"),
        ([0, True], "[0, True]; expected"),
        ([-3, True], "[-3, True]; expected"),
        ([6, True], "[6, True]; expected"),
        ([10**4000, True], "expected"),
        ([float("nan"), True], "[nan, True]; expected"),
        ([3, None], "[3, None]; expected"),
        ([3, 2], "[3, 2]; expected"),
        ([3, -1], "[3, -1]; expected"),
        ([3, 1.0], "[3, 1.0]; expected"),
        ([3, "True"], "[3, 'True']; expected"),
        ([[3], True], "[[3], True]; expected"),
        ("3T", "'3T'; expected"),
        ({"3": True, "4": True}, "expected"),
        ([[[[[]]]]] * 10**5, "expected"),
        ([5, True], "[5, True], but variable 5 is assigned already; expected a pair"),
    ],
)
def test_what_is_no_decision_is_refused(answer: Any, says: str) -> None:
    answers = iter([(5, False), answer])
    with pytest.raises(IllegalDecision) as caught:
        solve(instance(5, [[1, 2, 3]]), lambda *_: next(answers), 10)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("pair", [list, tuple])
@pytest.mark.parametrize(("value", "expected"), [(True, True), (False, False), (1, True), (0, False)])
def test_what_is_a_decision(pair: Callable[[Any], Any], value: Any, expected: bool) -> None:
    seen = []

    def decide(assignments: dict[int, bool], *_: Any) -> Any:
        seen.append(dict(assignments))
        return pair([len(assignments) + 1, value])

    solve(instance(4, [[1, -2, 3]]), decide, 10)
    assert seen[1] == {1: expected}
    assert type(seen[1][1]) is bool


def test_a_final_assignment_is_compared_with_the_clauses(monkeypatch: pytest.MonkeyPatch) -> None:
    assert satisfies([[1, 2, 3], [-1, -2, 4]], {1: True, 2: False, 3: False, 4: False})
    assert not satisfies([[1, 2, 3], [-1, -2, 4]], {1: True, 2: True, 3: False, 4: False})
    assert not satisfies([[1, 2, 3]], {})
    # A solver that does not propagate would hold anything for a solution.
    monkeypatch.setattr(
        solver._Search, "extended", lambda self, literal, _: self.assignments.setdefault(-literal, False) or True
    )
    with pytest.raises(AssertionError, match="does not satisfy"):
        solve(instance(3, [[1, 2, 3]]), lambda assignments, *_: (len(assignments) + 1, False), 10)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("p cnf 3 1\n1 2 3 0\n", "does not say"),
        ("c satisfiable\np cnf 3 1\n1 2 0\n", "is not a clause"),
        ("c satisfiable\np cnf 3 1\n1 2 3\n", "is not a clause"),
        ("c satisfiable\np cnf 3 1\n1 2 4 0\n", "is not a clause"),
        ("c satisfiable\np cnf 3 1\n1 2 -2 0\n", "is not a clause"),
        ("c satisfiable\np cnf 3 1\n1 2 0 0\n", "is not a clause"),
        ("c satisfiable\np cnf 3 1\n1 2 x 0\n", "invalid literal"),
    ],
)
def test_files_that_hold_no_instance(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "x.cnf"
    path.write_text(text)
    with pytest.raises(ValueError, match=says):
        read_instance(path)
