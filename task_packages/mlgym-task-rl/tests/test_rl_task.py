"""The tasks' statements and files."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import mlgym_core
from mlgym_core import Preparation
from mlgym_core.builtin.tuner import declared_parameters
from mlgym_task_rl import plugin, policies
from mlgym_task_rl.breakout import Breakout
from mlgym_task_rl.meta_maze import MetaMaze
from mlgym_task_rl.mountain_car import MountainCar
from mlgym_task_rl.policies import PolicyTask, Variant, replaced, seed_for_policies

TASKS = (MountainCar, Breakout, MetaMaze)


class Workspace(NamedTuple):
    """What agents find in their workspace.

    Attributes:
        task: The task's class.
        variant: What it says of the variant.
        folder: Where the files lie.
    """

    task: type[PolicyTask]
    variant: Variant
    folder: Path


@pytest.fixture(params=[(task, variant) for task in TASKS for variant in ("full", "mini")], ids=str)
def workspace(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    """What agents of a variant of a task find."""
    task, variant = request.param
    folder, private = tmp_path / "public", tmp_path / "private"
    folder.mkdir()
    private.mkdir()
    task(variant).prepare(Preparation(folder, private))
    assert not list(private.iterdir())
    return Workspace(task, task.settings[variant], folder)


def test_plugin_registers_the_tasks() -> None:
    specs = {spec.id: spec for spec in plugin.mlgym_tasks()}
    assert len(specs) == len(TASKS)
    for spec in specs.values():
        module, _, name = spec.target.partition(":")
        task = getattr(importlib.import_module(module), name)
        assert set(spec.variants) == set(task.settings)
        assert (spec.primary_metric.name, spec.primary_metric.direction) == ("reward_mean", "maximize")
        # One folder of packages serves both.
        assert spec.requirements == spec.grader_requirements
    (suite,) = plugin.mlgym_suites()
    assert set(suite.tasks) == set(specs)


def test_the_starter_takes_the_variant_s_steps_and_declares_parameters(workspace: Workspace) -> None:
    script = (workspace.folder / "train.py").read_text()
    variant = workspace.variant
    parameters = {parameter.name: parameter for parameter in declared_parameters(script)}
    assert int(parameters["STEPS"].value) == variant.starter_steps
    assert parameters["STEPS"].high >= variant.steps >= variant.starter_steps
    assert {"LEARNING_RATE", "DISCOUNT", "ROLLOUT"} <= set(parameters)
    for parameter in parameters.values():
        assert parameter.low <= float(parameter.value) <= parameter.high


def test_the_files_are_about_the_task_s_environment(workspace: Workspace) -> None:
    environment = workspace.task.environment
    assert f'ENVIRONMENT = "{environment}"' in (workspace.folder / "try_it.py").read_text()
    for name in ("train.py", "README.md"):
        assert environment in (workspace.folder / name).read_text()


def test_the_description_states_budget_and_scale(workspace: Workspace) -> None:
    text = (workspace.folder / "README.md").read_text()
    variant = workspace.variant
    for words in (
        f"{variant.steps:,} steps",
        f"about {variant.anchors.baseline:g}",
        "copies of one policy are allowed",
    ):
        assert words in text
    assert "{" not in text


def test_anchors_are_in_order(workspace: Workspace) -> None:
    anchors = workspace.variant.anchors
    assert anchors.band is not None
    assert anchors.reference is not None
    low, high = anchors.band
    assert low < anchors.baseline < high
    assert anchors.baseline < anchors.reference


def test_the_seed_of_policies_is_not_that_of_the_episodes() -> None:
    seeds = [seed_for_policies(seed) for seed in range(1000)]
    assert len(set(seeds)) == 1000
    assert all(0 <= seed < 1 << 32 for seed in seeds)
    assert not any(seed == given for seed, given in enumerate(seeds))


def test_a_replacement_that_finds_nothing_is_an_error() -> None:
    with pytest.raises(LookupError, match="no 'b'"):
        replaced("a", "b", "c")


@pytest.mark.parametrize("task", TASKS)
def test_the_task_is_light_until_it_grades(task: type[PolicyTask]) -> None:
    roots = [str(Path(str(module.__file__)).parents[1]) for module in (mlgym_core, policies)]
    program = (
        f"import sys; sys.path[:0] = {roots}; import {task.__module__}\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['__main__', 'mlgym_core', 'mlgym_task_rl']"
