"""Policies in real sandboxes: honest ones, broken ones, and those that try to win without driving.

Each attack on the grader first runs against a naive one, where it must work, so that a test which has lost its teeth
fails.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

from mlgym_core import Score, make
from mlgym_core.preparation import PreparedTask
from mlgym_core.sandbox.bwrap import BwrapSandbox
from mlgym_task_rl.policies import PolicyTask

PACKAGE = Path(__file__).parents[1] / "src" / "mlgym_task_rl"
Grade = Callable[..., Score]
GradeNaively = Callable[[Path], str]
TASK = "rl/mountain-car-continuous"
TASKS = (TASK, "rl/breakout-minatar", "rl/meta-maze")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BwrapSandbox.unavailable_reason() is not None, reason="bwrap does not work here"),
]

RULE = """
import numpy as np

def reset(policies, episodes, seed):
    global SHAPE, STEP
    SHAPE, STEP = (policies, episodes), 0

def act(observations):
    global STEP
    STEP += 1
    actions = rule(observations, STEP)
    return actions
"""


def submission(folder: Path, rule: str) -> Path:
    """Write policies that answer as a rule says."""
    folder.mkdir(exist_ok=True)
    (folder / "policy.py").write_text(f"{RULE}\ndef rule(observations, step):\n{rule}", encoding="utf-8")
    (folder / "weights.npz").write_bytes(b"none")
    return folder


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("    a = np.zeros(SHAPE); a[3, 17] = np.nan if step == 3 else 0; return a", "nan for policy 3 in episode 17"),
        ("    return np.zeros((*SHAPE, 1))", "expected a number from -1 to 1 (in step 1)"),
        (
            "    raise ValueError('no idea')",
            "act raised ValueError: no idea (line 15 of policy.py) (That was",
        ),
        ("    import os; os._exit(3)", "act ended its process"),
        ("    import time; time.sleep(100)", "act took longer than 15 s. (That was in step 1.)"),
        ("    return np.zeros((1000, 1000))", "act returned more than 1,048,576 bytes"),
    ],
)
def test_broken_policies_are_invalid_and_say_why(rule: str, reason: str, tmp_path: Path, grade: Grade) -> None:
    score = grade(submission(tmp_path / "submission", rule))
    assert not score.valid
    assert reason in str(score.reason)


def test_policies_may_be_compiled_by_jax_and_copies_of_one_are_allowed(tmp_path: Path, grade: Grade) -> None:
    rule = """
    import functools, jax, jax.numpy as jnp
    global compiled
    if step == 1:
        compiled = jax.jit(lambda velocity: jnp.where(velocity >= 0, 0.25, -0.25))
    velocity = np.frombuffer(observations, np.float32).reshape(*SHAPE, 2)[..., 1]
    return np.asarray(compiled(velocity))
"""
    score = grade(submission(tmp_path / "submission", rule))
    assert score.valid, score.reason
    assert score.value == pytest.approx(98.2, abs=0.3)
    assert score.metrics["reward_deviation"] < 0.5


def test_another_seed_has_other_episodes(tmp_path: Path, grade: Grade) -> None:
    # Doing nothing for longer than a grading allows would tell nothing: the first observation ends the process.
    rule = "    import hashlib; raise ValueError(hashlib.sha256(observations).hexdigest()[:16])"
    folder = submission(tmp_path / "submission", rule)
    said = [grade(folder, seed).reason for seed in (3, 4, 3)]
    assert said[0] == said[2] != said[1]


def written_by(attack: str, workspace: Path, prepared: PreparedTask, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run an attack where it would run, in a copy of the workspace, and return what it submits."""
    workspace.mkdir()
    for name in ("try_it.py", "actions.py", "simulation.py"):
        (workspace / name).write_bytes((prepared.public / name).read_bytes())
    monkeypatch.chdir(workspace)
    runpy.run_path(str(PACKAGE / "attacks" / f"{attack}.py"), run_name="__main__")
    return workspace


@pytest.mark.parametrize("prepared", TASKS, indirect=True)
@pytest.mark.parametrize(
    ("attack", "shows"), [("patch", "reward_mean 2000000000.0"), ("foresee", "ValueError: FORESEEN")]
)
def test_the_task_s_attacks_have_teeth(
    attack: str,
    shows: str,
    tmp_path: Path,
    prepared: PreparedTask,
    grade_naively: GradeNaively,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert shows in grade_naively(written_by(attack, tmp_path / "workspace", prepared, monkeypatch))


@pytest.mark.parametrize("prepared", ["rl/meta-maze"], indirect=True)
def test_episodes_of_the_public_key_can_be_foreseen_which_is_flagged(
    tmp_path: Path, prepared: PreparedTask, grade: Grade, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "derives the episodes from the public key"
    folder = written_by("derive", tmp_path / "workspace", prepared, monkeypatch)
    monkeypatch.delenv("MLGYM_GRADING_KEY", raising=False)
    foreseen = grade(folder)
    assert foreseen.value == pytest.approx(257, abs=12)
    assert "implausible_score" in foreseen.flags
    assert {attack.name: attack.outcome for attack in prepared.task.attacks()}[name] == "flagged"

    monkeypatch.setenv("MLGYM_GRADING_KEY", "a secret")
    unforeseen = grade(folder)
    assert unforeseen.value is not None
    assert unforeseen.value < 2
    assert not unforeseen.flags
    assert {attack.name: attack.outcome for attack in prepared.task.attacks()}[name] == "stopped"


def test_weights_of_fifty_gigabytes_are_refused() -> None:
    with make(TASK, variant="mini", sandbox="bwrap") as env:
        env.reset()
        env.step("truncate -s 50G weights.npz && ls -l weights.npz")
        *_, info = env.step({"tool": "submit"})
    assert env.result is not None
    assert env.result.status == "invalid_submission"
    assert "weights.npz" in info["score"].reason


@pytest.mark.parametrize("prepared", TASKS, indirect=True)
def test_what_is_tried_in_the_workspace_is_what_is_graded(prepared: PreparedTask) -> None:
    task = prepared.task
    assert isinstance(task, PolicyTask)
    rule = (PACKAGE / "oracles" / f"{task.folder}.py").read_text(encoding="utf-8")
    with make(prepared.spec.id, variant="mini", sandbox="bwrap") as env:
        env.reset()
        for name, content in (("policy.py", rule), ("weights.npz", "none")):
            env.step({"tool": "write_file", "arguments": {"path": name, "content": content}})
        observation, *_ = env.step("python3 try_it.py")
        tried = float(observation.text.rpartition("reward_mean: ")[2].partition(",")[0])
        *_, info = env.step({"tool": "submit"})
    # Other episodes, of the same kind. In the maze, some of them end early by chance.
    assert tried == pytest.approx(info["score"].value, rel=0.1 if task.folder == "meta_maze" else 0.003)
    assert info["score"].value >= 0.95 * float(task.anchors("test").reference or 0)
