"""Which image sandboxes are made of."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from mlgym_core.errors import SandboxError
from mlgym_core.sandbox.locking import exclusive_lock
from mlgym_core.settings import cache_dir
from mlgym_sandbox_docker.engine import Engine
from mlgym_sandbox_docker.owners import LABEL

IMAGE_VARIABLE = "MLGYM_DOCKER_IMAGE"
BASE_VARIABLE = "MLGYM_DOCKER_BASE"
_REPOSITORY = "mlgym-sandbox"
_ASK_SECONDS = 1.0


@dataclass(frozen=True)
class Image:
    """An image that the engine has.

    Attributes:
        name: Tag or id.
        path: The `PATH` of its processes.
    """

    name: str
    path: str


def base_image() -> str:
    """Return the image on which the plugin's own is built."""
    # Packages that are compiled for this Python work only in one of the same version.
    return os.environ.get(BASE_VARIABLE) or f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"


def missing_image(engine: Engine) -> str | None:
    """Return why no image can be had, with the remedy, or None. Builds and pulls nothing."""
    chosen = os.environ.get(IMAGE_VARIABLE)
    if chosen:
        if _inspect(engine, chosen) is not None:
            return None
        return f"{IMAGE_VARIABLE} names the image {chosen!r}, which the engine does not have: pull or build it first."
    base = base_image()
    if _inspect(engine, base) is not None or _inspect(engine, _own_tag(engine, base)) is not None:
        return None
    if _can_be_pulled(engine, base):
        return None
    return (
        f"The engine has no image {base!r} to build the sandboxes' image on, and it could not be found in a registry "
        f"within {_ASK_SECONDS:g} s. Run '{engine.name} pull {base}', or name another image with Python "
        f"{sys.version_info.major}.{sys.version_info.minor} and bash: {BASE_VARIABLE}=…, or {IMAGE_VARIABLE}=… to use "
        "it as it is."
    )


def provide_image(engine: Engine) -> Image:
    """Return the image for sandboxes; build the plugin's own, once, unless the user chose one.

    Raises:
        SandboxError: if it is not there and cannot be built.
    """
    if (reason := missing_image(engine)) is not None:
        raise SandboxError(reason)
    name = os.environ.get(IMAGE_VARIABLE) or _built_image(engine, base_image())
    details = _inspect(engine, name)
    if details is None:
        raise SandboxError(f"The image {name!r} is gone.")
    variables = dict(entry.split("=", 1) for entry in details["Config"].get("Env") or () if "=" in entry)
    return Image(name, variables.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"))


def _built_image(engine: Engine, base: str) -> str:
    import docker

    if _inspect(engine, tag := _own_tag(engine, base)) is not None:
        return tag
    with exclusive_lock(cache_dir() / "docker-image.lock"):
        try:
            if _inspect(engine, base) is None:
                engine.client.images.pull(base)
            tag = _own_tag(engine, base)
            if _inspect(engine, tag) is None:
                with resources.as_file(resources.files("mlgym_sandbox_docker").joinpath("Dockerfile")) as path:
                    engine.client.images.build(
                        path=str(path.parent),
                        dockerfile=str(path),
                        tag=tag,
                        buildargs={"BASE": base},
                        labels={LABEL: "1"},
                        network_mode="none",
                        rm=True,
                        forcerm=True,
                    )
        except docker.errors.BuildError as error:
            said = "".join(str(line.get("stream", "")) for line in error.build_log)[-1000:].strip()
            raise SandboxError(f"The sandboxes' image could not be built on {base!r}: {error}\n{said}") from error
        except docker.errors.DockerException as error:
            raise SandboxError(f"The sandboxes' image could not be built on {base!r}: {error}") from error
    return tag


def _own_tag(engine: Engine, base: str) -> str:
    """Return the name of the plugin's image, which changes with the Dockerfile and with the base."""
    dockerfile = resources.files("mlgym_sandbox_docker").joinpath("Dockerfile").read_bytes()
    details = _inspect(engine, base)
    identity = dockerfile + b"\0" + str(base if details is None else details["Id"]).encode()
    return f"{_REPOSITORY}:{hashlib.sha256(identity).hexdigest()[:16]}"


def _inspect(engine: Engine, name: str) -> Mapping[str, Any] | None:
    import docker

    try:
        details: Mapping[str, Any] = engine.client.api.inspect_image(name)
    except docker.errors.ImageNotFound:
        return None
    return details


def _can_be_pulled(engine: Engine, name: str) -> bool:
    """Ask the engine to find an image in its registry."""
    import docker
    import requests

    api = engine.client.api
    try:
        # A request of its own: the SDK has no time limit for a single one.
        answer = api._get(api._url("/distribution/{0}/json", name), timeout=_ASK_SECONDS)
    except (requests.RequestException, docker.errors.DockerException):
        return False
    return bool(answer.status_code == 200)
