"""Try heuristic.py on the instances in this folder, with the solver that the grader has, and print what it earns.

Usage: python3 try_it.py [FILE …], with the instances to solve; all of them unless given.
"""

import random
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from heuristic import heuristic_fn
from solver import MOST_DECISIONS, Instance, Outcome, read_instance, solve


def solved(instance: Instance) -> Outcome:
    """Solve an instance, with copies for the heuristic as in a grading."""

    def decide(
        assignments: dict[int, bool],
        conflict_count: dict[int, int],
        history: list[int],
        levels: list[list[int]],
    ) -> Any:
        clauses = [clause[:] for clause in instance.clauses]
        return heuristic_fn(
            clauses, dict(assignments), dict(conflict_count), history[:], [level[:] for level in levels]
        )

    return solve(instance, decide, MOST_DECISIONS)


def main(paths: list[Path]) -> None:
    """Solve the instances and print the mean number of decisions, by kind and for all."""
    random.seed(0)
    decisions: dict[tuple[int, str], list[int]] = defaultdict(list)
    given_up = 0
    started = time.monotonic()
    for path in paths:
        instance = read_instance(path)
        outcome = solved(instance)
        given_up += outcome.satisfiable is None
        decisions[instance.variables, "satisfiable" if instance.satisfiable else "unsatisfiable"].append(
            outcome.decisions
        )
    seconds = time.monotonic() - started
    for (variables, kind), counts in sorted(decisions.items()):
        print(f"{variables:4} variables, {kind:<13}  {sum(counts) / len(counts):8.1f} decisions")
    every = [count for counts in decisions.values() for count in counts]
    print(f"decisions: {sum(every) / len(every):.4f}, {given_up} of {len(every)} given up, {seconds:.1f} s")


if __name__ == "__main__":
    folder = Path(__file__).parent / "instances"
    main([Path(name) for name in sys.argv[1:]] or sorted(folder.glob("*.cnf")))
