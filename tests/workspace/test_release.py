"""A release of all members, made on a copy of the workspace, and what would keep one from being made."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from releasing.archives import problems_of_archives
from releasing.workspace import (
    UNRELEASED,
    ReleaseError,
    members_of,
    new_version,
    problems_of,
    run_git,
    series_of,
    set_version,
)

ROOT = Path(__file__).parents[2]
NEXT = "7.3.0"
IDENTITY = {f"GIT_{role}_{what}": "tests" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
# One worker makes the release once for all tests that look at it.
pytestmark = pytest.mark.xdist_group("release")


def copy_of_the_workspace(folder: Path) -> Path:
    """Copy what is under version control, with changes that are not committed yet, as a repository of its own."""
    listed = run_git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    for name in listed:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    commit_all(folder, init=True)
    return folder


def commit_all(root: Path, *, init: bool = False) -> None:
    commands = [["init", "--quiet"]] if init else []
    commands += [["add", "--all"], ["commit", "--quiet", "--message", "As it is", "--no-verify"]]
    for command in commands:
        subprocess.run(["git", *command], cwd=root, check=True, env=os.environ | IDENTITY, capture_output=True)


def release_environment(root: Path) -> dict[str, str]:
    # Without compiled files, so that what is left behind shows.
    return os.environ | IDENTITY | {"PYTHONPATH": str(root / ".ci"), "PYTHONDONTWRITEBYTECODE": "1"}


def release(root: Path, version: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "releasing", "--root", str(root), "release", version],
        env=release_environment(root),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return copy_of_the_workspace(tmp_path / "workspace")


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the workspace of which a release was made."""
    root = copy_of_the_workspace(tmp_path_factory.mktemp("release") / "workspace")
    done = release(root, NEXT)
    assert done.returncode == 0, done.stderr
    assert "uv publish dist/*" in done.stdout
    return root


def test_this_workspace_is_consistent() -> None:
    assert list(problems_of(ROOT)) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
class TestRelease:
    """What a release leaves behind."""

    def test_everything_has_the_new_version(self, released: Path) -> None:
        members = members_of(released)
        assert {member.version for member in members} == {NEXT}
        assert f'__version__ = "{NEXT}"' in (released / "mlgym_core" / "__init__.py").read_text()
        assert all("mlgym-core>=7.3" in (member.folder / "pyproject.toml").read_text() for member in members[1:])
        # Members that require others of the workspace, too; what comes from elsewhere stays as it is.
        required = (released / "task_packages/mlgym-bench/pyproject.toml").read_text()
        assert '"mlgym-task-games>=7.3"' in required
        assert "hatchling>=1.27" in required
        assert list(problems_of(released)) == []

    def test_the_changelog_has_it_below_an_empty_heading(self, released: Path) -> None:
        text = (released / "CHANGELOG.md").read_text()
        before, _, after = text.partition(UNRELEASED)
        assert after.startswith(f"\n## [{NEXT}] - 2")
        assert f"{before}{UNRELEASED}{after.split(chr(10), 2)[2]}" == (ROOT / "CHANGELOG.md").read_text()

    def test_it_is_committed_and_tagged(self, released: Path) -> None:
        assert run_git(released, "status", "--porcelain") == ""
        assert run_git(released, "describe", "--exact-match").strip() == f"v{NEXT}"
        assert run_git(released, "log", "-1", "--format=%s").strip() == f"Release {NEXT}"

    def test_every_member_has_a_wheel_and_sources(self, released: Path) -> None:
        assert len(list((released / "dist").iterdir())) == 2 * len(members_of(released))
        assert list(problems_of_archives(released, released / "dist")) == []

    def test_the_same_version_cannot_be_released_again(self, released: Path) -> None:
        again = release(released, NEXT)
        assert again.returncode == 1
        assert f"{NEXT} is released already" in again.stderr
        assert "Traceback" not in again.stderr

    @pytest.mark.parametrize("kind", ["foreign", "missing", "stray"])
    def test_archives_that_are_not_right_are_named(self, kind: str, released: Path, tmp_path: Path) -> None:
        folder = tmp_path / "dist"
        shutil.copytree(released / "dist", folder)
        wheel = folder / f"mlgym_tools-{NEXT}-py3-none-any.whl"
        sources = folder / f"mlgym_tools-{NEXT}.tar.gz"
        if kind == "foreign":
            with zipfile.ZipFile(wheel, "a") as opened:
                opened.writestr("mlgym_tools/notes.txt", "private")
            expected = [f"{wheel.name}: mlgym_tools/notes.txt does not belong there: git does not have it."]
        elif kind == "missing":
            with tarfile.open(sources) as opened_sources:
                opened_sources.extractall(tmp_path, filter="data")
            (tmp_path / f"mlgym_tools-{NEXT}" / "README.md").unlink()
            with tarfile.open(sources, "w:gz") as packed:
                for path in (tmp_path / f"mlgym_tools-{NEXT}").rglob("*"):
                    if path.is_file():
                        packed.add(path, path.relative_to(tmp_path))
            expected = [f"{sources.name}: README.md is missing."]
        else:
            (folder / "old-1.0.tar.gz").write_bytes(b"")
            wheel.unlink()
            expected = [f"{wheel.name} was not built.", "old-1.0.tar.gz belongs to no member."]
        assert list(problems_of_archives(released, folder)) == expected


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def another_version(root: Path) -> None:
    [core, *_] = members_of(root)
    rewrite(root / "plugins/mlgym-tools/pyproject.toml", f'version = "{core.version}"', 'version = "9.9"')


