"""What `mlgym new-…` makes works untouched: beside the wheel of the core, in an environment of its own."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from clean_run import run
from uv import find_uv_bin

ROOT = Path(__file__).parents[2]

# One worker makes the environment once for all tests of this module.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("scaffolds")]

TASKS = ("predictions", "function", "policy", "model")
OTHERS = ("agent", "tool", "metric", "sandbox")


@dataclass(frozen=True)
class Site:
    """An environment with the core's wheel and all packages that were made.

    Attributes:
        folder: Where the packages lie.
        binaries: Its programs.
        cache: The cache of mlgym.
    """

    folder: Path
    binaries: Path
    cache: Path

    def run(self, *command: str, folder: Path | None = None) -> str:
        """Run a program of the environment and return what it printed; it must succeed."""
        program = [str(self.binaries / command[0]), *command[1:]]
        return run(program, folder or self.folder, MLGYM_CACHE_DIR=str(self.cache)).stdout


def distribution(kind: str) -> str:
    return f"mlgym-task-new-{kind}" if kind in TASKS else f"mlgym-{kind}-new-one"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("scaffolds")
    site = Site(folder, folder / "environment" / "bin", folder / "cache")
    run([find_uv_bin(), "build", "--quiet", "--out-dir", str(folder / "dist"), str(ROOT)], ROOT)
    [wheel] = (folder / "dist").glob("*.whl")
    run([find_uv_bin(), "venv", "--quiet", "--python", sys.executable, str(folder / "environment")], folder)
    install = [find_uv_bin(), "pip", "install", "--quiet", "--python", str(site.binaries / "python")]
    install += ["--constraints", str(ROOT / "constraints.txt")]
    run([*install, f"{wheel}[testing]"], folder)
    for kind in TASKS:
        site.run("mlgym", "new-task", f"new-{kind}", "--domain", "trial", "--kind", kind, "--no-input")
    for kind in OTHERS:
        site.run("mlgym", f"new-{kind}", "new-one", "--no-input")
    run([*install, *(str(folder / distribution(kind)) for kind in (*TASKS, *OTHERS))], folder)
    return site


def test_all_are_listed(site: Site) -> None:
    plugins = json.loads(site.run("mlgym", "plugins", "--json"))
    assert plugins["failed"] == []
    assert {distribution(kind) for kind in (*TASKS, *OTHERS)} <= {row["distribution"] for row in plugins["loaded"]}
    assert [row["id"] for row in json.loads(site.run("mlgym", "tasks", "--json"))] == [
        f"trial/new-{kind}" for kind in sorted(TASKS)
    ]
    for listing, name in (
        ("agents", "new-one"),
        ("tools", "new_one"),
        ("metrics", "new-one"),
        ("sandboxes", "new-one"),
    ):
        assert name in [row["id"] for row in json.loads(site.run("mlgym", listing, "--json"))]


@pytest.mark.parametrize("kind", TASKS)
def test_an_episode_of_each_task_is_worth_the_baseline(kind: str, site: Site) -> None:
    *_, line, _ = site.run("mlgym", "run", f"trial/new-{kind}", "--agent", "baseline", "--json").splitlines()
    episode = json.loads(line)
    assert (episode["status"], episode["integrity"]["flags"]) == ("completed", [])
    assert abs(episode["score"]["normalized"]) < 0.3


@pytest.mark.parametrize("kind", [*TASKS, *OTHERS])
def test_its_own_tests_pass(kind: str, site: Site) -> None:
    said = site.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", folder=site.folder / distribution(kind))
    assert " passed" in said


@pytest.mark.parametrize("kind", [*TASKS, "agent", "tool", "metric"])
def test_it_is_what_the_framework_expects(kind: str, site: Site) -> None:
    findings = json.loads(site.run("mlgym", "check", distribution(kind), "--json"))
    assert {finding["outcome"] for finding in findings} == {"passed"}, findings


def test_the_sandbox_is_what_the_framework_expects(site: Site) -> None:
    findings = json.loads(site.run("mlgym", "check", distribution("sandbox"), "--json"))
    assert [finding["outcome"] for finding in findings] == ["passed"] * 4, findings


def test_each_builds_and_carries_what_it_should(site: Site) -> None:
    folder = site.folder / distribution("policy")
    run([find_uv_bin(), "build", "--quiet", "--wheel", "--out-dir", str(folder / "dist"), str(folder)], folder)
    [wheel] = (folder / "dist").glob("*.whl")
    names = site.run("python", "-m", "zipfile", "--list", str(wheel))
    for name in (
        "description.md",
        "simulator.py",
        "starters/policy.py",
        "starters/weights.json",
        "py.typed",
        "LICENSE",
    ):
        assert name in names
