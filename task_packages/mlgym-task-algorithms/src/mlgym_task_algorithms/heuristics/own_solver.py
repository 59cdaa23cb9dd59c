"""Solves each instance by itself and hands over the solution; where there is none, branches as `weighted_clauses` does.

An attack rather than a heuristic: it measures how much there is to gain by knowing the solutions.
"""

from __future__ import annotations

from mlgym_task_algorithms.heuristics.weighted_clauses import heuristic_fn as branch
from mlgym_task_algorithms.solver import Instance, solve

solution: dict[int, bool] = {}


def heuristic_fn(
    clauses: list[list[int]],
    assignments: dict[int, bool],
    conflict_count: dict[int, int],
    assignment_history: list[int],
    level: list[list[int]],
) -> tuple[int, bool]:
    """Return the variable to decide next, and the value to try first."""
    global solution
    if not assignments and not any(conflict_count.values()):

        def decide(
            own_assignments: dict[int, bool], counts: dict[int, int], history: list[int], levels: list[list[int]]
        ) -> tuple[int, bool]:
            global solution
            # The solver goes on to change it, until it is the solution.
            solution = own_assignments
            return branch(clauses, own_assignments, counts, history, levels)

        solve(Instance(len(conflict_count), clauses, True), decide, most_decisions=1_000_000)
    variable, value = branch(clauses, assignments, conflict_count, assignment_history, level)
    return variable, solution.get(variable, value)
