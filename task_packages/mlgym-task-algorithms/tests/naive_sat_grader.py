"""A grader as one would first write it: the heuristic runs in the grader's process, on the solver's own lists.

Every attack here works on it. Usage: python naive_sat_grader.py SUBMISSION INSTANCES; the last line that it prints is
the result.
"""

from __future__ import annotations

import json
import runpy
import sys
import time
from pathlib import Path

from mlgym_task_algorithms import solver


def main(submission: str, folder: str) -> None:
    """Solve the instances in a folder with the submission in another."""
    heuristic = runpy.run_path(str(Path(submission, "heuristic.py")))["heuristic_fn"]
    started = time.monotonic()
    decisions = []
    for path in sorted(Path(folder).glob("*.cnf")):
        instance = solver.read_instance(path)
        clauses = instance.clauses
        outcome = solver.solve(instance, lambda *state, clauses=clauses: heuristic(clauses, *state), 5_000)
        decisions.append(outcome.decisions)
    print(json.dumps({"decisions": sum(decisions) / len(decisions), "seconds": time.monotonic() - started}))


if __name__ == "__main__":
    main(*sys.argv[1:])
