"""A branching heuristic for 3-SAT that is asked by a solver in the grader: the task `algorithms/3sat-heuristic`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlgym_core import (
    Anchors,
    Attack,
    GraderError,
    Grading,
    InvalidSubmission,
    Preparation,
    SubmissionFile,
    SubmittedProgram,
    Task,
)
from mlgym_task_algorithms.instances import COUNT, OF_EACH_KIND, SIZES, draw_instances, write_instances
from mlgym_task_algorithms.solver import (
    MOST_DECISIONS,
    IllegalDecision,
    Instance,
    Outcome,
    read_instance,
    solve,
)

TASK = "algorithms/3sat-heuristic"
SUBMISSION = "heuristic.py"
FUNCTION = "heuristic_fn"
CALL_SECONDS = 1.0
TOTAL_SECONDS = 300.0
"""Well below the time after which a grader counts as hung, so that a slow heuristic is told that it is slow."""

PAPER = "MLGym: A New Framework and Benchmark for Advancing AI Research Agents (2025)"

LARGE = 100
LEAST_SHARE = 0.03
"""The least number of variables, and the least share, in `satisfiable_share` that pass for a heuristic's."""

_BASELINE = {"validation": 3247.0, "test": 3225.5}
_REFERENCE = {"validation": 77.8333, "test": 86.5417}
_BAND = (2900.0, 3600.0)
"""Ten seeds on both splits, under the public key and two others, gave 2,973 to 3,504."""
_IMPLAUSIBLE = 25.0
"""Even if all satisfiable instances took no more than 10 decisions, the trees of the unsatisfiable ones would have to
be two and a half times as small as the reference's. Choosing each branch by the true size of the trees under it, which
no heuristic knows, makes them a third smaller."""
_SECONDS_BAND = (5.0, 150.0)
"""It took 17 to 37 s here when this was written, and 64.8 s once, on two cores that others used at the same time. The
band allows for machines that are three times as fast, or half as fast and as busy: it says little of the task."""
_SECONDS_REFERENCE = 2.4

_PACKAGE = Path(__file__).parent
_PUBLIC_FILES = {
    SUBMISSION: _PACKAGE / "starters" / SUBMISSION,
    "try_it.py": _PACKAGE / "starters" / "try_it.py",
    "solver.py": _PACKAGE / "solver.py",
}
_DESCRIPTION = """\
# A branching heuristic for 3-SAT

Write the heuristic of a solver for 3-SAT: which variable to decide next, and which value to try first. The fewer
decisions the solver then makes, the better your score.

## The problem

A formula has variables, called 1, 2, 3 and so on, and clauses. A clause is a list of three literals: `4` says that
variable 4 is to be true, `-4` that it is to be false. The formula is satisfiable if the variables can be given values
such that at least one literal of every clause holds.

The instances are uniform random 3-SAT with {sizes} variables and 4.26 clauses for each variable, where random formulas
are hardest. Of each size there are {each} satisfiable and {each} unsatisfiable ones in a grading, {count} in all.

## The solver

It searches depth first with unit propagation (DPLL):

- It asks your heuristic for a decision. That opens a *level*: the variable gets the value, and then, as long as there
  is a clause of which two literals are false and the third is unassigned, the third is made true (*propagation*).
- If a clause becomes false, that is a *conflict*: the solver takes back all levels from the end to the latest one of
  which only one value has been tried, gives the first variable of that level its other value, without asking, and
  propagates. If both values of all levels have been tried, the instance is unsatisfiable.
- The search ends when all variables are assigned, when the instance is shown to be unsatisfiable, or after
  {cap:,} decisions on the instance.

It learns no clauses and never restarts. It is deterministic, and it is the file `solver.py` of your workspace.

## What to submit

The file `{submission}`, which defines

```python
def {function}(clauses, assignments, conflict_count, assignment_history, level): ...
```

and returns `(variable, value)`: an unassigned variable of the instance, and `True` or `False`, which is tried first. It
is called once for each decision, one instance after another, with

| argument | what it is |
| --- | --- |
| `clauses` | all clauses of the instance, as lists of three integers |
| `assignments` | the assigned variables with their values, a dictionary from integer to Boolean |
| `conflict_count` | for every variable, in how many conflicts of this instance it was in the clause that became false |
| `assignment_history` | the assigned variables, oldest first |
| `level` | for each level a list of its variables: the decided one, then those that were propagated after it |

All of them are copies, so changing them changes nothing. Module-level variables keep their values between calls, from
one instance to the next, too; a new instance begins when `assignments` is empty and all counts are 0.

- Python's standard library is available, and nothing else: no network, and no file besides `{submission}`.
- One call may take {call_seconds:g} second, and all calls of one grading together {total_seconds:g} seconds.
- An answer of any other kind, an exception or a call that takes too long makes the whole submission invalid.

## The score

`decisions`, to be **minimised**: how many decisions the solver makes, on the average of all instances. An instance that
is not solved counts {cap:,}. Equal ratios count equally: halving the number is worth the same, wherever you are. Beside
it, `solved` is the share of solved instances, and `seconds` the time for all of them, with the solver's share.

`validate` and the final grading have different instances, and both have others than the folder `instances` has. Each
has the same instances every time.

The `{submission}` that you start with is the **baseline**: a random unassigned variable, to be true. It makes about
**{baseline:,.0f} decisions** per instance.

What counts is how small a *search tree* your heuristic makes. Half of the instances have no solution, and every
branch of their trees must be closed: so it helps little to find solutions by other means, such as a solver of your own
inside the heuristic, and to hand them over one variable at a time. Results that look like it are marked
`solved_outside`. Looking ahead, as far as the time allows, is fair.

## How to work

Read and change `{submission}`. `python3 try_it.py` runs it with the same solver on the public instances: files of the
folder `instances`, in the DIMACS format, with a comment that says whether they are satisfiable. `validate` grades it on
hidden instances; the number of validations is limited. `submit` hands it in and ends the task.

Lines of the starter such as `NAME = 0.1  # tunable: float 0 to 1` declare parameters: numbers that can be changed
within their range without understanding the code. You may tune them, or write something else altogether.
"""


