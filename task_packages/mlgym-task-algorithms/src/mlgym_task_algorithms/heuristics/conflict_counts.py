"""Branches on the variable that was in most conflicts so far."""

from __future__ import annotations


def heuristic_fn(
    clauses: list[list[int]],
    assignments: dict[int, bool],
    conflict_count: dict[int, int],
    assignment_history: list[int],
    level: list[list[int]],
) -> tuple[int, bool]:
    """Return the variable to decide next, and the value to try first."""
    unassigned = [variable for variable in conflict_count if variable not in assignments]
    return max(unassigned, key=conflict_count.__getitem__), True
