"""The keyless agents on the real games: real sandboxes, real graders, all 10,000 matches."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from mlgym_core import EpisodeResult, default_host
from mlgym_core.runner import Run, RunPlan
from mlgym_core.sandbox.bwrap import BwrapSandbox

GAMES = {"games/battle-of-sexes": 1.023, "games/prisoners-dilemma": 2.372, "games/blotto": -0.248}
NOISE = 0.03
SCRIPTS = Path(__file__).parents[3] / "docs" / "examples" / "demo"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BwrapSandbox.unavailable_reason() is not None, reason="bwrap does not work here"),
]


def play(folder: Path, task: str, agent: str, **options: str) -> EpisodeResult:
    plan = RunPlan(tasks=(task,), agents=(agent,), agent_options=options, seed=5)
    run = Run.start(default_host(), folder / agent, plan)

    async def results() -> list[EpisodeResult]:
        return [result async for result in run.play()]

    [result] = asyncio.run(results())
    assert result.error is None
    return result


@pytest.mark.parametrize(("task", "baseline"), GAMES.items())
def test_the_baseline_is_what_the_paper_says(task: str, baseline: float, tmp_path: Path) -> None:
    result = play(tmp_path, task, "baseline")
    assert result.final == pytest.approx(baseline, abs=NOISE)
    assert result.score is not None
    assert result.score.baseline == baseline
    assert abs(result.score.normalized or 0) < 0.1


@pytest.mark.parametrize(("task", "baseline"), GAMES.items())
def test_the_tuner_beats_the_baseline_by_more_than_noise(task: str, baseline: float, tmp_path: Path) -> None:
    result = play(tmp_path, task, "tuner", validations="8")
    assert result.validations == 8
    assert result.final is not None
    assert result.final > baseline + 2 * NOISE
    assert result.best_validation is not None
    assert result.best_validation == pytest.approx(result.final, abs=NOISE)


@pytest.mark.parametrize("task", GAMES)
def test_the_demo_script_plays_to_a_score(task: str, tmp_path: Path) -> None:
    result = play(tmp_path, task, "script", file=str(SCRIPTS / "{task}.jsonl"))
    assert result.exit_reason == "submitted"
    assert result.final is not None
    assert result.final > GAMES[task] + NOISE
    trajectory = Path(result.dir or "", "trajectory.jsonl").read_text().splitlines()
    failures = [event for line in trajectory if (event := json.loads(line)).get("exit_code") not in (None, 0)]
    assert failures == []