class ThreeSat(Task):
    """The task `algorithms/3sat-heuristic`: a submitted heuristic chooses where the grader's solver branches.

    The anchors were measured on the instances that belong to the public key, by `mlgym_task_algorithms.derivations`. On
    those of another `MLGYM_GRADING_KEY` the starter and the reference differ from them by a few percent.
    """

    submission_processes = 1

    def grade(self, grading: Grading) -> Mapping[str, float]:
        """Solve all instances of a split with the submitted heuristic."""
        instances = [read_instance(path) for path in sorted((grading.private / grading.split).glob("*.cnf"))]
        program = grading.program(SUBMISSION, call_seconds=CALL_SECONDS, total_seconds=TOTAL_SECONDS)
        started = time.monotonic()
        outcomes = [_outcome(program, number, instance) for number, instance in enumerate(instances, 1)]
        seconds = time.monotonic() - started
        if satisfiable_share(zip(instances, outcomes, strict=True)) < LEAST_SHARE:
            grading.flag("solved_outside")
        return {
            "decisions": sum(outcome.decisions for outcome in outcomes) / len(outcomes),
            "seconds": seconds,
            "solved": sum(outcome.satisfiable is not None for outcome in outcomes) / len(outcomes),
        }

    def description(self) -> str:
        """Return the task's description in Markdown."""
        return _DESCRIPTION.format(
            sizes=f"{', '.join(map(str, SIZES[:-1]))} and {SIZES[-1]}",
            each=OF_EACH_KIND,
            count=COUNT,
            cap=MOST_DECISIONS,
            submission=SUBMISSION,
            function=FUNCTION,
            call_seconds=CALL_SECONDS,
            total_seconds=TOTAL_SECONDS,
            baseline=self.anchors("test").baseline,
        )

    def submission_files(self) -> Sequence[SubmissionFile]:
        """Return the one file that makes up a submission."""
        return (SubmissionFile(path=SUBMISSION),)

    def anchors(self, split: str) -> Anchors:
        """Return the ends of the scale for decisions, which counts ratios: the distance to the optimum 0 is the number.

        A linear scale would show nothing of what distinguishes good heuristics: the baseline is forty times the
        reference, so that a heuristic which makes twice as many decisions as the reference would earn 0.97.
        """
        return Anchors(
            baseline=_BASELINE[split],
            baseline_source="the starter, measured: mean over 10 seeds",
            band=_BAND,
            reference=_REFERENCE[split],
            reference_source=(
                "our own look-ahead heuristic, measured (mlgym_task_algorithms.heuristics.look_ahead): it propagates "
                "both values of every unassigned variable, and branches where the formula shrinks most"
            ),
            implausible=_IMPLAUSIBLE,
            optimum=0.0,
            epsilon=1.0,
        )

    def paper_anchors(self, split: str) -> Anchors:
        """Return the ends of the scale for seconds, which depend on the machine."""
        return Anchors(
            baseline=16.158,
            baseline_source=f"the baseline of {PAPER}, on instances and a machine of its own",
            band=_SECONDS_BAND,
            reference=_SECONDS_REFERENCE,
            reference_source=(
                "our own heuristic that counts open clauses (mlgym_task_algorithms.heuristics.weighted_clauses), "
                "measured on two cores"
            ),
            optimum=0.0,
            epsilon=0.01,
        )

    def prepare(self, preparation: Preparation) -> None:
        """Draw the instances, the public and the hidden ones, and write the starter and the description."""
        for name, source in _PUBLIC_FILES.items():
            (preparation.public / name).write_bytes(source.read_bytes())
        (preparation.public / "README.md").write_text(self.description(), encoding="utf-8")
        folders = {
            "public": preparation.public / "instances",
            "validation": preparation.private / "validation",
            "test": preparation.private / "test",
        }
        for purpose, folder in folders.items():
            folder.mkdir()
            write_instances(draw_instances(TASK, self.variant, purpose), folder)

    def attacks(self) -> Sequence[Attack]:
        """Return what an agent could try on this solver and these instances."""
        folder = _PACKAGE / "attacks"
        return (
            Attack(name="knows the public instances by heart", program=folder / "memorise_public.py"),
            Attack(name="changes the solver, its lists and the clock", program=folder / "deceive_solver.py"),
            Attack(
                name="solves the instances by itself and hands over the solutions",
                program=folder / "solve_outside.py",
                outcome="flagged",
            ),
        )

    def contamination(self) -> str:
        """Return what is known of the instances and of good heuristics being public."""
        return (
            "The hidden instances are published nowhere, but they are generated, and the generator is public as part "
            "of this package: whoever has it can draw the same ones, unless the variable MLGYM_GRADING_KEY is set to a "
            "secret. Good branching heuristics for 3-SAT are textbook knowledge, which the task wants applied. A "
            "submission may find the solutions of the satisfiable instances by a solver of its own within its time; "
            "that cannot be told from looking ahead for certain. The unsatisfiable half of the instances bounds what "
            "it earns, and results that show it are flagged solved_outside."
        )


