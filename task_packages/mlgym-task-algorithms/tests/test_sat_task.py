"""The task as a whole: scores, checks of answers, flags, files, description, anchors."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import mlgym_core
from mlgym_core import GraderError, InvalidSubmission
from mlgym_core.builtin.tuner import declared_parameters, with_values
from mlgym_core.rewards import normalize
from mlgym_task_algorithms import plugin, three_sat
from mlgym_task_algorithms.derivations import HEURISTICS, STARTER, Heuristic, load, measure
from mlgym_task_algorithms.instances import COUNT, draw_instances
from mlgym_task_algorithms.solver import MOST_DECISIONS, Instance, Outcome, read_instance, solve
from mlgym_task_algorithms.three_sat import TASK, ThreeSat, satisfiable_share

Grade = Callable[..., tuple[Mapping[str, float], list[str]]]


def first_of_each_kind(purpose: str, sizes: tuple[int, ...] = (50, 75, 100)) -> list[Instance]:
    """Return a satisfiable and an unsatisfiable instance of each size."""
    found: dict[tuple[int, bool], Instance] = {}
    for instance in draw_instances(TASK, "full", purpose):
        found.setdefault((instance.variables, instance.satisfiable), instance)
    return [instance for (variables, _), instance in found.items() if variables in sizes]


def alone(heuristic: Heuristic, instance: Instance) -> Outcome:
    """Solve one instance."""
    return solve(instance, lambda *state: heuristic(instance.clauses, *state), MOST_DECISIONS)


@pytest.fixture(scope="module")
def few() -> list[Instance]:
    """Six public instances."""
    return first_of_each_kind("public")


@pytest.fixture(scope="module")
def honest() -> Heuristic:
    """A good heuristic."""
    return load(HEURISTICS / "weighted_clauses.py")


def test_decisions_are_the_mean_over_the_instances(grade: Grade, few: list[Instance], honest: Heuristic) -> None:
    metrics, flags = grade(honest, few)
    assert {*metrics} == {"decisions", "seconds", "solved"}
    assert metrics["decisions"] == sum(alone(honest, instance).decisions for instance in few) / 6
    assert 10 < metrics["decisions"] < 200
    assert metrics["solved"] == 1
    assert 0 < metrics["seconds"] < 10
    assert flags == []


def test_instances_that_are_given_up_count_as_the_most_decisions(grade: Grade, few: list[Instance]) -> None:
    def clumsy(clauses: Any, assignments: Any, conflict_count: Any, *_: Any) -> tuple[int, bool]:
        return next(variable for variable in conflict_count if variable not in assignments), True

    hardest = [instance for instance in few if instance.variables == 100]
    outcomes = [alone(clumsy, instance) for instance in hardest]
    assert [outcome.decisions for outcome in outcomes if outcome.satisfiable is None] == [MOST_DECISIONS]
    metrics, _ = grade(clumsy, hardest)
    assert metrics["decisions"] == sum(outcome.decisions for outcome in outcomes) / 2
    assert metrics["solved"] == 0.5


def test_arguments_are_copies(grade: Grade, few: list[Instance], honest: Heuristic) -> None:
    seen: list[int] = []

    def vandal(clauses: Any, assignments: Any, conflict_count: Any, history: Any, level: Any) -> tuple[int, bool]:
        answer: tuple[int, bool] = honest(clauses, assignments, conflict_count, history, level)
        seen.append(len(clauses))
        clauses[0][:] = [1, 2, 3]
        for thing in (*level, clauses, assignments, conflict_count, history, level):
            thing.clear()
        return answer

    assert grade(vandal, few)[0]["decisions"] == grade(honest, few)[0]["decisions"]
    assert {*seen} == {len(instance.clauses) for instance in few}


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda: 7, "heuristic_fn returned 7; expected a pair of an unassigned variable and a Boolean value, in"),
        (lambda: (1, None), "heuristic_fn returned [1, None]; expected a pair"),
        (lambda: 1 / 0, "heuristic_fn raised ZeroDivisionError"),
        (lambda: {1, 2}, "the result is or contains a set"),
    ],
)
def test_a_refusal_names_instance_and_decision(
    act: Callable[[], Any], says: str, grade: Grade, few: list[Instance], honest: Heuristic
) -> None:
    first = alone(honest, few[0]).decisions
    calls = 0

    def turncoat(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        return act() if calls == first + 3 else honest(*arguments)

    with pytest.raises(InvalidSubmission) as caught:
        grade(turncoat, few)
    assert says in str(caught.value)
    assert "decision 3 of instance 2" in str(caught.value)


def test_a_solver_that_is_wrong_is_no_score(grade: Grade, few: list[Instance], honest: Heuristic) -> None:
    wrong = [Instance(few[0].variables, few[0].clauses, not few[0].satisfiable), *few[1:]]
    with pytest.raises(GraderError, match="instance 1"):
        grade(honest, wrong)


def test_share_of_conflicts_where_there_is_a_solution() -> None:
    def solved(variables: int, satisfiable: bool, conflicts: int) -> tuple[Instance, Outcome]:
        return Instance(variables, [], satisfiable), Outcome(satisfiable, 100, conflicts)

    small = [solved(50, True, 90), solved(75, False, 90)]
    assert satisfiable_share([*small, solved(100, True, 0), solved(125, False, 70)]) == 0
    assert satisfiable_share([*small, solved(100, True, 20), solved(125, True, 1), solved(100, False, 70)]) == 0.3


@pytest.mark.slow
def test_who_hands_over_solutions_is_flagged_and_earns_little(grade: Grade, honest: Heuristic) -> None:
    instances = draw_instances(TASK, "full", "test")
    cheat, flags = grade(load(HEURISTICS / "own_solver.py"), instances)
    assert flags == ["solved_outside"]
    without, flags = grade(honest, instances)
    assert flags == []
    anchors = ThreeSat().anchors("test")
    gained = [normalize(metrics["decisions"], anchors, "minimize") for metrics in (without, cheat)]
    assert 0.03 < gained[1] - gained[0] < 0.12


@pytest.mark.slow
@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_reference_is_what_was_measured(split: str) -> None:
    reference = measure(load(HEURISTICS / "look_ahead.py"), draw_instances(TASK, "full", split))
    assert reference.decisions == pytest.approx(ThreeSat().anchors(split).reference, abs=1e-4)
    assert reference.share > 0.3


def test_scale() -> None:
    for split in ("validation", "test"):
        anchors = ThreeSat().anchors(split)
        assert anchors.reference is not None
        assert anchors.implausible is not None
        assert anchors.implausible < anchors.reference / 2 < anchors.reference < anchors.baseline / 30
        assert normalize(anchors.baseline, anchors, "minimize") == 0
        assert normalize(anchors.reference, anchors, "minimize") == pytest.approx(1)
        # Halving is worth the same everywhere.
        halves = [normalize(anchors.baseline / 2**power, anchors, "minimize") for power in range(6)]
        assert halves == pytest.approx([power * halves[1] for power in range(6)])
        paper = ThreeSat().paper_anchors(split)
        assert paper.baseline == 16.158
        assert normalize(16.158, paper, "minimize") == 0
        assert normalize(5.0, paper, "minimize") > 0.3


def test_description_says_what_an_agent_needs(prepared: Path) -> None:
    text = ThreeSat().description()
    for words in (
        "heuristic_fn(clauses, assignments, conflict_count, assignment_history, level)",
        "`(variable, value)`",
        "50, 75, 100 and 125 variables",
        f"{COUNT} in all",
        "5,000 decisions",
        "One call may take 1 second",
        "together 300 seconds",
        "no network",
        "**3,226 decisions**",
        "minimised",
        "`validate`",
        "`submit`",
        "`solved_outside`",
        "tunable",
        "try_it.py",
    ):
        assert words in text
    assert "{" not in text
    assert (prepared / "public" / "README.md").read_text(encoding="utf-8") == text
    assert [file.path for file in ThreeSat().submission_files()] == ["heuristic.py"]
    assert "MLGYM_GRADING_KEY" in ThreeSat().contamination()


def test_every_corner_of_the_declared_parameters_decides(few: list[Instance]) -> None:
    source = STARTER.read_text(encoding="utf-8")
    parameters = declared_parameters(source)
    assert len(parameters) == source.count("# tunable:") == 4
    for corner in product(*(parameter.ends() for parameter in parameters)):
        changed = with_values(
            source, {parameter.name: value for parameter, value in zip(parameters, corner, strict=True)}
        )
        namespace: dict[str, Any] = {}
        exec(compile(changed, "heuristic.py", "exec"), namespace)
        for instance in few[:2]:
            assert alone(namespace["heuristic_fn"], instance).satisfiable == instance.satisfiable, corner


@pytest.mark.parametrize(
    ("values", "at_most"),
    [
        ({"CONFLICT_WEIGHT": "1"}, 0.6),
        ({"CLAUSE_WEIGHT": "1"}, 0.3),
        ({"CLAUSE_WEIGHT": "1", "SHORT_CLAUSE_FACTOR": "5"}, 0.15),
    ],
)
def test_changed_parameters_beat_the_starter(
    values: dict[str, str], at_most: float, grade: Grade, few: list[Instance], tmp_path: Path
) -> None:
    path = tmp_path / "heuristic.py"
    path.write_text(with_values(STARTER.read_text(encoding="utf-8"), values), encoding="utf-8")
    before = grade(load(STARTER), few)[0]["decisions"]
    assert grade(load(path), few)[0]["decisions"] < at_most * before


def test_what_is_tried_in_the_workspace_is_what_is_graded(
    prepare: Callable[[Path], Path], grade: Grade, tmp_path: Path
) -> None:
    public = prepare(tmp_path) / "public"
    (public / "heuristic.py").write_bytes((HEURISTICS / "weighted_clauses.py").read_bytes())
    names = [f"{number:03}.cnf" for number in range(23, 39)]
    command = [
        sys.executable,
        "-I",
        "-c",
        "import runpy, sys; sys.path.insert(0, '.'); runpy.run_path('try_it.py', run_name='__main__')",
    ]
    done = subprocess.run(
        [*command, *(f"instances/{name}" for name in names)], cwd=public, capture_output=True, text=True, check=True
    )
    instances = [read_instance(public / "instances" / name) for name in names]
    metrics, _ = grade(load(HEURISTICS / "weighted_clauses.py"), instances)
    assert f"decisions: {metrics['decisions']:.4f}, 0 of 16 given up" in done.stdout
    assert " 100 variables, unsatisfiable " in done.stdout


def test_plugin_registers_the_task() -> None:
    (spec,) = plugin.mlgym_tasks()
    assert spec.id == TASK
    module, _, name = spec.target.partition(":")
    assert getattr(importlib.import_module(module), name) is ThreeSat
    assert (spec.primary_metric.name, spec.primary_metric.direction) == ("decisions", "minimize")
    assert (spec.primary_metric_under("paper").name, spec.primary_metric_under("paper").direction) == (
        "seconds",
        "minimize",
    )
    (suite,) = plugin.mlgym_suites()
    assert suite.tasks == (TASK,)


def test_the_grader_needs_nothing_but_the_core_and_the_standard_library() -> None:
    roots = [str(Path(str(module.__file__)).parents[1]) for module in (mlgym_core, three_sat)]
    program = (
        f"import sys; sys.path[:0] = {roots}; import mlgym_task_algorithms.three_sat\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['__main__', 'mlgym_core', 'mlgym_task_algorithms']"
