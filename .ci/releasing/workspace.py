"""The members of the workspace, what they say of versions, and what a release changes in them."""

from __future__ import annotations

import ast
import datetime
import re
import subprocess
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

CORE = "mlgym-core"
UNRELEASED = "## [Unreleased]\n"
_VERSION = re.compile(r'(?<=^version = ")[^"]+(?="$)', re.MULTILINE)
_CORE_VERSION = re.compile(r'(?<=^__version__ = ")[^"]+(?="$)', re.MULTILINE)
_MEMBER_REQUIREMENT = re.compile(r'(?<=")(?P<who>[a-z0-9-]+(\[[\w,-]+\])?)>=[\d.]+(?=["; ,])')


class ReleaseError(Exception):
    """Something keeps the workspace from being released; the message says what, and what to do."""


@dataclass(frozen=True)
class Member:
    """A distribution of the workspace.

    Attributes:
        folder: Where its `pyproject.toml` lies.
        configuration: What that says.
    """

    folder: Path
    configuration: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The distribution's name."""
        return str(self.configuration["project"]["name"])

    @property
    def version(self) -> str:
        """The version in `pyproject.toml`."""
        return str(self.configuration["project"]["version"])

    @property
    def package(self) -> Path:
        """The folder of what Python imports, relative to `folder`."""
        [package] = self.configuration["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
        return Path(package)


def members_of(root: Path) -> list[Member]:
    """Return all members, the core first."""
    patterns = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]["workspace"][
        "members"
    ]
    folders = sorted(path.parent for pattern in patterns for path in root.glob(f"{pattern}/pyproject.toml"))
    return [
        Member(folder, tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")))
        for folder in (root, *folders)
    ]


def run_git(root: Path, *arguments: str) -> str:
    """Run git in `root` and return what it prints.

    Raises:
        ReleaseError: if it fails, with what it said.
    """
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ReleaseError(f"`git {' '.join(arguments)}` failed: {done.stderr.strip()}")
    return done.stdout


def problems_of(root: Path) -> Iterator[str]:
    """Yield what is inconsistent among the members' versions, requirements, hook versions and the changelog."""
    core, *others = members_of(root)
    source = (core.folder / core.package / "__init__.py").read_text(encoding="utf-8")
    stated = _CORE_VERSION.findall(source)
    if stated != [core.version]:
        yield f"mlgym_core.__version__ is {' and '.join(stated) or 'missing'}, pyproject.toml says {core.version}."
    series = series_of(core.version)
    names = {canonicalize_name(member.name) for member in others}
    api = _constant(core.folder / core.package / "hookspecs.py", "API_VERSION")
    for member in others:
        if member.version != core.version:
            yield f"{member.name} has version {member.version}, the core {core.version}: all members have one."
        yield from _requirement_problems(member, core.version, series, names)
        for name, target in member.configuration["project"].get("entry-points", {}).get("mlgym", {}).items():
            module = member.folder / member.package.parent / Path(*target.split(".")).with_suffix(".py")
            written_for = _constant(module, "MLGYM_API")
            if written_for != api:
                yield f"The plugin {name!r} of {member.name} states MLGYM_API = {written_for}, the core has {api}."
    yield from _changelog_problems(root, core.version)


def _requirement_problems(member: Member, version: str, series: str, others: Collection[str]) -> Iterator[str]:
    listed = [Requirement(text) for text in member.configuration["project"].get("dependencies", [])]
    by_name = [(canonicalize_name(requirement.name), requirement) for requirement in listed]
    if not any(name == CORE for name, _ in by_name):
        yield f"{member.name} does not require {CORE}."
    for name, requirement in by_name:
        if name != CORE and name not in others:
            continue
        lower = [item.version for item in requirement.specifier if item.operator == ">="]
        # What plugins and core have agreed on beyond that is MLGYM_API, which the core checks when it loads them.
        if lower != [series] or not requirement.specifier.contains(version, prereleases=True):
            yield f"{member.name} requires {requirement}: it must be {name}>={series}, so that it fits {version}."


def _changelog_problems(root: Path, version: str) -> Iterator[str]:
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    if changelog.count(UNRELEASED) != 1:
        yield f"CHANGELOG.md has no heading {UNRELEASED.strip()!r}, or several."
    is_released = bool(run_git(root, "tag", "--list", f"v{version}").strip())
    if is_released and f"\n## [{version}] - " not in changelog:
        yield f"CHANGELOG.md has no heading for {version}, which is tagged."


def _constant(path: Path, name: str) -> object:
    """Return the value that a module assigns to a name, without importing it; None if it assigns none."""
    if not path.is_file():
        path = path.with_suffix("") / "__init__.py"
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.value, ast.Constant):
            continue
        if any(isinstance(target, ast.Name) and target.id == name for target in statement.targets):
            return statement.value.value
    return None


def series_of(version: str) -> str:
    """Return the lower bound of what members of a version require of the core: `0.2` for `0.2.1`."""
    parsed = Version(version)
    return f"{parsed.major}.{parsed.minor}"


def new_version(root: Path, text: str) -> str:
    """Return a version that can be released next.

    Raises:
        ReleaseError: if it is no version in its normal form, is not later than the present one, or was released.
    """
    [core, *_] = members_of(root)
    try:
        version = Version(text)
    except InvalidVersion:
        raise ReleaseError(f"{text!r} is not a version: write one such as {core.version}.") from None
    if str(version) != text or version.local:
        raise ReleaseError(f"Write {version.public} for {text}.")
    if run_git(root, "tag", "--list", f"v{text}").strip():
        raise ReleaseError(f"{text} is released already: there is a tag v{text}. Choose a later one.")
    if version < Version(core.version):
        raise ReleaseError(f"{text} is earlier than the present version {core.version}. Choose a later one.")
    return text


def set_version(root: Path, version: str, day: datetime.date) -> None:
    """Write a version into all members, what they require of each other, and the changelog.

    Raises:
        ReleaseError: if there is nothing to be released in the changelog.
    """
    changelog = root / "CHANGELOG.md"
    before, heading, after = changelog.read_text(encoding="utf-8").partition(UNRELEASED)
    entries, _, _ = after.partition("\n## [")
    if not heading or not re.search(r"^- ", entries, re.MULTILINE):
        raise ReleaseError(f"CHANGELOG.md has no entry below {UNRELEASED.strip()!r}: say there what changes.")
    changelog.write_text(f"{before}{heading}\n## [{version}] - {day.isoformat()}\n{after}", encoding="utf-8")
    [core, *others] = members_of(root)
    _rewrite(core.folder / core.package / "__init__.py", _CORE_VERSION, version)
    for member in (core, *others):
        _rewrite(member.folder / "pyproject.toml", _VERSION, version)
    names = {member.name for member in (core, *others)}
    for member in others:
        path = member.folder / "pyproject.toml"
        _rewrite(path, _MEMBER_REQUIREMENT, lambda match: _lower_bound(match, version, names))


def _lower_bound(match: re.Match[str], version: str, members: Collection[str]) -> str:
    """Return a requirement on a member as it is from now on, and any other as it is."""
    is_member = match["who"].partition("[")[0] in members
    return f"{match['who']}>={series_of(version)}" if is_member else match[0]


def _rewrite(path: Path, pattern: re.Pattern[str], replacement: Any) -> None:
    text, count = pattern.subn(replacement, path.read_text(encoding="utf-8"))
    if not count:
        raise ReleaseError(f"{path} states no version where it is looked for: {pattern.pattern}")
    path.write_text(text, encoding="utf-8")
