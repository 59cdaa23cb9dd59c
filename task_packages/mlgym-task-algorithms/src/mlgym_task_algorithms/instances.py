"""Where the instances come from: random formulas, of which python-sat establishes which are satisfiable."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from mlgym_core import derive_seed
from mlgym_task_algorithms.solver import Clause, Instance

SIZES = (50, 75, 100, 125)
"""Numbers of variables."""
OF_EACH_KIND = 6
"""Satisfiable instances of each size, and unsatisfiable ones."""
COUNT = len(SIZES) * 2 * OF_EACH_KIND


def number_of_clauses(variables: int) -> int:
    """Return 4.26 clauses for each variable, rounded: there, half of all large random formulas are satisfiable."""
    return (426 * variables + 50) // 100


def draw_clauses(variables: int, generator: random.Random) -> list[Clause]:
    """Draw a uniform random 3-SAT formula: each clause has three distinct variables, each negated or not.

    Only `generator.random()` is used, which gives the same numbers in all versions of Python.
    """
    clauses = []
    for _ in range(number_of_clauses(variables)):
        clause: dict[int, int] = {}
        while len(clause) < 3:
            variable = 1 + int(generator.random() * variables)
            if variable not in clause:
                clause[variable] = variable if generator.random() < 0.5 else -variable
        clauses.append(list(clause.values()))
    return clauses


def is_satisfiable(clauses: Sequence[Clause]) -> bool:
    """Decide by the solver CaDiCaL whether an assignment satisfies all clauses."""
    from pysat.solvers import Cadical153

    with Cadical153(bootstrap_with=clauses) as solver:
        return bool(solver.solve())


def draw_instances(task: str, variant: str, purpose: str) -> list[Instance]:
    """Return the instances of one purpose (a split, or `public`): of each size as many of either kind.

    They follow from a keyed hash: the same each time, and others for whoever has set `MLGYM_GRADING_KEY`.
    """
    seed = derive_seed("instances", seed=0, task=task, variant=variant, split=purpose)
    generator = random.Random(seed)  # noqa: S311 - what is secret is the seed
    instances = []
    for variables in SIZES:
        wanted = {True: OF_EACH_KIND, False: OF_EACH_KIND}
        while any(wanted.values()):
            clauses = draw_clauses(variables, generator)
            satisfiable = is_satisfiable(clauses)
            if wanted[satisfiable]:
                wanted[satisfiable] -= 1
                instances.append(Instance(variables, clauses, satisfiable))
    return instances


def write_instances(instances: Sequence[Instance], folder: Path) -> None:
    """Write each instance to a file `001.cnf`, `002.cnf` and so on, as `solver.read_instance` reads it."""
    for number, instance in enumerate(instances, 1):
        lines = [
            f"c uniform random 3-SAT, {'satisfiable' if instance.satisfiable else 'unsatisfiable'}",
            f"p cnf {instance.variables} {len(instance.clauses)}",
            *(" ".join(map(str, [*clause, 0])) for clause in instance.clauses),
        ]
        (folder / f"{number:03}.cnf").write_text("\n".join(lines) + "\n", encoding="ascii")
