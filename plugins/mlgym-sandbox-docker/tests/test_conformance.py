"""The sandboxes of engines conform."""

from __future__ import annotations

from mlgym_core.testing import SandboxConformance


class TestDocker(SandboxConformance):
    """Containers of a Docker engine."""

    sandbox = "docker"


class TestPodman(SandboxConformance):
    """Containers of a Podman engine."""

    sandbox = "podman"
