"""Copying a submission out of a workspace that an attacker owns."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlgym_core import InvalidSubmission, SubmissionFile
from mlgym_core.sandbox.submission_files import copy_submission


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A workspace, an empty destination, and a folder that is none of the agent's business."""
    result = tmp_path / "workspace", tmp_path / "destination", tmp_path / "private"
    for folder in result:
        folder.mkdir()
    (result[2] / "secret.txt").write_text("secret")
    return result


def test_declared_files_are_copied_and_nothing_else(folders: tuple[Path, Path, Path]) -> None:
    workspace, destination, _ = folders
    (workspace / "deep").mkdir()
    (workspace / "deep" / "a.txt").write_text("a")
    (workspace / "b.txt").write_text("b")
    copy_submission(workspace, [SubmissionFile(path="deep/a.txt")], destination)
    assert [str(path.relative_to(destination)) for path in destination.rglob("*") if path.is_file()] == ["deep/a.txt"]


def test_optional_files_may_be_missing(folders: tuple[Path, Path, Path]) -> None:
    workspace, destination, _ = folders
    copy_submission(workspace, [SubmissionFile(path="a.txt", required=False)], destination)
    assert list(destination.iterdir()) == []


def test_links_are_not_followed_anywhere(folders: tuple[Path, Path, Path]) -> None:
    workspace, destination, private = folders
    (workspace / "file").symlink_to(private / "secret.txt")
    (workspace / "folder").symlink_to(private)
    for path in ("file", "folder/secret.txt"):
        with pytest.raises(InvalidSubmission, match=r"symbolic link|not a folder"):
            copy_submission(workspace, [SubmissionFile(path=path)], destination)
    assert list(destination.iterdir()) == []


@pytest.mark.parametrize("path", ["../private/secret.txt", "/etc/passwd", "a/../../private/secret.txt", "", "a//b"])
def test_tasks_cannot_name_files_outside(folders: tuple[Path, Path, Path], path: str) -> None:
    workspace, destination, _ = folders
    with pytest.raises(ValueError, match="plain relative path"):
        copy_submission(workspace, [SubmissionFile(path=path)], destination)


def test_a_named_pipe_does_not_hold_us_up(folders: tuple[Path, Path, Path]) -> None:
    workspace, destination, _ = folders
    os.mkfifo(workspace / "file")
    with pytest.raises(InvalidSubmission, match="not a regular file"):
        copy_submission(workspace, [SubmissionFile(path="file")], destination)


def test_size_is_limited(folders: tuple[Path, Path, Path]) -> None:
    workspace, destination, _ = folders
    (workspace / "file").write_bytes(b"x" * 101)
    with pytest.raises(InvalidSubmission, match="101 bytes, of 100"):
        copy_submission(workspace, [SubmissionFile(path="file", max_bytes=100)], destination)
