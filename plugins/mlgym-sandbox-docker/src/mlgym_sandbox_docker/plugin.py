"""What this distribution registers with mlgym. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from mlgym_core import SandboxSpec, hookimpl

MLGYM_API = 1


@hookimpl
def mlgym_sandboxes() -> Iterable[SandboxSpec]:
    """Register the two engines."""
    module = "mlgym_sandbox_docker.sandbox"
    yield SandboxSpec("docker", f"{module}:DockerSandbox", "Containers of a Docker engine", preference=20)
    yield SandboxSpec("podman", f"{module}:PodmanSandbox", "Containers of a Podman engine", preference=30)
