"""The task's statements and files."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import mlgym_core
from mlgym_core import Preparation
from mlgym_core.builtin.tuner import declared_parameters
from mlgym_task_rl import plugin, policies
from mlgym_task_rl.mountain_car import MountainCar
from mlgym_task_rl.policies import replaced, seed_for_policies


@pytest.fixture(params=("full", "mini"))
def public(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What agents of a variant find in their workspace."""
    folder, private = tmp_path / str(request.param), tmp_path / "private"
    folder.mkdir()
    private.mkdir()
    MountainCar(request.param).prepare(Preparation(folder, private))
    assert not list(private.iterdir())
    return folder


def test_plugin_registers_the_task() -> None:
    specs = {spec.id: spec for spec in plugin.mlgym_tasks()}
    for spec in specs.values():
        module, _, name = spec.target.partition(":")
        task = getattr(importlib.import_module(module), name)
        assert set(spec.variants) == set(task.settings)
        assert (spec.primary_metric.name, spec.primary_metric.direction) == ("reward_mean", "maximize")
        # One folder of packages serves both.
        assert spec.requirements == spec.grader_requirements
    (suite,) = plugin.mlgym_suites()
    assert set(suite.tasks) == set(specs)


def test_the_starter_takes_the_variant_s_steps_and_declares_parameters(public: Path) -> None:
    script = (public / "train.py").read_text()
    variant = MountainCar.settings[public.name]
    parameters = {parameter.name: parameter for parameter in declared_parameters(script)}
    assert int(parameters["STEPS"].value) == variant.starter_steps
    assert variant.starter_steps <= variant.steps
    assert {"LEARNING_RATE", "DISCOUNT", "ROLLOUT"} <= set(parameters)
    for parameter in parameters.values():
        assert parameter.low <= float(parameter.value) <= parameter.high


def test_the_description_states_budget_and_scale(public: Path) -> None:
    text = (public / "README.md").read_text()
    variant = MountainCar.settings[public.name]
    for words in (
        f"{variant.steps:,} steps",
        f"about {variant.anchors.baseline:g}",
        "copies of one policy are allowed",
    ):
        assert words in text
    assert "{" not in text


def test_the_seed_of_policies_is_not_that_of_the_episodes() -> None:
    seeds = [seed_for_policies(seed) for seed in range(1000)]
    assert len(set(seeds)) == 1000
    assert all(0 <= seed < 1 << 32 for seed in seeds)
    assert not any(seed == given for seed, given in enumerate(seeds))


def test_a_replacement_that_finds_nothing_is_an_error() -> None:
    with pytest.raises(LookupError, match="no 'b'"):
        replaced("a", "b", "c")


def test_the_task_is_light_until_it_grades() -> None:
    roots = [str(Path(str(module.__file__)).parents[1]) for module in (mlgym_core, policies)]
    program = (
        f"import sys; sys.path[:0] = {roots}; import mlgym_task_rl.mountain_car\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['__main__', 'mlgym_core', 'mlgym_task_rl']"
