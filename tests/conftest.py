"""What all tests share: a host with small tasks, and the sandboxes to try things in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mlgym_core import Host
from mlgym_core.sandbox.bwrap import BwrapSandbox

SUPPORT = Path(__file__).parent / "support"
sys.path.insert(0, str(SUPPORT))

from example_plugin import ExamplePlugin  # noqa: E402 - found on the path above

needs_bwrap = pytest.mark.skipif(BwrapSandbox.unavailable_reason() is not None, reason="bwrap does not work here")


@pytest.fixture(scope="session")
def host() -> Host:
    """The core's own plugin and the small tasks."""
    return Host.of(ExamplePlugin())


@pytest.fixture
def installed_examples(host: Host, monkeypatch: pytest.MonkeyPatch) -> Host:
    """Make the small tasks the ones that are installed, as far as `make` is concerned."""
    monkeypatch.setattr("mlgym_core.making.default_host", lambda: host)
    return host


@pytest.fixture(params=[pytest.param("bwrap", marks=needs_bwrap), "process"])
def sandbox_name(request: pytest.FixtureRequest) -> str:
    """Each of the sandboxes that come with the core."""
    return str(request.param)


@pytest.fixture(params=[pytest.param("bwrap", marks=needs_bwrap)])
def isolated_sandbox(request: pytest.FixtureRequest) -> str:
    """Each sandbox that isolates and works here."""
    return str(request.param)
