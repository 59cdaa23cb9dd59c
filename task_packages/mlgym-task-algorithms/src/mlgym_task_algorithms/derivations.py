"""How the ends of the scale were measured. Nothing here takes part in grading.

`python -m mlgym_task_algorithms.derivations` prints a table for both splits: for each heuristic its decisions, the time
that it took in this process, and how many conflicts it met on the large satisfiable instances for each on the large
unsatisfiable ones, which must tell honest heuristics from one that solves the instances by itself. It takes some
minutes. With `MLGYM_GRADING_KEY` set it draws other instances.
"""

from __future__ import annotations

import random
import runpy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlgym_task_algorithms.instances import draw_instances
from mlgym_task_algorithms.solver import MOST_DECISIONS, Instance, Outcome, solve
from mlgym_task_algorithms.three_sat import FUNCTION, TASK, satisfiable_share

Heuristic = Callable[[list[list[int]], dict[int, bool], dict[int, int], list[int], list[list[int]]], Any]

_PACKAGE = Path(__file__).parent
STARTER = _PACKAGE / "starters" / "heuristic.py"
HEURISTICS = _PACKAGE / "heuristics"


@dataclass(frozen=True)
class Measurement:
    """What a heuristic earns on some instances.

    Attributes:
        decisions: Mean over the instances.
        seconds: For all of them, in this process.
        solved: Share of the instances.
        share: See `satisfiable_share`.
    """

    decisions: float
    seconds: float
    solved: float
    share: float


def load(path: Path, seed: int = 0) -> Heuristic:
    """Return the heuristic that a file defines, with a random state of its own beginning."""
    random.seed(seed)
    heuristic: Heuristic = runpy.run_path(str(path))[FUNCTION]
    return heuristic


def measure(heuristic: Heuristic, instances: Sequence[Instance]) -> Measurement:
    """Solve instances without a grader. The heuristic must leave its arguments alone."""

    def outcome(instance: Instance) -> Outcome:
        return solve(instance, lambda *state: heuristic(instance.clauses, *state), MOST_DECISIONS)

    started = time.perf_counter()
    outcomes = [outcome(instance) for instance in instances]
    seconds = time.perf_counter() - started
    return Measurement(
        decisions=sum(ended.decisions for ended in outcomes) / len(outcomes),
        seconds=seconds,
        solved=sum(ended.satisfiable is not None for ended in outcomes) / len(outcomes),
        share=satisfiable_share(zip(instances, outcomes, strict=True)),
    )


def main() -> None:
    """Print the table."""
    for split in ("validation", "test"):
        instances = draw_instances(TASK, "full", split)
        paths = [(f"starter, seed {seed}", STARTER, seed) for seed in range(10)]
        paths += [(path.stem, path, 0) for path in sorted(HEURISTICS.glob("[!_]*.py"))]
        for name, path, seed in paths:
            result = measure(load(path, seed), instances)
            print(
                f"{split:<10}  {name:<18}  {result.decisions:10.4f} decisions  {result.seconds:6.2f} s  "
                f"{result.solved:.3f} solved  {result.share:.3f} share",
                flush=True,
            )


if __name__ == "__main__":
    main()
