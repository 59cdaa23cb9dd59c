"""One list of versions holds for pip and for uv, and covers everything that the workspace installs."""

from __future__ import annotations

import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECTS = [ROOT / "pyproject.toml", *sorted(ROOT.glob("*/mlgym-*/pyproject.toml"))]
SCRIPT: dict[str, Any] = runpy.run_path(str(ROOT / ".ci" / "constraints.py"))


def constraints() -> list[Requirement]:
    return [Requirement(text) for text in SCRIPT["listed"]()]


def names(requirements: list[Requirement]) -> set[str]:
    return {canonicalize_name(requirement.name) for requirement in requirements}


def direct_requirements(project: Path) -> list[Requirement]:
    configuration = tomllib.loads(project.read_text(encoding="utf-8"))
    texts: list[str] = list(configuration["project"]["dependencies"])
    for listed in configuration["project"].get("optional-dependencies", {}).values():
        texts += listed
    # Other groups are never installed together with the workspace.
    texts += configuration.get("dependency-groups", {}).get("dev", [])
    return [Requirement(text) for text in texts]


def test_the_file_for_pip_is_written_from_the_list_for_uv() -> None:
    written = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert written == SCRIPT["rendered"](SCRIPT["listed"]()), "Run `make constraints`"


def test_every_constraint_is_an_exact_version_from_no_particular_place() -> None:
    for constraint in constraints():
        assert constraint.url is None
        assert [specifier.operator for specifier in constraint.specifier] == ["=="], str(constraint)


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.parent.name)
def test_every_direct_requirement_is_held_and_fits(project: Path) -> None:
    held = {canonicalize_name(constraint.name): constraint for constraint in constraints()}
    members = {canonicalize_name(tomllib.loads(path.read_text("utf-8"))["project"]["name"]) for path in PROJECTS}
    for requirement in direct_requirements(project):
        name = canonicalize_name(requirement.name)
        if name not in members:
            assert name in held, f"{name} has no constraint: run `make constraints-update`"
            version = next(iter(held[name].specifier)).version
            assert requirement.specifier.contains(version), f"{requirement} does not allow {version}"


@pytest.mark.slow
def test_a_resolution_of_the_workspace_holds_nothing_else() -> None:
    resolved = [Requirement(text) for text in SCRIPT["resolved"](anew=False)]
    assert names(resolved) <= names(constraints()), "Run `make constraints-update`"
    assert {str(requirement) for requirement in resolved} <= {str(constraint) for constraint in constraints()}
