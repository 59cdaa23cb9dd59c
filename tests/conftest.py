"""What all tests share: a host with small tasks, and the sandboxes to try things in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mlgym_core import Host
from mlgym_core.sandbox.bwrap import BwrapSandbox
from mlgym_sandbox_docker import plugin as docker_plugin

SUPPORT = Path(__file__).parent / "support"
sys.path.insert(0, str(SUPPORT))

from example_plugin import ExamplePlugin  # noqa: E402 - found on the path above

needs_bwrap = pytest.mark.skipif(BwrapSandbox.unavailable_reason() is not None, reason="bwrap does not work here")


@pytest.fixture(scope="session")
def host() -> Host:
    """The core's own plugin, the small tasks, and the sandboxes of container engines."""
    return Host.of(ExamplePlugin(), docker_plugin)


@pytest.fixture
def installed_examples(host: Host, monkeypatch: pytest.MonkeyPatch) -> Host:
    """Make the small tasks the ones that are installed, as far as `make` is concerned."""
    monkeypatch.setattr("mlgym_core.making.default_host", lambda: host)
    return host


@pytest.fixture(params=[pytest.param("bwrap", marks=needs_bwrap), "process"])
def sandbox_name(request: pytest.FixtureRequest) -> str:
    """Each of the sandboxes that come with the core."""
    return str(request.param)


@pytest.fixture(params=["bwrap", "docker"])
def isolated_sandbox(request: pytest.FixtureRequest, host: Host) -> str:
    """Each of the sandboxes that isolate; skips where it does not work, with the reason.

    Parametrize it indirectly for what concerns only one of them.
    """
    name = str(request.param)
    reason = host.sandboxes.load(name).unavailable_reason()
    if reason is not None:
        pytest.skip(f"{name} does not work here: {reason}")
    return name
