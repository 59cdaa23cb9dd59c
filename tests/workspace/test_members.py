"""Every distribution in the workspace has the same shape."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mlgym_core

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(path for group in ("plugins", "task_packages") for path in (ROOT / group).iterdir() if path.is_dir())


def read_toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Member:
    """A distribution in `plugins/` or `task_packages/`."""

    folder: Path

    @property
    def configuration(self) -> dict[str, Any]:
        return read_toml(self.folder / "pyproject.toml")

    @property
    def project(self) -> dict[str, Any]:
        project: dict[str, Any] = self.configuration["project"]
        return project

    @property
    def package(self) -> str:
        """The name that Python imports."""
        return self.folder.name.replace("-", "_")


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def member(request: pytest.FixtureRequest) -> Member:
    return Member(request.param)


def test_the_workspace_has_members() -> None:
    assert {"mlgym-gymnasium", "mlgym-task-games"} <= {folder.name for folder in FOLDERS}


def test_is_named_like_its_folder(member: Member) -> None:
    assert member.project["name"] == member.folder.name
    assert member.folder.name.startswith("mlgym-")


def test_has_one_typed_package_in_the_src_layout(member: Member) -> None:
    packages = {path.parent.name for path in member.folder.glob("src/*/__init__.py")}
    assert packages == {member.package}
    assert (member.folder / "src" / member.package / "py.typed").is_file()


def test_has_tests(member: Member) -> None:
    assert list(member.folder.glob("tests/**/test_*.py"))


def test_readme_opens_with_the_name(member: Member) -> None:
    assert member.project["readme"] == "README.md"
    readme = (member.folder / "README.md").read_text(encoding="utf-8")
    assert readme.startswith(f"# {member.folder.name}\n")


def test_requires_the_core(member: Member) -> None:
    requirements = [Requirement(text) for text in member.project["dependencies"]]
    core = [requirement for requirement in requirements if canonicalize_name(requirement.name) == "mlgym-core"]
    assert len(core) == 1
    assert core[0].specifier.contains(mlgym_core.__version__)


def test_has_an_entry_point_or_says_why_not(member: Member) -> None:
    entry_points: dict[str, str] = member.project.get("entry-points", {}).get("mlgym", {})
    reason: str = member.configuration.get("tool", {}).get("mlgym", {}).get("without-entry-point", "")
    assert bool(entry_points) != bool(reason.strip()), (
        "Name a module in [project.entry-points.mlgym], or give the reason in [tool.mlgym] without-entry-point"
    )
    for target in entry_points.values():
        module = member.folder.joinpath("src", *target.split("."))
        assert module.with_suffix(".py").is_file() or (module / "__init__.py").is_file(), f"There is no module {target}"


def test_carries_the_licence(member: Member) -> None:
    assert member.project["license"] == "Apache-2.0"
    assert member.project["license-files"] == ["LICENSE"]
    assert (member.folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_supports_the_same_versions_of_python_as_the_core(member: Member) -> None:
    core = read_toml(ROOT / "pyproject.toml")["project"]
    assert member.project["requires-python"] == core["requires-python"]


def test_is_forbidden_to_the_core(member: Member) -> None:
    contracts = read_toml(ROOT / "pyproject.toml")["tool"]["importlinter"]["contracts"]
    forbidden = [contract["forbidden_modules"] for contract in contracts if contract["type"] == "forbidden"]
    assert any(member.package in modules for modules in forbidden)


def test_is_in_the_changelog(member: Member) -> None:
    assert f"`{member.folder.name}`" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_core_states_one_version() -> None:
    assert read_toml(ROOT / "pyproject.toml")["project"]["version"] == mlgym_core.__version__
