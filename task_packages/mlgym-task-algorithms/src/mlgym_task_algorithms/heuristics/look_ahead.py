"""Tries both values of every unassigned variable, and branches where the formula shrinks most on both sides.

As look-ahead solvers do: Heule and van Maaren, *Look-ahead based SAT solvers*, Handbook of Satisfiability (2009). What
counts is the clauses that propagation shortens to two literals, each with the number of clauses that would lose a
literal in turn if one of its own failed.
"""

from __future__ import annotations

from collections import defaultdict

SHORT_CLAUSE = 2.0
"""Weight of an open clause of which two literals are left; one with three weighs 1."""
BALANCE = 1024.0
"""How much more the product of both sides counts than their sum."""


class _Formula:
    """What is left of a formula under an assignment."""

    def __init__(self, clauses: list[list[int]], assignments: dict[int, bool]) -> None:
        self._holds: dict[int, bool] = {}
        for variable, value in assignments.items():
            self._holds[variable], self._holds[-variable] = value, not value
        self._others: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self._weights: dict[int, float] = defaultdict(lambda: 1.0)
        for clause in clauses:
            if any(self._holds.get(literal) for literal in clause):
                continue
            first, second, third = clause
            self._others[-first].append((second, third))
            self._others[-second].append((first, third))
            self._others[-third].append((first, second))
            left = [literal for literal in clause if literal not in self._holds]
            for literal in left:
                self._weights[literal] += SHORT_CLAUSE if len(left) == 2 else 1.0

    def gain(self, literal: int) -> float | None:
        """Return how much shorter the formula becomes if a literal holds, or None if that ends in a conflict."""
        holds, others, weights = self._holds, self._others, self._weights
        holds[literal], holds[-literal] = True, False
        implied = [literal]
        gained, possible = 0.0, True
        for cause in implied:
            for first, second in others[cause]:
                first_holds, second_holds = holds.get(first), holds.get(second)
                if first_holds or second_holds:
                    continue
                if first_holds is None and second_holds is None:
                    gained += weights[-first] + weights[-second]
                    continue
                if first_holds is second_holds:
                    possible = False
                    break
                unit = first if first_holds is None else second
                holds[unit], holds[-unit] = True, False
                implied.append(unit)
            if not possible:
                break
        for implied_literal in implied:
            del holds[implied_literal], holds[-implied_literal]
        return gained if possible else None


def heuristic_fn(
    clauses: list[list[int]],
    assignments: dict[int, bool],
    conflict_count: dict[int, int],
    assignment_history: list[int],
    level: list[list[int]],
) -> tuple[int, bool]:
    """Return the variable to decide next, and the value to try first."""
    formula = _Formula(clauses, assignments)
    best, best_score = (0, True), -1.0
    for variable in conflict_count:
        if variable in assignments:
            continue
        if_true, if_false = formula.gain(variable), formula.gain(-variable)
        if if_true is None and if_false is None:
            return variable, True
        if if_true is None or if_false is None:
            # One side is closed at once, so that the other is all that counts; worth more than most branches.
            value = if_false is None
            score = BALANCE * 1000 * (1 + (if_true or if_false or 0.0))
        else:
            # The side that shrinks less is more likely to hold a solution.
            value = if_true <= if_false
            score = BALANCE * if_true * if_false + if_true + if_false
        if score > best_score:
            best, best_score = (variable, value), score
    return best
