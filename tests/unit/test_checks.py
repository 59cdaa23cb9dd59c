"""`mlgym check`: what is sound passes, and each fault is found by the check that is there for it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import faulty_tasks
import pytest

from mlgym_core import Host, TaskMetric, TaskSpec, hookimpl
from mlgym_core.checks.findings import CheckFailed, Finding
from mlgym_core.checks.importing import check_light_import
from mlgym_core.checks.tasks import TaskChecks
from mlgym_core.sandbox.bwrap import BwrapSandbox
from tests.cli.conftest import FakeSite

pytestmark = pytest.mark.skipif(BwrapSandbox.unavailable_reason() is not None, reason="bwrap does not work here")

TASKS = [
    name for name, kind in vars(faulty_tasks).items() if isinstance(kind, type) and kind.__module__ == "faulty_tasks"
]


CONSEQUENCES = {
    "heavy": {"baseline", "direction"},
    "endless": {"baseline", "direction"},
    "silent": {"described files"},
    "restless": {"described files"},
    "leaky": {"described files"},
    "moody": {"direction", "malformed submissions", "forgery"},
    "broken": {"private files", "baseline", "direction"},
    "pedantic": {"direction"},
    "gullible": {"description"},
    "backward": {"direction"},
}
"""What else fails because of a fault."""


class FaultyPlugin:
    MLGYM_API = 1

    @hookimpl
    def mlgym_tasks(self) -> Iterator[TaskSpec]:
        metrics = (TaskMetric("accuracy"),)
        for name in TASKS:
            yield TaskSpec(f"checks/{name.lower()}", f"faulty_tasks:{name}", "s", metrics=metrics)
        yield TaskSpec("checks/heavy", "heavy_task:Heavy", "s", metrics=metrics)


@pytest.fixture(scope="module")
def faulty() -> Host:
    return Host.of(FaultyPlugin())


@pytest.fixture(autouse=True)
def modules_of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let other processes import the tasks' modules, as they would those of an installed package."""
    monkeypatch.setenv("PYTHONPATH", str(Path(faulty_tasks.__file__).parent))


def findings(host: Host, task: str, sandbox: str = "bwrap") -> dict[str, Finding]:
    async def collected() -> dict[str, Finding]:
        checks = TaskChecks(host, f"checks/{task}", "full", sandbox, lambda _: None)
        return {finding.check: finding async for finding in checks.all()}

    return asyncio.run(collected())


def test_what_is_sound_passes(faulty: Host) -> None:
    found = findings(faulty, "sound")
    assert {finding.outcome for finding in found.values()} == {"passed"}, found
    assert "accuracy 0.8" in found["baseline"].detail
    assert len(found) == 13


@pytest.mark.parametrize(
    ("task", "check", "says"),
    [
        ("heavy", "import", "imports numpy"),
        ("silent", "description", "submission.csv"),
        ("reticent", "description", "nothing says where"),
        ("baseless", "anchors", "without a source"),
        ("endless", "anchors", "neither a reference nor a scale"),
        ("restless", "reproducible", "other files"),
        ("leaky", "private files", ".hidden/notes is the private file answers.csv"),
        ("labelled", "private files", "the column 'remark' of test.csv has the test split's 'label'"),
        ("idle", "baseline", "There is no submission.csv"),
        ("idle", "baseline", "exit code 1 and said: no idea"),
        ("backward", "anchors", "the reference 0.4 is worse than the baseline 0.85"),
        ("leaving", "data", "SystemExit: 3"),
        ("boastful", "baseline", "outside of 0.98 to 1"),
        ("moody", "deterministic", "and then"),
        ("perverse", "direction", "is to be maximized, and of quality"),
        ("unreachable", "direction", "short of the reference"),
        ("broken", "anchors", "ZeroDivisionError"),
        ("aimless", "description", "the goal"),
        ("untidy", "described files", "has notes.txt"),
        ("fragile", "malformed submissions", "breaks the grader"),
        ("lenient", "malformed submissions", "is accepted and earns"),
        ("pedantic", "malformed submissions", "another order is not graded like the original"),
        ("gullible", "forgery", "changed the outcome"),
    ],
)
def test_each_fault_is_found(task: str, check: str, says: str, faulty: Host) -> None:
    found = findings(faulty, task)
    assert found[check].outcome == "failed", found[check]
    assert says in found[check].detail
    assert found[check].remedy
    others = {name for name, finding in found.items() if finding.outcome == "failed" and name != check}
    assert others == CONSEQUENCES.get(task, set())