def _outcome(program: SubmittedProgram, number: int, instance: Instance) -> Outcome:
    """Solve an instance with the decisions of a submitted program."""
    clauses = program.keep("clauses", instance.clauses)
    asked = 0

    def decide(
        assignments: dict[int, bool], conflict_count: dict[int, int], history: list[int], levels: list[list[int]]
    ) -> Any:
        nonlocal asked
        asked += 1
        return program.call(FUNCTION, clauses, assignments, conflict_count, history, levels)

    try:
        outcome = solve(instance, decide, MOST_DECISIONS)
    except IllegalDecision as error:
        raise InvalidSubmission(f"{FUNCTION} returned {error}, in decision {asked} of instance {number}.") from None
    except InvalidSubmission as error:
        error.args = (f"{error} (That was in decision {asked} of instance {number}.)",)
        raise
    if outcome.satisfiable not in (None, instance.satisfiable):
        raise GraderError(f"The solver is wrong: instance {number} is not {outcome.satisfiable=}.")
    return outcome


def satisfiable_share(solved: Iterable[tuple[Instance, Outcome]]) -> float:
    """Return how many conflicts large satisfiable instances took for each one that large unsatisfiable ones took.

    A heuristic does not know on which side of a branch a solution is: those of `mlgym_task_algorithms.heuristics` came
    to between 0.13 and 0.88 in 38 measurements under eight keys. One that knows the solutions comes to 0, or has to
    waste decisions to hide it.
    """
    conflicts = {True: 0, False: 0}
    for instance, outcome in solved:
        if instance.variables >= LARGE:
            conflicts[instance.satisfiable] += outcome.conflicts
    return conflicts[True] / conflicts[False]
