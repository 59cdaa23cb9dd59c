"""A solver for 3-SAT: DPLL with unit propagation, which asks a heuristic for every decision.

A variable is an integer from 1 on; a literal is a variable (it is to be true) or its negative (it is to be false); a
clause is a list of three literals of distinct variables, of which one at least has to hold.

The grader runs this module. Agents get a copy of it, to try their heuristics with; it needs nothing but the standard
library.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Clause = list[int]
Decide = Callable[[dict[int, bool], dict[int, int], list[int], list[list[int]]], Any]
"""From assignments, conflict counts, assignment history and levels, which it must not change, to a decision."""

MOST_DECISIONS = 5_000
"""After so many decisions on one instance the grader gives up."""

EXPECTED = "a pair of an unassigned variable and a Boolean value"


@dataclass(frozen=True)
class Instance:
    """A formula.

    Attributes:
        variables: Number of variables; they are called 1, 2, 3 and so on.
        clauses: Lists of three literals.
        satisfiable: Whether some assignment satisfies all clauses.
    """

    variables: int
    clauses: list[Clause]
    satisfiable: bool


@dataclass(frozen=True)
class Outcome:
    """How a search ended.

    Attributes:
        satisfiable: What it found out; None if it was given up because it made too many decisions.
        decisions: How often the heuristic was asked.
        conflicts: How often propagation ended with a clause that had become false.
    """

    satisfiable: bool | None
    decisions: int
    conflicts: int


class IllegalDecision(ValueError):  # noqa: N818 - an event
    """What the heuristic returned is not a decision."""


def solve(instance: Instance, decide: Decide, most_decisions: int) -> Outcome:
    """Search for an assignment of all variables that satisfies the instance, until it is found or shown not to exist.

    Each decision opens a level: the variable gets its value, and unit propagation assigns what follows. A conflict
    takes back the latest level of which only one value was tried, with all levels after it, and the solver gives the
    level's first variable the other value, without asking. If there is no such level, the instance is unsatisfiable.

    Raises:
        IllegalDecision: if the heuristic returns anything but an unassigned variable and a Boolean value (0 and 1
            pass for Boolean values).
    """
    search = _Search(instance)
    decisions = conflicts = 0
    while len(search.assignments) < instance.variables:
        if decisions == most_decisions:
            return Outcome(None, decisions, conflicts)
        decisions += 1
        answer = decide(search.assignments, search.conflict_count, search.history, search.levels)
        literal = _checked(answer, instance.variables, search.assignments)
        is_first_value = True
        while not search.extended(literal, is_first_value):
            conflicts += 1
            last = search.take_back()
            if last is None:
                return Outcome(False, decisions, conflicts)
            literal, is_first_value = -last, False
    if not satisfies(instance.clauses, search.assignments):
        raise AssertionError("The solver found an assignment that does not satisfy the clauses.")
    return Outcome(True, decisions, conflicts)


def satisfies(clauses: Sequence[Clause], assignments: dict[int, bool]) -> bool:
    """Return whether each clause has a literal that holds."""
    return all(any(assignments.get(abs(literal)) == (literal > 0) for literal in clause) for clause in clauses)


def _checked(answer: Any, variables: int, assignments: dict[int, bool]) -> int:
    """Return the literal that a decision makes true."""
    if type(answer) in (list, tuple) and len(answer) == 2:
        variable, value = answer
        if type(variable) is int and 1 <= variable <= variables and type(value) in (bool, int) and 0 <= value <= 1:
            if variable not in assignments:
                return variable if value else -variable
            raise IllegalDecision(f"{answer!r}, but variable {variable} is assigned already; expected {EXPECTED}")
    raise IllegalDecision(f"{reprlib.repr(answer)}; expected {EXPECTED}")


class _Search:
    """Where a search stands.

    Attributes:
        assignments: The values of the assigned variables.
        history: The assigned variables, oldest first.
        levels: For each decision, its variable and those that were propagated after it.
        conflict_count: How often each variable was in a clause that had become false.
    """

    def __init__(self, instance: Instance) -> None:
        variables = range(1, instance.variables + 1)
        self.assignments: dict[int, bool] = {}
        self.history: list[int] = []
        self.levels: list[list[int]] = []
        self.conflict_count = dict.fromkeys(variables, 0)
        self._first_values: list[bool] = []
        # By literal: whether it holds, None if that is open. Negative literals count from the end of the list.
        self._holds: list[bool | None] = [None] * (2 * instance.variables + 1)
        # By literal: of each clause that has lost a literal when this one holds, the other two. With clauses as short
        # as these, looking at both is quicker than the bookkeeping of watched literals or of counters.
        self._others: list[list[tuple[int, int]]] = [[] for _ in self._holds]
        for first, second, third in instance.clauses:
            self._others[-first].append((second, third))
            self._others[-second].append((first, third))
            self._others[-third].append((first, second))

    def extended(self, literal: int, is_first_value: bool) -> bool:
        """Open a level with a literal and propagate. Return False if that ended in a conflict, which is counted."""
        holds, others = self._holds, self._others
        holds[literal], holds[-literal] = True, False
        implied = [literal]
        conflict: tuple[int, int, int] | None = None
        for cause in implied:
            for first, second in others[cause]:
                if holds[first] is None:
                    if holds[second] is not False:
                        continue
                    unit = first
                elif holds[first] or holds[second]:
                    continue
                elif holds[second] is None:
                    unit = second
                else:
                    conflict = (cause, first, second)
                    break
                holds[unit], holds[-unit] = True, False
                implied.append(unit)
            if conflict:
                break
        level = [abs(implied_literal) for implied_literal in implied]
        self.levels.append(level)
        self._first_values.append(is_first_value)
        self.history += level
        for implied_literal in implied:
            self.assignments[abs(implied_literal)] = implied_literal > 0
        for conflicting in conflict or ():
            self.conflict_count[abs(conflicting)] += 1
        return conflict is None

    def take_back(self) -> int | None:
        """Take back the latest level of which one value was tried, and all after it, and return its first literal."""
        while self.levels:
            level = self.levels.pop()
            literal = level[0] if self.assignments[level[0]] else -level[0]
            for variable in level:
                del self.assignments[variable]
                self._holds[variable] = self._holds[-variable] = None
            del self.history[-len(level) :]
            if self._first_values.pop():
                return literal
        return None


def read_instance(path: Path) -> Instance:
    """Read an instance from a file in the DIMACS format whose comments say whether it is satisfiable.

    Raises:
        ValueError: if it is not such a file.
    """
    variables, clauses, satisfiable = 0, [], None
    for line in path.read_text(encoding="ascii").splitlines():
        words = line.split()
        if words[:1] == ["c"]:
            satisfiable = {"satisfiable": True, "unsatisfiable": False}.get(words[-1], satisfiable)
        elif words[:2] == ["p", "cnf"]:
            variables = int(words[2])
        elif words:
            *clause, end = map(int, words)
            if (
                end != 0
                or len({*map(abs, clause)}) != 3
                or not all(1 <= abs(literal) <= variables for literal in clause)
            ):
                raise ValueError(f"{path}: {line!r} is not a clause of three literals.")
            clauses.append(clause)
    if satisfiable is None:
        raise ValueError(f"{path} does not say whether it is satisfiable.")
    return Instance(variables, clauses, satisfiable)
