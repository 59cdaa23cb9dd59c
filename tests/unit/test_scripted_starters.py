"""Tasks whose starter is a script, what their results are flagged with, and their metric in the paper."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mlgym_core import EpisodeResult, Host, make
from mlgym_core.runner import Run, RunPlan

TASK = "examples/scripted"


def play(host: Host, folder: Path, agent: str, **options: str) -> EpisodeResult:
    plan = RunPlan(tasks=(TASK,), agents=(agent,), agent_options=options, sandbox="process")
    run = Run.start(host, folder, plan)

    async def results() -> list[EpisodeResult]:
        return [result async for result in run.play()]

    [result] = asyncio.run(results())
    assert result.error is None
    return result


def test_the_baseline_is_what_the_script_makes(host: Host, tmp_path: Path) -> None:
    result = play(host, tmp_path, "baseline")
    # The test split adds 0.25.
    assert (result.final, result.exit_reason, result.steps) == (0.5, "submitted", 2)


def test_the_tuner_tunes_the_script_and_submits_what_the_best_values_make(host: Host, tmp_path: Path) -> None:
    result = play(host, tmp_path, "tuner", validations="4")
    assert result.validations == 4
    assert (result.best_validation, result.final) == (2.0, 2.25)


@pytest.mark.parametrize(
    ("answer", "flags"),
    [
        ("1", ("unisolated", "public_answers")),
        ("4", ("unisolated", "public_answers", "large")),
        ("4.75", ("unisolated", "public_answers", "large", "implausible_score")),
        ("none", ("unisolated", "public_answers")),
    ],
)
def test_results_say_what_their_readers_must_know(
    answer: str, flags: tuple[str, ...], installed_examples: Host
) -> None:
    with make(TASK, sandbox="process") as env:
        env.reset()
        *_, info = env.step(f"echo {answer} > answer.txt")
        *_, info = env.step({"tool": "submit"})
        assert env.result is not None
        assert env.result.integrity.flags == flags
        assert info["score"].flags == flags[2:]


def test_a_better_score_is_implausible_in_either_direction() -> None:
    from mlgym_core.grading.grader import is_implausible

    assert [is_implausible(value, 1.0, "minimize") for value in (0.5, 1.0, 1.5)] == [True, True, False]
    assert [is_implausible(value, 1.0, "maximize") for value in (0.5, 1.0, 1.5)] == [False, True, True]


@pytest.mark.parametrize(
    ("protocol", "primary", "value", "normalized"), [("strict", "value", 1.25, 4 / 3), ("paper", "cost", 30.0, 0.5)]
)
def test_the_paper_has_its_own_metric_and_scale(
    protocol: Any, primary: str, value: float, normalized: float, installed_examples: Host
) -> None:
    with make(TASK, sandbox="process", protocol=protocol) as env:
        _, info = env.reset()
        assert info["metric"] == primary
        env.step("echo 1 > answer.txt")
        *_, info = env.step({"tool": "submit"})
        score = info["score"]
        assert (score.primary, score.value) == (primary, value)
        assert score.normalized == pytest.approx(normalized)
        assert (score.metrics["value"], score.metrics["cost"]) == (1.25, 30.0)
