"""What the how-tos say is so: their programs are run, their refusals happen."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import pytest

from mlgym_core import CapabilityError, Host
from mlgym_core.sandbox.selection import choose_sandbox, needs_of
from mlgym_sandbox_docker import plugin as docker_plugin

DOCS = Path(__file__).parents[2] / "docs"
BIN = Path(sys.executable).parent
TASK = "vision/digits"


def blocks(page: str, language: str) -> list[str]:
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLGYM_RUN")}
    return kept | {"PATH": f"{BIN}:{os.environ['PATH']}"} | variables


def mlgym(*arguments: str, **variables: str) -> str:
    command = [str(BIN / "mlgym"), *arguments]
    finished = subprocess.run(command, env=environment(**variables), capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def results(runs: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(runs.glob("*/episodes/*/episode.json"))]


@pytest.mark.parametrize(
    ("page", "language", "example"),
    [
        ("how-to-tracker", "python", "tracker/score_log.py"),
        ("how-to-tracker", "toml", "tracker/pyproject.toml"),
        ("how-to-cluster", "bash", "cluster/array.sh"),
    ],
)
def test_pages_show_the_examples_that_are_tested(page: str, language: str, example: str) -> None:
    assert (DOCS / "examples" / example).read_text(encoding="utf-8") in blocks(page, language)


@pytest.mark.slow
def test_the_tracker_is_told_of_every_score(tmp_path: Path) -> None:
    source, installed = tmp_path / "source", tmp_path / "installed"
    shutil.copytree(DOCS / "examples" / "tracker", source)
    from uv import find_uv_bin

    command = [find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--target", str(installed), str(source)]
    subprocess.run(command, check=True)
    log, runs = tmp_path / "scores.csv", tmp_path / "runs"
    variables = {"PYTHONPATH": str(installed), "SCORE_LOG": str(log)}
    options = ["--agent", "tuner", "-A", "validations=2", "--runs-dir", str(runs)]
    mlgym("run", TASK, *options, **variables)
    events = [
        json.loads(line)
        for path in runs.glob("*/episodes/*/trajectory.jsonl")
        for line in path.read_text().splitlines()
    ]
    scores = [event["score"] for event in events if event["type"] in ("validation", "score")]
    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["split"], float(row["value"])) for row in rows] == [(s["split"], s["value"]) for s in scores]
    assert {row["split"] for row in rows} == {"validation", "test"}

    for disabled in ("", "score-log"):
        listed = json.loads(mlgym("plugins", "--json", MLGYM_DISABLE=disabled, **variables))["loaded"]
        assert ("score-log" in {plugin["name"] for plugin in listed}) == (not disabled)


@pytest.mark.slow
def test_a_job_of_the_array_goes_on_where_it_was_ended(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    script = [str(DOCS / "examples" / "cluster" / "array.sh"), TASK, "--agent", "tuner", "-A", "validations=4"]
    script += ["--repeat", "2"]
    variables = environment(SLURM_ARRAY_TASK_ID="7", RUNS_DIR=str(runs), USER="somebody")
    variables |= {"MLGYM_CACHE_DIR": os.environ.get("MLGYM_CACHE_DIR", str(Path.home() / ".cache" / "mlgym"))}
    with subprocess.Popen(script, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as job:
        while not results(runs) and job.poll() is None:
            time.sleep(0.05)
        job.send_signal(signal.SIGTERM)
        _, said = job.communicate()
    assert job.returncode == 130, said
    first = [result for result in results(runs) if result["status"] == "completed"]
    assert len(first) == 1

    again = subprocess.run(script, env=variables, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert [(result["status"], result["seed"]) for result in results(runs)] == [("completed", 7)] * 2
    assert all(result in results(runs) for result in first)

    # The page's program that puts the results together, where the runs are called as it expects.
    shown = subprocess.run(
        [sys.executable, "-c", blocks("how-to-cluster", "python")[0]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(shown.stdout.splitlines()) == 2


@pytest.mark.slow
def test_the_protocol_of_the_paper_validates_on_the_test_split_without_a_limit(tmp_path: Path) -> None:
    options = ["--agent", "tuner", "-A", "validations=2", "--max-validations", "1", "--runs-dir", str(tmp_path)]
    mlgym("run", TASK, "--protocol", "paper", *options)
    [result] = results(tmp_path)
    [trajectory] = tmp_path.glob("*/episodes/*/trajectory.jsonl")
    events = [json.loads(line) for line in trajectory.read_text().splitlines()]
    assert result["protocol"] == "paper"
    assert result["validations"] == 2
    assert {event["score"]["split"] for event in events if event["type"] == "validation"} == {"test"}
    assert "Rules of this episode" in events[0]["text"]


def test_a_task_with_a_graphics_processor_is_refused_where_there_is_none_to_give() -> None:
    module = types.ModuleType("folding")
    exec(compile(blocks("how-to-gpu", "python")[0], "how-to-gpu.md", "exec"), module.__dict__)
    host = Host.of(module, docker_plugin)
    assert host.failures == []
    needs = needs_of(host.tasks.spec("proteins/folding"))
    with pytest.raises(CapabilityError, match="graphics processor"):
        choose_sandbox(host, "bwrap", needs)
