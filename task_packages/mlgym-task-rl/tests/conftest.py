"""What the tests of this package share: gradings of policies in real sandboxes, and a naive grader."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import mlgym_core
from mlgym_core import Score, default_host
from mlgym_core.grading.grader import GradingOrder, grade_submission
from mlgym_core.preparation import PreparedTask, prepare_task
from mlgym_core.sandbox.bwrap import BwrapSandbox
from mlgym_task_rl import policies

Grade = Callable[..., Score]
GradeNaively = Callable[[Path], str]


@pytest.fixture(scope="session")
def prepared(request: pytest.FixtureRequest) -> PreparedTask:
    """A task with what its sandboxes need: the one with the car, unless a test names others."""
    return prepare_task(default_host(), getattr(request, "param", "rl/mountain-car-continuous"), "mini")


@pytest.fixture
def grade(prepared: PreparedTask) -> Grade:
    """`grade(folder, seed=3)`: the score of a submission folder, graded for real."""

    def graded(folder: Path, seed: int = 3) -> Score:
        return asyncio.run(grade_submission(prepared, folder, BwrapSandbox, GradingOrder("test", "strict", seed=seed)))

    return graded


@pytest.fixture
def grade_naively(prepared: PreparedTask) -> GradeNaively:
    """`grade_naively(folder)`: what a grader says that plays in the policies' own process, and tells them its seed."""
    assert isinstance(prepared.task, policies.PolicyTask)
    environment = prepared.task.environment

    def graded(folder: Path) -> str:
        program = Path(__file__).with_name("naive_rl_grader.py")
        modules = [Path(str(module.__file__)) for module in (mlgym_core, policies)]
        roots = [str(prepared.packages), *(str(module.parents[1]) for module in modules)]
        done = subprocess.run(
            [sys.executable, str(program), str(folder), environment],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env={"PYTHONPATH": os.pathsep.join(roots), "PATH": os.environ["PATH"]},
        )
        return done.stdout + done.stderr

    return graded
