"""When a task is prepared anew, and when not."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlgym_core import Host
from mlgym_core.preparation import prepare_task


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
