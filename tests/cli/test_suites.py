"""Suites from the command line: one command, one table, and nothing lost where one task fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_run import SUBMIT, CommandLine, lines, wait_until

SOURCE = """
from mlgym_core import PublishedScore, SuiteSpec, TaskMetric, TaskSpec

@hookimpl
def mlgym_tasks():
    yield from ExamplePlugin().mlgym_tasks()
    metrics = (TaskMetric("value"), TaskMetric("seed"))
    yield TaskSpec("examples/awaiting", "example_tasks:Awaiting", "Without its data", metrics=metrics)

@hookimpl
def mlgym_suites():
    yield SuiteSpec(
        "both",
        "Two tasks",
        tasks=("examples/number", "examples/scripted"),
        published_baselines={
            "examples/number": PublishedScore(value=0.5, metric="value", source="A paper"),
            "examples/scripted": PublishedScore(value=16.158, metric="seconds", source="A paper"),
        },
    )
    yield SuiteSpec("capped", "Few steps", tasks=("examples/number",), limits={"max_steps": 2})
    yield SuiteSpec("partly", "One fails", tasks=("examples/awaiting", "examples/number"))
    yield SuiteSpec(
        "elsewhere", "Not here", tasks=("proteins/fold",), distributions={"proteins/fold": "mlgym-task-proteins"}
    )
    yield SuiteSpec("huge", "No such variant", tasks=("examples/number",), variants={"examples/number": "huge"})
