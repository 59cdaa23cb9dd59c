"""What all tests share: a host with small tasks, and a cache that is not the user's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from mlgym_core import Host, TaskMetric, TaskSpec, hookimpl
from mlgym_core.sandbox.bwrap import BwrapSandbox

SUPPORT = Path(__file__).parent / "support"
sys.path.insert(0, str(SUPPORT))

EXAMPLES = ("Number", "Broken", "Infinite", "Forgetful", "Hanging", "Programs", "Greedy")

needs_bwrap = pytest.mark.skipif(BwrapSandbox.unavailable_reason() is not None, reason="bwrap does not work here")


class ExamplePlugin:
    """A plugin with the small tasks, under `examples/…`."""

    MLGYM_API = 1

    @hookimpl
    def mlgym_tasks(self) -> Iterator[TaskSpec]:
        metrics = (TaskMetric("value"), TaskMetric("seed"))
        for name in EXAMPLES:
            yield TaskSpec(f"examples/{name.lower()}", f"example_tasks:{name}", f"The task {name}", metrics=metrics)


@pytest.fixture(scope="session")
def host() -> Host:
    """The core's own plugin and the small tasks."""
    return Host.of(ExamplePlugin())


@pytest.fixture
def installed_examples(host: Host, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Make the small tasks the ones that are installed, as far as `make` is concerned."""
    monkeypatch.setattr("mlgym_core.env.default_host", lambda: host)
    return SimpleNamespace(host=host)


@pytest.fixture(params=[pytest.param("bwrap", marks=needs_bwrap), "process"])
def sandbox_name(request: pytest.FixtureRequest) -> str:
    """Each of the sandboxes that come with the core."""
    return str(request.param)