@pytest.mark.parametrize(
    ("line", "says"),
    [
        # It is light, and it is there wherever mlgym is installed, but not in graders.
        ("from mlgym_core.types import Split", "imports pydantic (task.py, line 2)"),
        ("import click", "imports click (task.py, line 2)"),
        ("import json, mlgym_core, borrowing.other", None),
    ],
)
def test_what_graders_do_not_have_is_named_with_its_place(
    line: str, says: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    package = tmp_path / "borrowing"
    package.mkdir()
    for name, text in (("__init__", ""), ("plugin", "import click"), ("other", ""), ("task", f"import os\n{line}")):
        (package / f"{name}.py").write_text(text)
    modules = ["borrowing.plugin", "borrowing.task"]
    if says is None:
        assert "nothing heavy" in asyncio.run(check_light_import(modules, package="borrowing"))
        return
    with pytest.raises(CheckFailed, match=re.escape(says)) as failure:
        asyncio.run(check_light_import(modules, package="borrowing"))
    assert "TYPE_CHECKING" in failure.value.remedy
    # Where the spec has requirements of the grader, they may be what is imported.
    assert "nothing heavy" in asyncio.run(check_light_import(modules))


def test_gradings_that_take_most_of_their_time_are_named(faulty: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlgym_core.checks.tasks._SHARE_OF_TIME", 1e-9)
    found = findings(faulty, "sound")["grading time"]
    assert (found.outcome, "counts as hung" in found.detail) == ("failed", True)


def test_bands_are_of_the_public_splits(faulty: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLGYM_GRADING_KEY", "a secret")
    found = findings(faulty, "boastful")["baseline"]
    assert (found.outcome, "of the public splits" in found.detail) == ("passed", True)


def test_without_a_submission_of_the_baseline_what_needs_one_is_skipped(faulty: Host) -> None:
    found = findings(faulty, "idle")
    assert {name for name, finding in found.items() if finding.outcome == "skipped"} == {
        "deterministic",
        "malformed submissions",
        "forgery",
        "grading time",
    }


def test_attacks_are_judged_by_what_they_earn(faulty: Host) -> None:
    found = {name.removeprefix("attack: "): finding for name, finding in findings(faulty, "attacked").items()}
    assert found["says 0"].outcome == "passed"
    assert "stopped: it earns" in found["says 0"].detail
    assert found["looks numbers up"].outcome == "passed"
    assert "flagged implausible_score" in found["looks numbers up"].detail
    assert "flagged implausible_score" in found["looks numbers up in two copies"].detail
    assert found["says 0, as if that were good"].outcome == "failed"
    assert "is not flagged" in found["says 0, as if that were good"].detail
    assert found["looks numbers up, as if that were stopped"].outcome == "failed"


def test_without_isolation_nothing_hostile_is_run(faulty: Host) -> None:
    found = findings(faulty, "attacked", "process")
    skipped = {name for name, finding in found.items() if finding.outcome == "skipped"}
    assert skipped == {"private files", "forgery", *(name for name in found if name.startswith("attack: "))}
    assert len(skipped) == 7


# --------------------------------------------------------------------------------------- the command line

PLUGIN = """
from mlgym_core import TaskMetric, TaskSpec, hookimpl
MLGYM_API = 1
@hookimpl
def mlgym_tasks():
    for name in ("Sound", "Silent"):
        yield TaskSpec(f"checks/{name.lower()}", f"faulty_tasks:{name}", "s", metrics=(TaskMetric("accuracy"),),
                       variants=("full", "mini"))
"""


def test_the_command(site: FakeSite, tmp_path: Path) -> None:
    site.add("mlgym-checks", "checks", PLUGIN)
    (site.folder / "faulty_tasks.py").write_text(Path(faulty_tasks.__file__).read_text())
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    sound = site.mlgym("check", "checks/sound", **environment)
    assert sound.returncode == 0, sound.stdout
    assert sound.stdout.startswith("task checks/sound (mini)\n")
    assert sound.stdout.endswith("13 passed, 0 failed, 0 skipped\n")
    both = site.mlgym("check", "mlgym-checks", "--json", "--variant", "full", **environment)
    assert both.returncode == 1
    rows = json.loads(both.stdout)
    assert {(row["kind"], row["id"], row["variant"]) for row in rows} == {
        ("task", "checks/sound", "full"),
        ("task", "checks/silent", "full"),
    }
    assert [row["check"] for row in rows if row["outcome"] == "failed"] == ["description", "described files"]
    for arguments, says in (
        (("mlgym-check",), "Did you mean 'mlgym-checks'"),
        (("checks/sond",), "Did you mean 'checks/sound'"),
        (("checks/sound", "--variant", "tiny"), "It has: full, mini."),
    ):
        wrong = site.mlgym("check", *arguments, **environment)
        assert wrong.returncode == 2
        assert says in wrong.stderr
