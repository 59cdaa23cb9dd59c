"""Real episodes in real sandboxes: baselines, references, tuning, the paper's protocol, attacks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tabular_support import VARIANTS

import mlgym_core as mlgym
from mlgym_core import EpisodeResult, default_host
from mlgym_core.checks.findings import Finding
from mlgym_core.checks.tasks import TaskChecks
from mlgym_core.runner import Run, RunPlan
from mlgym_core.sandbox.bwrap import BwrapSandbox
from mlgym_core.types import Protocol
from mlgym_task_tabular import prediction_task
from mlgym_task_tabular.prediction_task import PredictionTask

REFERENCES = Path(prediction_task.__file__).parent / "references"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BwrapSandbox.unavailable_reason() is not None, reason="bwrap does not work here"),
]
each_variant = pytest.mark.parametrize(("task", "variant"), VARIANTS)


def play(
    folder: Path, task: str, variant: str, agent: str, protocol: Protocol = "strict", **options: str
) -> EpisodeResult:
    plan = RunPlan(tasks=(task,), agents=(agent,), agent_options=options, seed=5, variant=variant, protocol=protocol)
    run = Run.start(default_host(), folder / agent, plan)

    async def results() -> list[EpisodeResult]:
        return [result async for result in run.play()]

    [result] = asyncio.run(results())
    assert result.error is None
    return result


@each_variant
def test_the_baseline_lands_in_its_band(task: type[PredictionTask], variant: str, tmp_path: Path) -> None:
    result = play(tmp_path, task.task_id, variant, "baseline")
    band = task(variant).anchors("test").band
    assert result.final is not None
    assert band is not None
    assert band[0] <= result.final <= band[1]
    assert result.final == pytest.approx(task(variant).anchors("test").baseline, abs=0.002)
    assert result.integrity.flags == ("public_answers",)


def test_the_paper_s_baseline_under_the_paper_s_protocol(tmp_path: Path) -> None:
    result = play(tmp_path, "tabular/house-price", "kaggle", "baseline", protocol="paper")
    assert result.score is not None
    assert result.score.metrics["r2"] == pytest.approx(0.880, abs=0.002)
    assert result.score.metrics["rmse"] == pytest.approx(30_340, rel=0.01)


@each_variant
def test_the_reference_is_what_it_is_said_to_be(task: type[PredictionTask], variant: str, tmp_path: Path) -> None:
    anchors = {split: task(variant).anchors(split) for split in ("validation", "test")}
    with mlgym.make(task.task_id, variant=variant, sandbox="bwrap", seed=0, runs_dir=tmp_path) as env:
        env.reset(seed=0)
        program = (REFERENCES / task.starter).read_text(encoding="utf-8")
        env.step({"tool": "write_file", "arguments": {"path": "reference.py", "content": program}})
        observation, *_ = env.step("python3 reference.py")
        assert observation.exit_code == 0, observation.text
        observation, *_ = env.step({"tool": "validate", "arguments": {}})
        assert observation.score is not None
        assert observation.score.value == pytest.approx(anchors["validation"].reference, abs=0.005)
        env.step({"tool": "submit", "arguments": {}})
        assert env.result is not None
        assert env.result.final == pytest.approx(anchors["test"].reference, abs=0.005)
        assert env.result.integrity.flags == ("public_answers",)


def test_the_tuner_improves_on_the_baseline(tmp_path: Path) -> None:
    result = play(tmp_path, "tabular/titanic", "passengers", "tuner", validations="12")
    assert result.best_validation is not None
    assert result.best_validation > 0.79 + 0.005


def checked(task: type[PredictionTask], variant: str) -> list[Finding]:
    async def findings() -> list[Finding]:
        checks = TaskChecks(default_host(), task.task_id, variant, "bwrap", lambda message: None)
        return [finding async for finding in checks.all()]

    return asyncio.run(findings())


@pytest.mark.parametrize(("task", "variant"), [VARIANTS[0], VARIANTS[3]])
def test_the_tasks_pass_their_checks_and_withstand_attacks(task: type[PredictionTask], variant: str) -> None:
    findings = checked(task, variant)
    assert [finding for finding in findings if finding.outcome != "passed"] == []
    attacks = {finding.check: finding.detail for finding in findings if finding.check.startswith("attack")}
    assert len(attacks) == 5
    stopped = [detail for detail in attacks.values() if detail.startswith("stopped: it earns")]
    assert len(stopped) == 3, "an attack that is stopped because it is broken says nothing"
    flagged = {check: detail for check, detail in attacks.items() if detail not in stopped}
    assert [check for check in flagged if "public key" in check or "by content" in check] == list(flagged)
    assert len(flagged) == 2
    for detail in flagged.values():
        assert "flagged" in detail
        assert "implausible_score" in detail
