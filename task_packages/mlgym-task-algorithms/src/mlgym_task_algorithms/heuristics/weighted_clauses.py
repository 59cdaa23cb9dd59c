"""Branches on the variable whose literals are in most open clauses, of which the short ones weigh more.

After Jeroslow and Wang, *Solving propositional satisfiability problems* (1990), with the product of both literals'
weights, so that both branches shrink.
"""

from __future__ import annotations

SHORT_CLAUSE = 5.0
"""Weight of an open clause of which two literals are left; one with three weighs 1."""


def heuristic_fn(
    clauses: list[list[int]],
    assignments: dict[int, bool],
    conflict_count: dict[int, int],
    assignment_history: list[int],
    level: list[list[int]],
) -> tuple[int, bool]:
    """Return the variable to decide next, and the value to try first."""
    weights: dict[int, float] = {}
    value_of = assignments.get
    for clause in clauses:
        left = []
        for literal in clause:
            value = value_of(abs(literal))
            if value is None:
                left.append(literal)
            elif value == (literal > 0):
                break
        else:
            weight = SHORT_CLAUSE if len(left) == 2 else 1.0
            for literal in left:
                weights[literal] = weights.get(literal, 1.0) + weight

    def rank(variable: int) -> float:
        return weights.get(variable, 1.0) * weights.get(-variable, 1.0)

    best = max((variable for variable in conflict_count if variable not in assignments), key=rank)
    return best, weights.get(best, 1.0) >= weights.get(-best, 1.0)
