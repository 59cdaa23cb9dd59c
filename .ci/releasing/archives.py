"""Wheels and source distributions: building them, and holding what is in them against what git has."""

from __future__ import annotations

import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from packaging.metadata import Metadata
from packaging.requirements import Requirement

from releasing.workspace import Member, ReleaseError, members_of, run_git

# What build backends add to what git has.
_ADDED_TO_SOURCES = {"PKG-INFO", ".gitignore", "pyproject.toml"}
_ADDED_TO_WHEELS = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}


def build_all(root: Path, folder: Path) -> None:
    """Build all members into an empty folder, each wheel from its source distribution.

    Raises:
        ReleaseError: if the folder is not empty, or a build fails.
    """
    from uv import find_uv_bin

    if folder.exists() and any(folder.iterdir()):
        raise ReleaseError(f"{folder} is not empty. Remove it, so that nothing old is published.")
    command = [find_uv_bin(), "build", "--quiet", "--all-packages", "--out-dir", str(folder)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ReleaseError(f"The build failed:\n{done.stdout}{done.stderr}")
    # uv's own, so that the folder is not committed.
    (folder / ".gitignore").unlink(missing_ok=True)


def problems_of_archives(root: Path, folder: Path) -> Iterator[str]:
    """Yield what is wrong with the archives in a folder, which should be those of all members and nothing else."""
    expected: set[str] = set()
    for member in members_of(root):
        stem = f"{member.name.replace('-', '_')}-{member.version}"
        expected |= {f"{stem}.tar.gz", f"{stem}-py3-none-any.whl"}
        tracked = set(run_git(member.folder, "ls-files").splitlines())
        for archive, check in (
            (folder / f"{stem}.tar.gz", _source_problems),
            (folder / f"{stem}-py3-none-any.whl", _wheel_problems),
        ):
            if archive.is_file():
                yield from (f"{archive.name}: {problem}" for problem in check(archive, member, tracked))
    found = {path.name for path in folder.iterdir()}
    yield from (f"{name} was not built." for name in sorted(expected - found))
    yield from (f"{name} belongs to no member." for name in sorted(found - expected))


def _source_problems(archive: Path, member: Member, tracked: set[str]) -> Iterator[str]:
    with tarfile.open(archive) as opened:
        files = {PurePosixPath(item.name): item for item in opened.getmembers()}
        names = {str(PurePosixPath(*path.parts[1:])) for path in files}
        yield from (f"{path} is neither a file nor a folder." for path, item in files.items() if not item.isreg())
        described = next((item for path, item in files.items() if path.parts[1:] == ("PKG-INFO",)), None)
        text = None if described is None else opened.extractfile(described)
        metadata = b"" if text is None else text.read()
    target = _target(member, "sdist")
    wanted = {name for name in tracked if _is_below(name, target.get("only-include", ["."]))}
    wanted = _with_forced(wanted, target, tracked)
    yield from _differences(names, wanted, _ADDED_TO_SOURCES)
    yield from _metadata_problems(metadata, member)


def _wheel_problems(archive: Path, member: Member, tracked: set[str]) -> Iterator[str]:
    stem = f"{member.name.replace('-', '_')}-{member.version}.dist-info"
    with zipfile.ZipFile(archive) as opened:
        names = set(opened.namelist())
        metadata = opened.read(f"{stem}/METADATA") if f"{stem}/METADATA" in names else b""
    target = _target(member, "wheel")
    parent = member.package.parent
    wanted = {str(Path(name).relative_to(parent)) for name in tracked if _is_below(name, [str(member.package)])}
    wanted = _with_forced(wanted, target, tracked)
    added = {f"{stem}/{name}" for name in _ADDED_TO_WHEELS}
    yield from _differences(names, wanted | {f"{stem}/METADATA", f"{stem}/licenses/LICENSE"}, added)
    if f"{member.package.name}/py.typed" not in names:
        yield "it has no py.typed, so that its types count for nobody."
    yield from _metadata_problems(metadata, member)


def _target(member: Member, kind: str) -> dict[str, Any]:
    targets: dict[str, Any] = member.configuration["tool"]["hatch"]["build"]["targets"]
    target: dict[str, Any] = targets.get(kind, {})
    return target


def _with_forced(wanted: set[str], target: dict[str, Any], tracked: set[str]) -> set[str]:
    """Return the wanted files with those that the configuration puts at another place."""
    forced = set(wanted)
    for source, destination in target.get("force-include", {}).items():
        for name in tracked:
            if _is_below(name, [source]):
                forced.add(str(PurePosixPath(destination) / PurePosixPath(name).relative_to(source)))
    return forced


def _is_below(name: str, folders: list[str]) -> bool:
    return any(folder == "." or PurePosixPath(name).is_relative_to(folder) for folder in folders)


def _differences(names: set[str], wanted: set[str], added: set[str]) -> Iterator[str]:
    yield from (f"{name} is missing." for name in sorted(wanted - names))
    yield from (f"{name} does not belong there: git does not have it." for name in sorted(names - wanted - added))


def _metadata_problems(text: bytes, member: Member) -> Iterator[str]:
    """Yield what an index would refuse, or readers would miss."""
    try:
        metadata = Metadata.from_email(text, validate=True)
    except ExceptionGroup as group:
        yield from (f"its metadata are not valid: {error}" for error in group.exceptions)
        return
    if (metadata.name, str(metadata.version)) != (member.name, member.version):
        yield f"its metadata are those of {metadata.name} {metadata.version}."
    if metadata.license_expression != "Apache-2.0":
        yield f"its licence is {metadata.license_expression}."
    if metadata.description_content_type != "text/markdown" or not (metadata.description or "").strip():
        yield "it has no README in Markdown."
    for requirement in metadata.requires_dist or []:
        if Requirement(str(requirement)).url is not None:
            yield f"it requires {requirement}: an index takes names and versions only."
