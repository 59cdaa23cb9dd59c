from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import FakeSite

KINDS = ["tasks", "agents", "tools", "metrics", "sandboxes", "models", "executors", "suites"]

CHESS = """
from mlgym_core import MetricSpec, ModelSpec, SuiteSpec, TaskMetric, TaskSpec, hookimpl

MLGYM_API = 1

@hookimpl
def mlgym_tasks():
    yield TaskSpec("boards/go", "fake_chess_task:Go", "Surround", metrics=(TaskMetric("area"),), domain="classics")
    yield TaskSpec(
        "boards/chess", "fake_chess_task:Chess", "Win", tags=("cpu",), variants=("full", "blitz"),
        metrics=(TaskMetric("payoff"), TaskMetric("moves", "minimize")),
    )

@hookimpl
def mlgym_metrics():
    yield MetricSpec("elo", "fake_chess_task:Elo", "Rating")

@hookimpl
def mlgym_models():
    yield ModelSpec("echo", "fake_chess_task:Echo", "Repeats")

@hookimpl
def mlgym_suites():
    yield SuiteSpec("boards", "Board games", tasks=("boards/chess", "boards/go"))
"""

TASK = """
from mlgym_core import Anchors, SubmissionFile, Task

class Chess(Task):
    def description(self):
        return f"Play {self.variant}."

    def submission_files(self):
        return [SubmissionFile(path="engine.py")]

    def anchors(self, split):
        return Anchors(baseline={"validation": 0.25}.get(split, 0.5), baseline_source="a coin", reference=1.0)

    def prepare(self, preparation):
        pass

    def grade(self, grading):
        return {}

class Go:
    pass
"""


@pytest.fixture
def chess(site: FakeSite) -> FakeSite:
    """A site with two tasks."""
    site.add("fake-chess", "chess", CHESS, version="1.2")
    (site.folder / "fake_chess_task.py").write_text(TASK)
    return site


def test_tasks_as_json(chess: FakeSite) -> None:
    rows = json.loads(chess.mlgym("tasks", "--json", MLGYM_PLUGINS="chess").stdout)
    assert [row["id"] for row in rows] == ["boards/chess", "boards/go"]
    assert rows[0] == {
        "id": "boards/chess",
        "summary": "Win",
        "domain": "boards",
        "tags": ["cpu"],
        "distribution": "fake-chess",
        "version": "1.2",
        "variants": ["full", "blitz"],
        "metrics": [
            {"name": "payoff", "direction": "maximize", "primary": True},
            {"name": "moves", "direction": "minimize", "primary": False},
        ],
        "conflict": None,
    }
    assert rows[1]["domain"] == "classics"


@pytest.mark.parametrize("kind", KINDS)
def test_each_listing_has_what_the_contract_names(chess: FakeSite, kind: str) -> None:
    process = chess.mlgym(kind, "--json")
    rows = json.loads(process.stdout)
    assert (process.returncode, process.stderr) == (0, "")
    assert rows
    for row in rows:
        assert {"id", "summary", "distribution", "version"} <= set(row)
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)


def test_the_table_for_people_is_aligned_plain_text(chess: FakeSite) -> None:
    lines = chess.mlgym("tasks", MLGYM_PLUGINS="chess").stdout.splitlines()
    assert lines == [
        "ID            SUMMARY   FROM",
        "boards/chess  Win       fake-chess 1.2",
        "boards/go     Surround  fake-chess 1.2",
    ]


@pytest.mark.parametrize("kind", ["tasks", "models", "suites"])
def test_an_empty_listing_says_how_to_install_something(site: FakeSite, kind: str) -> None:
    assert "pip install" in site.mlgym("--no-plugins", kind).stdout
    assert json.loads(site.mlgym("--no-plugins", kind, "--json").stdout) == []


@pytest.mark.parametrize("command", [*KINDS, "plugins", "info"])
def test_help_has_examples(site: FakeSite, command: str) -> None:
    process = site.mlgym(command, "--help")
    assert process.returncode == 0
    assert f"mlgym {command}" in process.stdout.partition("Examples:")[2]


def test_plugins_for_people(chess: FakeSite) -> None:
    chess.add("fake-broken", "broken", "raise RuntimeError('oh no')")
    lines = chess.mlgym("plugins").stdout.splitlines()
    assert ["chess", "fake-chess", "1.2", "5"] in [line.split() for line in lines]
    assert "FAILED  broken (fake-broken 1.0) at stage import: RuntimeError: oh no" in lines


def test_info_shows_everything_about_a_task(chess: FakeSite) -> None:
    facts = json.loads(chess.mlgym("info", "boards/chess", "--json", "--variant", "blitz").stdout)
    assert (facts["distribution"], facts["version"], facts["variant"]) == ("fake-chess", "1.2", "blitz")
    assert facts["description"] == "Play blitz."
    assert [facts["anchors"][split]["baseline"] for split in ("validation", "test")] == [0.25, 0.5]
    assert [file["path"] for file in facts["submission_files"]] == ["engine.py"]
    assert {"metrics", "variants", "resources", "network", "grading_seconds", "floor", "contamination"} <= set(facts)
    text = chess.mlgym("info", "boards/chess").stdout
    for shown in ("Play full.", "fake-chess 1.2", "baseline 0.25", "reference 1", "a coin", "engine.py", "payoff"):
        assert shown in text


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["boards/ches"], 2, "Did you mean 'boards/chess'"),
        (["boards/chess", "--variant", "bullet"], 2, "It has: full, blitz"),
        (["bash", "--variant", "blitz"], 2, "--variant is for tasks"),
        (["boards/go"], 1, "fake-chess 1.2"),
    ],
)
def test_info_says_what_is_wrong(chess: FakeSite, arguments: list[str], code: int, message: str) -> None:
    process = chess.mlgym("info", *arguments)
    assert process.returncode == code
    assert message in process.stderr
    assert process.stdout == ""
    assert "Traceback" not in process.stderr
