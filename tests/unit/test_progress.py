"""The tables of a run, on a terminal of the usual size."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mlgym_core import EpisodeEvent, EpisodeResult, Score
from mlgym_core.cli.progress import ProgressTable, result_line, result_table
from mlgym_core.runner import AnswerSoFar, EpisodePlan


def result(status: str = "completed") -> EpisodeResult:
    score = Score(
        task="games/prisoners-dilemma",
        variant="full",
        split="test",
        protocol="strict",
        valid=status == "completed",
        reason=None if status == "completed" else "There is no strategy.py in the workspace.",
        primary="payoff",
        value=-0.2506,
        direction="maximize",
        normalized=-0.0052,
        baseline=-0.248,
    )
    return EpisodeResult.model_validate(
        {
            "episode_id": "e",
            "task": score.task,
            "task_version": "1",
            "data_hash": "",
            "variant": "full",
            "protocol": "strict",
            "reward": "improvement",
            "sandbox": "bwrap",
            "agent": "baseline",
            "seed": 0,
            "started_at": "",
            "status": status,
            "exit_reason": "submitted",
            "steps": 50,
            "score": score if status != "infrastructure_failure" else None,
            "best_validation": -0.12345678,
            "final": -0.2506 if status == "completed" else None,
            "wall_s": 1234.56,
        }
    )


@pytest.mark.parametrize("status", ["completed", "invalid_submission", "infrastructure_failure"])
def test_no_number_is_cut_on_80_columns(status: str) -> None:
    output = io.StringIO()
    Console(file=output, width=80).print(result_table([result("completed"), result(status)], 80))
    text = output.getvalue()
    for number in ("-0.248", "-0.1235", "-0.2506", "-0.005", "50", "1235 s"):
        assert number in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_score_of_an_episode_that_something_ended_says_what() -> None:
    ended = result().model_copy(update={"error": "The provider refused it.", "exit_reason": "error"})
    assert "done (error)  final -0.2506: The provider refused it." in result_line(ended)


def test_the_live_table_fits_too() -> None:
    plan = EpisodePlan(id="e", task="games/prisoners-dilemma", agent="baseline", repeat=0)
    progress = ProgressTable([plan], quiet=True)
    progress.finished_before(plan, result())
    output = io.StringIO()
    Console(file=output, width=80).print(progress.table())
    for text in ("games/prisoners-dilemma", "baseline", "-0.1235", "-0.2506", "1235 s", "done"):
        assert text in output.getvalue()


def test_a_result_in_one_line() -> None:
    assert "final -0.2506" in result_line(result())
    assert "There is no strategy.py" in result_line(result("invalid_submission"))


def test_what_a_model_is_saying_is_one_line_of_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    episodes = [EpisodePlan(id=name, task="games/blotto", agent="react", repeat=0) for name in ("a", "b")]
    progress = ProgressTable(episodes, quiet=True)
    assert progress.answers() == []
    hostile = "\x1b[2J\x1b]0;owned\x07[bold red]one\ntwo\r" + "word " * 100 + "end"
    progress(episodes[1], AnswerSoFar(hostile))
    [line] = progress.answers()
    assert line.plain.startswith("games/blotto: ")
    assert line.plain.endswith("word end")
    assert len(line.plain) < 80
    progress(episodes[1], AnswerSoFar(hostile[:30]))
    [line] = progress.answers()
    assert "[bold red]on" in line.plain
    assert line.plain.isprintable()
    progress(episodes[1], EpisodeEvent("b", 1, 0.0, "model", {}))
    assert progress.answers() == []
    silent = ProgressTable(episodes, quiet=True, shows_answers=False)
    silent(episodes[1], AnswerSoFar("words"))
    assert silent.answers() == []
