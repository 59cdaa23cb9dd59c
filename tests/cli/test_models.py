"""Runs with language models: options, budgets of episodes and runs, failures, secrets."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from talking import TalkingPlugin

from mlgym_core.cli.run import default_agents
from mlgym_core.errors import UsageError
from mlgym_core.host import Host
from tests.cli.test_run import CommandLine, lines

SOURCE = """
from talking import TalkingPlugin
from mlgym_core import hookimpl

@hookimpl
def mlgym_models():
    yield from TalkingPlugin().mlgym_models()

@hookimpl
def mlgym_agents():
    yield from TalkingPlugin().mlgym_agents()
"""
WRITE = '!bash {"command": "echo 0.5 > answer.txt"}'


@pytest.fixture
def mlgym(tmp_path: Path) -> CommandLine:
    command_line = CommandLine(tmp_path)
    with (tmp_path / "site" / "installed_example_plugin.py").open("a") as file:
        file.write(SOURCE)
    return command_line


def play(mlgym: CommandLine, *arguments: str, model: str = f"parrot/{WRITE},!submit") -> list[dict[str, Any]]:
    done = mlgym("run", "examples/number", "--agent", "talker", "--model", model, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return lines(done.stdout)


def test_an_agent_with_a_model(mlgym: CommandLine) -> None:
    episode, run = play(mlgym, "-M", "price=0.001", "--run-id", "r")
    assert episode["model"] == f"parrot/{WRITE},!submit"
    assert (episode["status"], episode["exit_reason"], episode["limit"], episode["final"]) == (
        "completed",
        "submitted",
        None,
        0.75,
    )
    assert episode["cost_usd"] > 0
    assert episode["tokens"]["prompt"] > 0
    assert run["completed"] == 1
    plan = json.loads((mlgym.folder / "runs" / "r" / "run.json").read_text())["plan"]
    assert plan["model_options"] == {"price": "0.001"}


def test_with_a_model_the_agent_for_models_plays(mlgym: CommandLine) -> None:
    done = mlgym("run", "examples/number", "--model", f"parrot/{WRITE},!submit", "--json")
    episode, _ = lines(done.stdout)
    assert (episode["agent"], episode["exit_reason"], episode["final"]) == ("react", "submitted", 0.75)
    assert "plays unless --agent names another" in mlgym("info", "react").stdout


def test_without_an_agent_and_a_model_nobody_plays(mlgym: CommandLine) -> None:
    done = mlgym("run", "examples/number")
    assert done.returncode == 2
    assert "--agent NAME, or --model PROVIDER/NAME" in done.stderr


def test_of_two_agents_for_models_one_must_be_named(mlgym: CommandLine) -> None:
    with (mlgym.folder / "site" / "installed_example_plugin.py").open("a") as file:
        file.write(
            "\n@hookimpl(specname='mlgym_agents')\ndef more_agents():\n    from mlgym_core import AgentSpec\n"
            "    yield AgentSpec('talker-too', 'talking:Talker', 's', needs_model=True, default=True)\n"
        )
    done = mlgym("run", "examples/number", "--model", "parrot/!submit")
    assert done.returncode == 2
    assert "--agent react or --agent talker-too" in done.stderr


def test_where_no_agent_is_for_models_one_must_be_named() -> None:
    with pytest.raises(UsageError, match="there are: plain-talker, talker"):
        default_agents(Host.of(TalkingPlugin()), "parrot/!submit")
    with pytest.raises(UsageError, match="mlgym-agents has some"):
        default_agents(Host.of(), "parrot/!submit")


def test_a_synchronous_agent_with_a_model(mlgym: CommandLine) -> None:
    done = mlgym("run", "examples/number", "--agent", "plain-talker", "--model", "parrot/0.5", "--json")
    assert lines(done.stdout)[0]["final"] == 0.75
    assert lines(done.stdout)[0]["exit_reason"] == "agent_exit"
    assert lines(done.stdout)[0]["cost_usd"] is None


def test_info_of_a_model_leads_to_its_provider(mlgym: CommandLine) -> None:
    done = mlgym("info", "parrot/x")
    assert done.returncode == 2
    assert "`mlgym info parrot` shows" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model", "parott/x"], "Did you mean 'parrot'"),
        (["--model", "parrot"], "PROVIDER/NAME"),
        (["--model", "parrot/x", "-M", "colour=red"], "colour"),
        (["--model", "parrot/x", "-M", "seconds=long"], "seconds"),
        (["--model", "parrot/x", "-M", "need_key=true"], "Set PARROT_KEY"),
        (["--model", "parrot/x", "-M", "key"], "-M key=value"),
        ([], "needs a language model"),
    ],
)
def test_bad_usage_is_named_before_anything_is_played(mlgym: CommandLine, arguments: list[str], says: str) -> None:
    done = mlgym("run", "examples/number", "--agent", "talker", *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (mlgym.folder / "runs").exists()


def test_options_without_a_model(mlgym: CommandLine) -> None:
    done = mlgym("run", "examples/number", "--agent", "baseline", "-M", "price=1")
    assert done.returncode == 2
    assert "--model" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "reason", "limit"),
    [
        (["--max-cost", "3", "-M", "price=0.01", "-M", "answer=60"], "max_cost", "max_cost"),
        (["--max-tokens", "300", "-M", "answer=60"], "max_tokens", "max_tokens"),
        (["--max-time", "1.5", "-M", "seconds=60"], "max_time", "max_time"),
        (["--max-working-time", "0.001"], "max_time", "max_working_time"),
        (["--max-run-cost", "3", "-M", "price=0.01", "-M", "answer=60"], "max_cost", "max_run_cost"),
        (["--max-run-tokens", "300", "-M", "answer=60"], "max_tokens", "max_run_tokens"),
        (["--max-run-time", "1.5", "-M", "seconds=60"], "max_time", "max_run_time"),
    ],
)
@pytest.mark.parametrize("stubborn", ["false", "true"])
def test_limits_end_episodes_that_are_graded(
    mlgym: CommandLine, arguments: list[str], reason: str, limit: str, stubborn: str
) -> None:
    episode, _ = play(mlgym, *arguments, "-A", f"stubborn={stubborn}", model=f"parrot/{WRITE},chat")
    assert episode["status"] == "completed"
    assert (episode["exit_reason"], episode["limit"]) == (reason, limit)
    assert episode["score"]["valid"]
    events = lines(Path(episode["dir"], "trajectory.jsonl").read_text())
    assert [event["name"] for event in events if event["type"] == "limit"] == [limit]


def test_a_model_that_fails_is_a_failure_of_the_infrastructure(mlgym: CommandLine) -> None:
    done = mlgym("run", "examples/number", "--agent", "talker", "--model", "parrot/fails", "--json")
    assert done.returncode == 1
    episode, run = lines(done.stdout)
    assert (episode["status"], episode["exit_reason"]) == ("infrastructure_failure", "error")
    assert episode["error"] == "The parrot is out."
    assert episode["return"] is None
    assert run["failed"] == 1
    assert Path(episode["dir"], "attempts", "1", "episode.json").exists()


def test_a_run_that_is_out_of_money_begins_nothing_and_can_be_resumed_with_more(mlgym: CommandLine) -> None:
    budget = ("--max-run-cost", "3", "-M", "price=0.01", "-M", "answer=60")
    first, second, third, run = play(mlgym, "--repeat", "3", *budget, "--run-id", "r", model="parrot/chat")
    assert (first["status"], first["limit"]) == ("completed", "max_run_cost")
    for episode in (second, third):
        assert episode["status"] in ("completed", "interrupted")
        assert (episode["exit_reason"], episode["limit"]) == ("max_cost", "max_run_cost")
        # What was not played has no result: the untouched starter's would look like one.
        assert (episode["status"] == "interrupted") == (episode["cost_usd"] is None)
    assert "interrupted" in (second["status"], third["status"])
    spent = sum(episode["cost_usd"] or 0 for episode in (first, second, third))
    assert spent <= 3
    # Nothing is left for the rest.
    again = mlgym("resume", "r", "--json")
    assert lines(again.stdout)[-1]["completed"] == run["completed"]
    assert "of 3 episodes were not played, since a limit of the run was reached" in again.stderr
    assert re.search(r"mlgym resume \S+/r --max-run-cost …", again.stderr)
    done = mlgym("resume", "r", "--json", "--max-run-cost", "6")
    *more, run = lines(done.stdout)
    assert all(episode["limit"] == "max_run_cost" for episode in more)
    assert spent + sum(episode["cost_usd"] or 0 for episode in more) <= 6


def test_set_aside_attempts_count_for_the_run(mlgym: CommandLine) -> None:
    budget = ("--max-run-cost", "1.25", "-M", "price=0.01", "-M", "answer=4", "--run-id", "r")
    arguments = ("run", "examples/number", "--agent", "talker", "--model", "parrot/chat,fails", "--json", *budget)
    done = mlgym(*arguments)
    assert done.returncode == 1, done.stderr
    [episode] = (mlgym.folder / "runs" / "r" / "episodes").iterdir()
    assert (episode / "attempts" / "1").exists()
    spent = sum(
        event["cost_usd"] or 0
        for path in episode.rglob("trajectory.jsonl")
        for event in lines(path.read_text())
        if event["type"] == "model"
    )
    assert spent > 0.5
    done = mlgym("resume", "r", "--json")
    assert lines(done.stdout)[0]["limit"] == "max_run_cost"


def test_secret_options_are_never_recorded(mlgym: CommandLine) -> None:
    canary = "canary-7f3a9b"
    arguments = ("-M", f"key={canary}", "-M", "need_key=true", "--run-id", "r", "--max-steps", "1")
    play(mlgym, *arguments)
    assert [path for path in (mlgym.folder / "runs").rglob("*") if path.is_file() and canary in path.read_text()] == []
    plan = json.loads((mlgym.folder / "runs" / "r" / "run.json").read_text())["plan"]
    assert plan["model_options"]["key"] == "[secret: not recorded]"
    done = mlgym("resume", "r")
    assert done.returncode == 2
    assert "give -M key=" in done.stderr
    assert mlgym("resume", "r", "-M", f"key={canary}").returncode == 0
    assert "only options that were not recorded" in mlgym("resume", "r", "-M", "price=1").stderr


def test_an_unknown_price_is_said(mlgym: CommandLine) -> None:
    done = mlgym("run", "examples/number", "--agent", "talker", "--model", "parrot/!submit", "--max-cost", "1")
    assert done.returncode == 0
    assert "price of parrot/!submit is unknown" in done.stderr