def another_core(root: Path) -> None:
    [core, *_] = members_of(root)
    rewrite(root / "mlgym_core/__init__.py", f'__version__ = "{core.version}"', '__version__ = "9.9"')


def a_window_that_is_too_wide(root: Path) -> None:
    series = series_of(members_of(root)[0].version)
    rewrite(root / "plugins/mlgym-tools/pyproject.toml", f'"mlgym-core>={series}"', '"mlgym-core"')


def a_task_package_that_is_too_old(root: Path) -> None:
    path = root / "task_packages/mlgym-bench/pyproject.toml"
    rewrite(path, '"mlgym-task-games>=', '"mlgym-task-games>=0.0.')


def a_window_that_excludes_the_core(root: Path) -> None:
    series = series_of(members_of(root)[0].version)
    rewrite(root / "plugins/mlgym-tools/pyproject.toml", f'"mlgym-core>={series}"', f'"mlgym-core>={series},<{series}"')


def another_api(root: Path) -> None:
    rewrite(root / "plugins/mlgym-tools/src/mlgym_tools/plugin.py", "MLGYM_API = 1", "MLGYM_API = 0")


def no_heading(root: Path) -> None:
    rewrite(root / "CHANGELOG.md", UNRELEASED, "")


@pytest.mark.parametrize(
    ("break_it", "problem"),
    [
        (another_version, "mlgym-tools has version 9.9"),
        (another_core, "mlgym_core.__version__ is 9.9"),
        (a_window_that_is_too_wide, "mlgym-tools requires mlgym-core: it must be"),
        (a_task_package_that_is_too_old, "must be mlgym-task-games>="),
        (a_window_that_excludes_the_core, "mlgym-tools requires mlgym-core<"),
        (another_api, "of mlgym-tools states MLGYM_API = 0"),
        (no_heading, "CHANGELOG.md has no heading"),
    ],
)
def test_what_is_inconsistent_is_named(break_it: Callable[[Path], None], problem: str, workspace: Path) -> None:
    break_it(workspace)
    [found] = problems_of(workspace)
    assert problem in found
    commit_all(workspace)
    refused = release(workspace, NEXT)
    assert refused.returncode == 1
    assert problem in refused.stderr
    assert run_git(workspace, "status", "--porcelain") == ""
    assert run_git(workspace, "tag", "--list") == ""


@pytest.mark.parametrize(
    ("version", "reason"),
    [("next", "is not a version"), ("7.3.0.", "is not a version"), ("v7.3.0", "Write 7.3.0"), ("0.0.1", "is earlier")],
)
def test_versions_that_cannot_be_next_are_refused(version: str, reason: str) -> None:
    with pytest.raises(ReleaseError, match=reason):
        new_version(ROOT, version)


def test_changes_that_are_not_committed_are_not_released(workspace: Path) -> None:
    (workspace / "README.md").write_text("changed")
    refused = release(workspace, NEXT)
    assert "not committed" in refused.stderr
    assert (workspace / "README.md").read_text() == "changed"


def test_a_release_that_fails_leaves_the_tree_as_it_was(workspace: Path) -> None:
    # What builds refuses to, at once.
    rewrite(workspace / "pyproject.toml", "[tool.uv]\n", '[tool.uv]\nrequired-version = ">=9999"\n')
    commit_all(workspace)
    before = run_git(workspace, "rev-parse", "HEAD")
    refused = release(workspace, NEXT)
    assert refused.returncode == 1
    assert "The build failed" in refused.stderr
    assert run_git(workspace, "status", "--porcelain", "--ignored") == ""
    assert run_git(workspace, "rev-parse", "HEAD") == before


def test_a_release_that_is_interrupted_leaves_the_tree_as_it_was(workspace: Path) -> None:
    command = [sys.executable, "-m", "releasing", "--root", str(workspace), "release", NEXT]
    environment = release_environment(workspace)
    # A shell's background jobs ignore interrupts, and so does what they start unless it is told otherwise.
    command = ["env", "--default-signal=INT", *command]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as releasing:
        while f"[{NEXT}]" not in (workspace / "CHANGELOG.md").read_text() and releasing.poll() is None:
            time.sleep(0.01)
        releasing.send_signal(signal.SIGINT)
        _, said = releasing.communicate()
    assert (releasing.returncode, said) == (130, "Interrupted: nothing was released.\n")
    assert run_git(workspace, "status", "--porcelain", "--ignored") == ""


def test_nothing_in_the_changelog_is_nothing_to_release(workspace: Path) -> None:
    import datetime

    (workspace / "CHANGELOG.md").write_text(f"# Changelog\n\n{UNRELEASED}\n## [0.1.0] - 2026-01-01\n\n- Something.\n")
    with pytest.raises(ReleaseError, match="has no entry"):
        set_version(workspace, NEXT, datetime.date(2026, 2, 3))
