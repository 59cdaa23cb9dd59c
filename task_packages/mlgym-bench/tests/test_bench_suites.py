"""The two suites: what they name exists, and a run of them is one command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mlgym_bench import plugin
from mlgym_bench.tasks import DISTRIBUTIONS, PUBLISHED_BASELINES, TASKS
from mlgym_core import SuiteSpec, default_host

SUITES = {suite.id: suite for suite in plugin.mlgym_suites()}
CHEAP = ("games/battle-of-sexes", "games/prisoners-dilemma", "games/blotto")
PLUGIN = f"""
from dataclasses import replace
from mlgym_bench import plugin
from mlgym_core import hookimpl

MLGYM_API = 1

@hookimpl
def mlgym_suites():
    whole = {{suite.id: suite for suite in plugin.mlgym_suites()}}["mlgym-bench-v0-mini"]
    tasks = {CHEAP!r}
    cut = {{
        name: {{task: value for task, value in getattr(whole, name).items() if task in tasks}}
        for name in ("variants", "distributions", "published_baselines")
    }}
    yield replace(whole, id="cheap", tasks=tasks, **cut)
"""


def test_thirteen_tasks_in_six_domains() -> None:
    assert set(SUITES) == {"mlgym-bench-v0", "mlgym-bench-v0-mini"}
    for suite in SUITES.values():
        assert suite.tasks == tuple(TASKS)
        assert len(suite.tasks) == 13
        assert set(suite.variants) == set(suite.published_baselines) == set(suite.tasks)
    assert len({task.partition("/")[0] for task in TASKS}) == 6


def test_every_package_of_a_task_is_required() -> None:
    import tomllib

    project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = {requirement.partition(">")[0] for requirement in project["dependencies"]}
    assert required == {"mlgym-core", *DISTRIBUTIONS.values()}


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
@pytest.mark.parametrize("task", TASKS)
def test_variants_and_packages_are_those_of_the_tasks(suite: SuiteSpec, task: str) -> None:
    host = default_host()
    if task not in {spec.id for spec in host.tasks}:
        pytest.skip(f"{task} is not installed")
    entry = host.tasks.entry(task)
    assert suite.variants[task] in entry.spec.variants
    assert suite.distributions[task] == entry.distribution


@pytest.mark.parametrize("task", TASKS)
def test_published_baselines_are_those_that_tasks_state_for_the_settings_of_2025(task: str) -> None:
    host = default_host()
    if task not in {spec.id for spec in host.tasks}:
        pytest.skip(f"{task} is not installed")
    spec = host.tasks.spec(task)
    published = PUBLISHED_BASELINES[task]
    assert published.metric == spec.primary_metric_under("paper").name
    anchors = host.tasks.load(task)(TASKS[task].full).paper_anchors("test")
    assert published.value == pytest.approx(anchors.baseline, abs=0.0051), "The task's anchors say something else."


class CommandLine:
    """`mlgym` with a suite of the tasks that need neither data nor training."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        information = folder / "site" / "cheap-1.0.dist-info"
        information.mkdir(parents=True)
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: cheap\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text("[mlgym]\ncheap = cheap_suite\n")
        (folder / "site" / "cheap_suite.py").write_text(PLUGIN)
        self.environment = {**os.environ, "PYTHONPATH": str(folder / "site"), "MLGYM_CACHE_DIR": str(folder / "cache")}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(Path(sys.executable).with_name("mlgym")), *arguments],
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        output, error = process.communicate(timeout=600)
        return subprocess.CompletedProcess(arguments, process.returncode, output, error)


def table_of(output: str) -> list[Mapping[str, Any]]:
    """Return the table of the last line of JSON."""
    table: list[Mapping[str, Any]] = json.loads(output.splitlines()[-1])["table"]
    return table


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_suite_is_prepared_played_killed_resumed_and_reported(tmp_path: Path) -> None:
    mlgym = CommandLine(tmp_path)
    prepared = mlgym("prepare", "--suite", "cheap")
    assert prepared.returncode == 0, prepared.stderr
    assert prepared.stdout.count(" is ready: ") == len(CHEAP)
    process = mlgym.start("run", "--suite", "cheap", "--agent", "baseline", "--run-id", "r", "--json")
    results = tmp_path / "runs" / "r" / "episodes"
    deadline = time.monotonic() + 300
    while not list(results.glob("*/episode.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = {path: path.read_text() for path in results.glob("*/episode.json")}
    # Whoever is quicker than the kill has nothing to resume, and the same table.
    resumed = mlgym("resume", "r", "--json")
    assert resumed.returncode == 0, resumed.stderr
    table = table_of(resumed.stdout)
    assert [row["task"] for row in table] == list(CHEAP)
    for row in table:
        assert row["published_baseline"]["value"] == PUBLISHED_BASELINES[row["task"]].value
        assert row["wall_s"] > 0
        # On a machine that is much too busy, a strategy may not answer in time, and says so.
        if row["outcome"] != "invalid" or "longer than" not in row["reason"]:
            assert row["outcome"] == "scored"
            assert row["score"] == pytest.approx(row["baseline"], abs=0.5)
            assert abs(row["normalized"]) < 0.5
    assert {path: path.read_text() for path in before} == before
    shown = mlgym("report", "r", "--format", "markdown")
    assert shown.returncode == 0, shown.stderr
    assert all(f"| `{task}` | full | payoff ↑ |" in shown.stdout for task in CHEAP)
    assert "Published baselines: MLGym" in shown.stdout
