"""The connection to a container engine that speaks the Docker API on a Unix socket."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mlgym_sandbox_docker.owners import LABEL, OWNER_LABEL, is_gone

if TYPE_CHECKING:
    from docker import DockerClient

EngineName = Literal["docker", "podman"]
_PROBE_SECONDS = 2
_REQUEST_SECONDS = 120
_POOL_SIZE = 64
_WORDS = {
    "docker": "Start Docker, or set DOCKER_HOST to the address of its socket (unix://…)",
    "podman": "Start its service with 'podman system service --time=0', or set CONTAINER_HOST to its socket (unix://…)",
}


def _addresses(name: EngineName) -> Iterator[str]:
    """Yield where an engine may listen; what the user chose is the only one."""
    chosen = os.environ.get("DOCKER_HOST" if name == "docker" else "CONTAINER_HOST")
    if chosen:
        yield chosen
        return
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if name == "docker":
        yield "unix:///var/run/docker.sock"
        folders = [runtime, os.path.expanduser("~/.docker/run")]  # noqa: PTH111 - a string is wanted
        yield from (f"unix://{folder}/docker.sock" for folder in folders if folder)
    else:
        if runtime:
            yield f"unix://{runtime}/podman/podman.sock"
        yield "unix:///run/podman/podman.sock"


@dataclass(frozen=True)
class Engine:
    """An engine that answered.

    Attributes:
        name: Which kind.
        socket_path: Where it listens.
        client: The SDK's client.
        process_id: Of the process that made the connection; it cannot be shared with a forked child.
    """

    name: EngineName
    socket_path: str
    client: DockerClient
    process_id: int = field(default_factory=os.getpid)

    def path(self, request: str) -> str:
        """Return the path of a request with the version of the API that was agreed on."""
        return f"/v{self.client.api._version}{request}"


@dataclass(frozen=True)
class Unreachable:
    """Why no engine answered, as a sentence with a remedy."""

    reason: str


_engines: dict[EngineName, Engine] = {}


def find_engine(name: EngineName) -> Engine | Unreachable:
    """Return the engine, connected once per process, or why there is none. Takes two seconds or so at most.

    The first connection of a process removes the containers of processes that are gone.
    """
    known = _engines.get(name)
    if known is not None and known.process_id == os.getpid():
        return known
    try:
        import docker
    except ImportError as error:
        return Unreachable(f"The package docker is missing ({error}): run 'pip install docker'.")
    reasons = []
    for address in _addresses(name):
        scheme, _, path = address.partition("://")
        if scheme != "unix":
            return Unreachable(
                f"The engine at {address} is not on this machine: files of episodes could not be shown to it. "
                "Use a Unix socket (unix://…)."
            )
        if not os.path.exists(path):  # noqa: PTH110 - a string is at hand
            reasons.append(f"there is no {path}")
            continue
        try:
            # Making it asks the engine for its version.
            client = docker.DockerClient(base_url=address, timeout=_PROBE_SECONDS, max_pool_size=_POOL_SIZE)
        except (docker.errors.DockerException, OSError) as error:
            reasons.append(f"{path} does not answer ({_short(error)})")
            continue
        client.api.timeout = _REQUEST_SECONDS
        engine = Engine(name, path, client)
        _engines[name] = engine
        remove_abandoned(engine)
        return engine
    return Unreachable(f"No {name.capitalize()} engine answers here: {'; '.join(reasons)}. {_WORDS[name]}.")


def _short(error: Exception) -> str:
    text = str(error)
    return "permission denied: your user may not use it" if "Permission denied" in text else text[-200:]


def forget_engine(engine: Engine) -> None:
    """Connect anew at the next use; for an engine that no longer answers."""
    if _engines.get(engine.name) is engine:
        del _engines[engine.name]
    engine.client.close()


def remove_abandoned(engine: Engine) -> int:
    """Remove the containers whose owners are gone, and return how many there were."""
    import docker

    removed = 0
    for container in engine.client.api.containers(all=True, filters={"label": f"{LABEL}=1"}):
        if is_gone(container["Labels"].get(OWNER_LABEL, "")):
            try:
                engine.client.api.remove_container(container["Id"], force=True, v=True)
            except (docker.errors.NotFound, docker.errors.APIError):
                continue  # the engine, or another process, is at it
            removed += 1
    return removed