"""


@pytest.fixture
def mlgym(tmp_path: Path) -> CommandLine:
    command_line = CommandLine(tmp_path)
    path = tmp_path / "site" / "installed_example_plugin.py"
    path.write_text(path.read_text().partition("@hookimpl")[0] + SOURCE)
    return command_line


def test_a_suite_ends_in_one_table(mlgym: CommandLine) -> None:
    arguments = ("run", "--suite", "both", "--agent", "baseline", "--parallel", "2")
    done = mlgym(*arguments, "--json", "--run-id", "r")
    assert done.returncode == 0, done.stderr
    *episodes, run = lines(done.stdout)
    assert {episode["task"] for episode in episodes} == {"examples/number", "examples/scripted"}
    assert run["suites"] == ["both"]
    [number, scripted] = run["table"]
    assert number["published_baseline"] == {"value": 0.5, "metric": "value", "source": "A paper"}
    assert (number["baseline"], number["score"], number["normalized"]) == (0.0, 0.25, 0.25)
    assert (number["task"], number["variant"], number["outcome"]) == ("examples/number", "full", "scored")
    assert number["wall_s"] > 0
    assert scripted["metric"] == "value"
    # People see the same, and `report` shows it again.
    done = mlgym(*arguments)
    for word in ("published baseline", "our baseline", "score", "normalised", "time", "16.16*", "+0.250"):
        assert word in done.stdout, word
    assert "published in another metric, seconds" in done.stderr
    done = mlgym("report", "r", "--format", "markdown")
    assert done.returncode == 0, done.stderr
    assert "| `examples/number` | full | value ↑ | 0.5 | 0 | 0.25 | +0.250 |" in done.stdout
    assert "r: both, played by baseline; protocol strict, seed 0, 2 at a time; begun 20" in done.stdout
    [report] = lines(mlgym("report", "r", "--format", "json").stdout)
    assert report["table"] == run["table"]
    [about] = report["runs"]
    assert about["processor_s"] == pytest.approx(sum(e["compute"]["processor_s"] for e in episodes), abs=0.01)
    assert about["machine"]["processors"] >= 1
    assert "published baseline" in mlgym("report", str(mlgym.folder / "runs" / "r")).stdout


def test_a_task_that_cannot_be_prepared_keeps_no_other_from_being_played(mlgym: CommandLine) -> None:
    done = mlgym("run", "--suite", "partly", "--agent", "baseline", "--json", "--run-id", "r")
    assert done.returncode == 1
    *episodes, run = lines(done.stdout)
    outcomes = {episode["task"]: episode["status"] for episode in episodes}
    assert outcomes == {"examples/awaiting": "infrastructure_failure", "examples/number": "completed"}
    assert [row["outcome"] for row in run["table"]] == ["failed", "scored"]
    assert "train.csv is not here: mlgym data import." in run["table"][0]["reason"]
    assert "examples/awaiting cannot be prepared" in done.stderr
    assert "Traceback" not in done.stderr
    # Once the data are there, the rest is played, and the table is whole.
    (mlgym.folder / "arrived").touch()
    done = mlgym("resume", "r", "--json")
    assert done.returncode == 0, done.stderr
    *episodes, run = lines(done.stdout)
    assert [episode["task"] for episode in episodes] == ["examples/awaiting"]
    assert [row["outcome"] for row in run["table"]] == ["scored", "scored"]


def test_the_only_task_of_a_run_is_an_error(mlgym: CommandLine) -> None:
    done = mlgym("run", "examples/awaiting", "--agent", "baseline")
    assert done.returncode == 1
    assert "Error: The file train.csv is not here" in done.stderr


def test_a_killed_suite_is_resumed(mlgym: CommandLine) -> None:
    option = mlgym.script('"touch reached; sleep 1000"', SUBMIT)
    process = mlgym.start("run", "--suite", "both", "--agent", "script", "-A", option, "--run-id", "r")
    wait_until(lambda: list(mlgym.folder.glob("cache/scratch/*/episode-*/workspace/reached")))
    process.kill()
    process.communicate()
    [report] = lines(mlgym("report", "r", "--format", "json").stdout)
    assert (report["table"], len(report["runs"][0]["unfinished"])) == ([], 2)
    mlgym.script('"echo 1 > answer.txt"', SUBMIT)
    done = mlgym("resume", "r", "--json")
    assert done.returncode == 0, done.stderr
    assert lines(done.stdout)[-1]["table"][0]["score"] == 1.25


def test_limits_of_a_suite(mlgym: CommandLine) -> None:
    option = mlgym.script(*['"true"'] * 4)
    arguments = ("run", "--suite", "capped", "--agent", "script", "-A", option, "--json")
    assert lines(mlgym(*arguments).stdout)[0]["limit"] == "max_steps"
    assert lines(mlgym(*arguments, "--max-steps", "50").stdout)[0]["steps"] == 4
    assert lines(mlgym(*arguments, "--max-processor-time", "1h").stdout)[0]["steps"] == 2


@pytest.mark.parametrize(
    ("suite", "says"),
    [
        ("elsewhere", "not installed: proteins/fold. To have them: pip install mlgym-task-proteins"),
        ("huge", "in the variant 'huge', which examples 1.0 does not have. It has: full"),
        ("bth", "Did you mean 'both'?"),
    ],
)
def test_suites_that_cannot_be_run(mlgym: CommandLine, suite: str, says: str) -> None:
    for arguments in (("run", "--agent", "baseline"), ("prepare",)):
        done = mlgym(*arguments, "--suite", suite)
        assert done.returncode == 2
        assert says in done.stderr
    assert not (mlgym.folder / "runs").exists()


def test_preparing_a_suite(mlgym: CommandLine) -> None:
    done = mlgym("prepare", "--suite", "partly", "--sandbox", "process")
    assert done.returncode == 1
    assert "examples/number (full) is ready" in done.stdout
    assert "examples/awaiting cannot be prepared: The file train.csv is not here" in done.stderr
    assert "1 of 2 tasks are not ready: examples/awaiting" in done.stderr
    assert mlgym("prepare", "--suite", "both", "--sandbox", "process").returncode == 0
    assert mlgym("prepare").returncode == 2


def test_what_is_said_of_suites(mlgym: CommandLine) -> None:
    listed = {row["id"]: row for row in json.loads(mlgym("suites", "--json").stdout)}
    assert listed["capped"]["limits"] == {"max_steps": 2}
    assert listed["huge"]["variants"] == {"examples/number": "huge"}
    text = mlgym("info", "both").stdout
    for says in ("suite both: Two tasks", "16.158 (seconds)", "examples/scripted", "Published baselines: A paper"):
        assert says in text, says
    assert "not installed: pip install mlgym-task-proteins" in mlgym("info", "elsewhere").stdout
    [facts] = lines(mlgym("info", "capped", "--json").stdout)
    assert [task["id"] for task in facts["tasks"]] == ["examples/number"]
    assert "Did you mean 'both'" in mlgym("info", "boht").stderr


def test_reports_of_what_is_no_run(mlgym: CommandLine) -> None:
    done = mlgym("report", "nothing")
    assert done.returncode == 2
    assert "There is no" in done.stderr
    folder = mlgym.folder / "runs" / "broken"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"plan": {"tasks": 3}}')
    done = mlgym("report", "broken")
    assert done.returncode == 2
    assert "holds no plan that this version understands" in done.stderr
