"""The instances: random, of known satisfiability, the same each time, and different for each purpose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from pysat.solvers import Glucose4

from mlgym_task_algorithms.derivations import HEURISTICS, load
from mlgym_task_algorithms.instances import COUNT, OF_EACH_KIND, SIZES, draw_instances, number_of_clauses
from mlgym_task_algorithms.solver import Instance, read_instance, solve
from mlgym_task_algorithms.three_sat import TASK

PURPOSES = ("public", "validation", "test")


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[Instance]]:
    """All instances, by purpose."""
    return {purpose: draw_instances(TASK, "full", purpose) for purpose in PURPOSES}


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("purpose", PURPOSES)
def test_of_each_size_there_are_as_many_of_either_kind(purpose: str, drawn: dict[str, list[Instance]]) -> None:
    kinds = Counter((instance.variables, instance.satisfiable) for instance in drawn[purpose])
    assert kinds == {(size, kind): OF_EACH_KIND for size in SIZES for kind in (True, False)}
    assert kinds.total() == COUNT


@pytest.mark.parametrize("purpose", PURPOSES)
def test_satisfiability_is_what_other_solvers_say(purpose: str, drawn: dict[str, list[Instance]]) -> None:
    heuristic = load(HEURISTICS / "weighted_clauses.py")
    for instance in drawn[purpose]:
        with Glucose4(bootstrap_with=instance.clauses) as other:
            assert other.solve() == instance.satisfiable
        clauses = instance.clauses
        outcome = solve(instance, lambda *state, clauses=clauses: heuristic(clauses, *state), 10**6)
        assert outcome.satisfiable == instance.satisfiable


def test_clauses_are_uniform(drawn: dict[str, list[Instance]]) -> None:
    signs: Counter[bool] = Counter()
    variables: Counter[float] = Counter()
    for instance in (instance for instances in drawn.values() for instance in instances):
        assert len(instance.clauses) == number_of_clauses(instance.variables)
        assert abs(len(instance.clauses) - 4.26 * instance.variables) <= 0.5
        for clause in instance.clauses:
            assert len({*map(abs, clause)}) == 3
            signs.update(literal > 0 for literal in clause)
            variables.update(10 * (abs(literal) - 1) // instance.variables for literal in clause)
    total = signs.total()
    assert total > 150_000
    assert signs[True] / total == pytest.approx(0.5, abs=0.006)
    assert {*variables} == {*range(10)}
    # Sizes that ten does not divide make the tenths a little unequal.
    assert all(count / total == pytest.approx(0.1, abs=0.01) for count in variables.values())


def test_no_instance_serves_two_purposes(drawn: dict[str, list[Instance]]) -> None:
    every = [frozenset(map(frozenset, instance.clauses)) for instances in drawn.values() for instance in instances]
    assert len({*every}) == len(every)
    for first in range(len(every)):
        for second in range(first):
            # Nor nearly: of one size, two random formulas have a fraction of a percent of their clauses in common.
            assert len(every[first] & every[second]) < 0.05 * len(every[first])


def test_preparation_gives_the_same_bytes_each_time(
    prepare: Callable[[Path], Path], prepared: Path, tmp_path: Path
) -> None:
    assert files(prepare(tmp_path)) == files(prepared)


def test_with_another_key_all_instances_are_others(
    prepare: Callable[[Path], Path], prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLGYM_GRADING_KEY", "a secret")
    others, known = files(prepare(tmp_path)), files(prepared)
    assert {*others} == {*known}
    assert {name for name in known if others[name] == known[name]} == {
        "public/README.md",
        "public/heuristic.py",
        "public/solver.py",
        "public/try_it.py",
    }


def test_the_files_hold_the_instances(prepared: Path, drawn: dict[str, list[Instance]]) -> None:
    folders = {"public": "public/instances", "validation": "private/validation", "test": "private/test"}
    for purpose, folder in folders.items():
        paths = sorted((prepared / folder).iterdir())
        assert [path.name for path in paths] == [f"{number:03}.cnf" for number in range(1, COUNT + 1)]
        assert [read_instance(path) for path in paths] == drawn[purpose]


def test_no_hidden_instance_is_public(prepared: Path) -> None:
    public = b"\n".join(files(prepared / "public").values())
    for content in files(prepared / "private").values():
        _, _, *clauses = content.splitlines()
        assert b"\n".join(clauses[:3]) not in public
    assert not [name for name in files(prepared / "public") if "look_ahead" in name]
    assert b"look_ahead" not in public
