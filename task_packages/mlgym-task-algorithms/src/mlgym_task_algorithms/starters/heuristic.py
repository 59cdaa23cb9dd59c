"""A branching heuristic for 3-SAT: any unassigned variable, which is to be true.

The lines marked "tunable" declare parameters: values that may be changed within the range given there.
"""

import random

# The variable with the highest score is chosen. A score is a random number from 0 to 1, and to that are added:
# this much for each conflict that the variable was in,
CONFLICT_WEIGHT = 0.0  # tunable: float 0 to 1
# this much for each clause that it could still satisfy,
CLAUSE_WEIGHT = 0.0  # tunable: float 0 to 1
# and so many times as much if only two literals of the clause are left.
SHORT_CLAUSE_FACTOR = 1.0  # tunable: float 1 to 10

# With this probability True is tried first, otherwise False.
TRUE_FIRST = 1.0  # tunable: float 0 to 1


def heuristic_fn(
    clauses: list[list[int]],
    assignments: dict[int, bool],
    conflict_count: dict[int, int],
    assignment_history: list[int],
    level: list[list[int]],
) -> tuple[int, bool]:
    """Return the variable to decide next, and the value to try first."""
    scores = {
        variable: random.random() + CONFLICT_WEIGHT * count
        for variable, count in conflict_count.items()
        if variable not in assignments
    }
    if CLAUSE_WEIGHT:
        for clause in clauses:
            if any(assignments.get(abs(literal)) == (literal > 0) for literal in clause):
                continue
            unassigned = [abs(literal) for literal in clause if abs(literal) not in assignments]
            weight = CLAUSE_WEIGHT * (SHORT_CLAUSE_FACTOR if len(unassigned) == 2 else 1.0)
            for variable in unassigned:
                scores[variable] += weight
    return max(scores, key=scores.__getitem__), random.random() < TRUE_FIRST
