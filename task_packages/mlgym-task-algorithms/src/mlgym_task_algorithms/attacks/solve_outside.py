"""Writes a heuristic that solves each instance by itself, hands the solution over, and branches as the starter does."""

from pathlib import Path

SOLVING = """
solution = {}


def heuristic_fn(clauses, assignments, conflict_count, *rest):
    global CLAUSE_WEIGHT, SHORT_CLAUSE_FACTOR
    if not assignments and not any(conflict_count.values()):
        CLAUSE_WEIGHT, SHORT_CLAUSE_FACTOR = 1.0, 5.0

        def decide(own_assignments, *state):
            global solution
            solution = own_assignments
            return starter(clauses, own_assignments, *state)

        solve(Instance(len(conflict_count), clauses, True), decide, 1_000_000)
        CLAUSE_WEIGHT = 0.0
    variable, value = starter(clauses, assignments, conflict_count, *rest)
    return variable, solution.get(variable, value)
"""


def main() -> None:
    """Write the heuristic, with the solver of the workspace inside."""
    starter = Path("heuristic.py").read_text(encoding="utf-8").replace("def heuristic_fn(", "def starter(")
    solver = Path("solver.py").read_text(encoding="utf-8")
    Path("heuristic.py").write_text(f"{solver}\n{starter}\n{SOLVING}", encoding="utf-8")


if __name__ == "__main__":
    main()
