"""When a task is prepared anew, and when not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlgym_core import Host
from mlgym_core.preparation import PreparedTask, prepare_task


def test_with_another_key_a_task_is_prepared_anew(host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLGYM_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("MLGYM_GRADING_KEY", raising=False)
    without = prepare_task(host, "examples/number").private
    monkeypatch.setenv("MLGYM_GRADING_KEY", "a secret")
    secret = prepare_task(host, "examples/number").private
    assert secret != without
    assert "secret" not in str(secret)
    assert prepare_task(host, "examples/number").private == secret
    monkeypatch.delenv("MLGYM_GRADING_KEY")
    assert prepare_task(host, "examples/number").private == without


@pytest.fixture
def prepared(host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> PreparedTask:
    """A task in a cache of its own."""
    monkeypatch.setenv("MLGYM_CACHE_DIR", str(tmp_path))
    return prepare_task(host, "examples/number")


def test_files_that_were_changed_are_put_aside_and_made_anew(host: Host, prepared: PreparedTask) -> None:
    (prepared.private / "secret.txt").write_text("another file, longer")
    said: list[str] = []
    again = prepare_task(host, "examples/number", notify=said.append)
    assert (again.private / "secret.txt").read_text() == "the private file"
    assert again.data_hash == prepared.data_hash
    assert "have been changed" in said[0]
    [aside] = prepared.public.parent.parent.glob("*-changed-*")
    assert (aside / "private" / "secret.txt").read_text() == "another file, longer"


def test_files_that_are_missing_are_noticed(host: Host, prepared: PreparedTask) -> None:
    (prepared.public / "answer.txt").unlink()
    assert (prepare_task(host, "examples/number").public / "answer.txt").exists()


def test_a_copied_cache_is_good(host: Host, prepared: PreparedTask) -> None:
    for path in prepared.public.parent.rglob("*"):
        os.utime(path, (1, 1))
    said: list[str] = []
    prepare_task(host, "examples/number", notify=said.append)
    assert said == []


def test_what_a_killed_preparation_left_is_removed(host: Host, prepared: PreparedTask) -> None:
    folder = prepared.public.parent
    partial = folder.with_name(f"{folder.name}.partial")
    folder.rename(partial)
    (partial / "public" / "half").write_text("half")
    assert not (prepare_task(host, "examples/number").public / "half").exists()
    assert not partial.exists()
