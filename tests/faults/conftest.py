"""An episode in each of the sandboxes that isolate, and the check that nothing is left of any of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from leftovers import leftovers, unused_volumes

from mlgym_core import Env, make

PATIENCE = 20.0
"""Seconds."""

RUNNERS_SECRET = "canary-4711"
"""In the environment of the runner, and to be found nowhere else."""


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """Check after each module that its sandboxes are gone from this machine, with all that they were made of."""
    volumes = unused_volumes()
    yield
    # An engine removes a container that was killed by itself when it gets to it.
    limit = time.monotonic() + PATIENCE
    while leftovers(os.getpid()) and time.monotonic() < limit:
        time.sleep(0.1)
    assert leftovers(os.getpid()) == {}
    assert unused_volumes() <= volumes


@pytest.fixture
def action_timeout() -> float:
    """How long a command may take, in seconds. Modules whose commands are to be ended by it have one of their own."""
    return 60.0


@pytest.fixture
def env(
    isolated_sandbox: str,
    action_timeout: float,
    installed_examples: object,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[Env]:
    """An episode that has begun, in each of the sandboxes that isolate."""
    monkeypatch.setenv("EXAMPLE_API_KEY", RUNNERS_SECRET)
    with make(
        "examples/number", sandbox=isolated_sandbox, action_timeout=action_timeout, max_steps=100, runs_dir=tmp_path
    ) as env:
        env.reset()
        yield env
