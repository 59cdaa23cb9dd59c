"""The connection to a container engine that speaks the Docker API on a Unix socket."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlgym_core.errors import SandboxError
from mlgym_sandbox_docker.owners import BUILDER_LABEL, LABEL, OWNER_LABEL, is_gone

if TYPE_CHECKING:
    from docker import DockerClient

EngineName = Literal["docker", "podman"]
_PROBE_SECONDS = 2
_REQUEST_SECONDS = 120
_POOL_SIZE = 64
_LISTING_ATTEMPTS = 5
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


@dataclass(frozen=True, eq=False)
class Engine:
    """An engine that answered.

    Attributes:
        name: Which kind.
        socket_path: Where it listens.
        client: The SDK's client.
        process_id: Of the process that made the connection; it cannot be shared with a forked child.
        images: What is known of its images, so that it need not be asked before each start.
    """

    name: EngineName
    socket_path: str
    client: DockerClient
    process_id: int = field(default_factory=os.getpid)
    images: dict[object, object] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The name as people write it."""
        return self.name.capitalize()

    def path(self, request: str) -> str:
        """Return the path of a request with the version of the API that was agreed on."""
        return f"/v{self.client.api._version}{request}"


@dataclass(frozen=True)
class Unreachable:
    """Why no engine answered, as a sentence with a remedy."""

    reason: str


_engines: dict[EngineName, Engine] = {}
_left_behind: dict[EngineName, set[str]] = {}
"""Containers that could not be removed when their time had come, since the engine did not answer."""


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
            # The SDK would leave the socket open if nothing listens.
            with socket.socket(socket.AF_UNIX) as attempt:
                attempt.settimeout(_PROBE_SECONDS)
                attempt.connect(path)
            # Making it asks the engine for its version.
            client = docker.DockerClient(base_url=address, timeout=_PROBE_SECONDS, max_pool_size=_POOL_SIZE)
        except (docker.errors.DockerException, OSError) as error:
            reasons.append(f"{path} does not answer ({_short(error)})")
            continue
        client.api.timeout = _REQUEST_SECONDS
        engine = Engine(name, path, client)
        _engines[name] = engine
        with contextlib.suppress(docker.errors.DockerException, OSError):  # the next connection tries it again
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


def engine_information(engine: Engine) -> Mapping[str, Any]:
    """Return what an engine says of itself, or nothing if it does not answer."""
    import docker

    try:
        information: Mapping[str, Any] = engine.client.api.info()
    except (docker.errors.DockerException, OSError):
        forget_engine(engine)
        return {}
    return information


def remove_container(engine: Engine, name: str) -> None:
    """Remove a container and its volumes, whatever its state. If the engine does not answer: as soon as it does."""
    import docker

    try:
        engine.client.api.remove_container(name, force=True, v=True)
    except docker.errors.APIError:
        pass  # it is gone, or going
    except (docker.errors.DockerException, OSError):
        _left_behind.setdefault(engine.name, set()).add(name)
        forget_engine(engine)


def remove_abandoned(engine: Engine) -> Mapping[str, int]:
    """Remove containers and unfinished images of processes that are gone, and return how many there were of each."""
    import docker

    api = engine.client.api
    left_behind = _left_behind.setdefault(engine.name, set())
    containers = images = 0
    for container in _listed(api.containers, all=True, filters={"label": f"{LABEL}=1"}):
        names = {name.removeprefix("/") for name in container["Names"] or ()}
        if names & left_behind or is_gone(container["Labels"].get(OWNER_LABEL, "")):
            with contextlib.suppress(docker.errors.APIError):  # the engine, or another process, is at it
                api.remove_container(container["Id"], force=True, v=True)
                containers += 1
            left_behind -= names
    for image in unfinished_images(engine):
        if is_gone((image.get("Labels") or {}).get(BUILDER_LABEL, "")):
            with contextlib.suppress(docker.errors.APIError):  # something is made of it
                api.remove_image(image["Id"])
                images += 1
    return {"container": containers, "image": images}


def unfinished_images(engine: Engine) -> list[Mapping[str, Any]]:
    """Return the images without a name that builds of mlgym made."""
    return _listed(engine.client.api.images, filters={"label": f"{LABEL}=1", "dangling": True})


def _listed(listing: Callable[..., list[Mapping[str, Any]]], **options: Any) -> list[Mapping[str, Any]]:
    """Return what an engine lists. Podman fails at it if something is removed meanwhile."""
    import docker

    for _ in range(_LISTING_ATTEMPTS):
        with contextlib.suppress(docker.errors.APIError):
            return listing(**options)
    return []


def hardened(engine: Engine) -> dict[str, Any]:
    """Return the settings that every container has, whatever it is for."""
    from docker.types import Ulimit

    options: dict[str, Any] = {
        "cap_drop": ["ALL"],
        "init": True,
        "ipc_mode": "private",
        "log_config": {"type": "none"},
        "read_only": True,
        "security_opt": ["no-new-privileges"],
    }
    if engine.name == "podman":
        # Its own defaults may be more than its service is allowed to hand down, and then nothing starts.
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        largest = int(Path("/proc/sys/kernel/pid_max").read_text(encoding="ascii"))
        processes = min(resource.getrlimit(resource.RLIMIT_NPROC)[1], largest)
        options["ulimits"] = [
            Ulimit(name=name, soft=limit, hard=limit) for name, limit in (("nofile", files), ("nproc", processes))
        ]
    return options


def as_sandbox_error(engine: Engine, what: str, error: BaseException) -> BaseException:
    """Return what to raise for a failed request: a `SandboxError`, unless it is something else altogether."""
    import docker
    import requests

    if isinstance(error, requests.ConnectionError | ConnectionError | FileNotFoundError):
        forget_engine(engine)
        return SandboxError(f"{what}: the {engine.title} engine no longer answers. Start it again.")
    if isinstance(error, docker.errors.DockerException | OSError):
        return SandboxError(f"{what}: {getattr(error, 'explanation', None) or error}")
    return error
