"""What the tests of all agents share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from agents_support import SUPPORT, Player


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the task is prepared once for all."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def play(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Player:
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_BASE_URL", "_API_BASE")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MLGYM_CACHE_DIR", str(cache))
    monkeypatch.syspath_prepend(SUPPORT)
    return Player(tmp_path)
