"""Which image sandboxes are made of."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from mlgym_core.errors import SandboxError
from mlgym_core.interfaces import SandboxLayout
from mlgym_sandbox_docker.builds import (
    build_own,
    build_packages_image,
    build_task_image,
    inspect_image,
    own_tag,
    pull_image,
)
from mlgym_sandbox_docker.engine import Engine
from mlgym_sandbox_docker.probe import check_image, python_version

IMAGE_VARIABLE = "MLGYM_DOCKER_IMAGE"
"""The image of sandboxes whose task names none, used as it is."""
BASE_VARIABLE = "MLGYM_DOCKER_BASE"
"""The image on which the plugin builds its own; `python:3.X-slim` of mlgym's Python unless set."""
_ASK_SECONDS = 1.0
_USUAL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Image:
    """An image that the engine has, and that sandboxes can be made of.

    Attributes:
        id: The engine's id of it.
        path: The `PATH` of its processes.
        volumes: Folders for which the image asks for a volume.
    """

    id: str
    path: str
    volumes: tuple[str, ...]


def base_image() -> str:
    """Return the image on which the plugin's own is built."""
    # Packages that are compiled for this Python work only in one of the same version.
    return os.environ.get(BASE_VARIABLE) or f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"


def missing_image(engine: Engine) -> str | None:
    """Return why no image can be had for tasks without one of their own, or None. Builds and pulls nothing."""
    chosen = os.environ.get(IMAGE_VARIABLE)
    if chosen:
        if inspect_image(engine, chosen) is not None:
            return None
        return f"{IMAGE_VARIABLE} names the image {chosen!r}, which the engine does not have: pull or build it first."
    base = base_image()
    if inspect_image(engine, base) is not None or inspect_image(engine, own_tag(engine, base)) is not None:
        return None
    if _can_be_pulled(engine, base):
        return None
    return (
        f"The engine has no image {base!r} to build the sandboxes' image on, and it could not be found in a registry "
        f"within {_ASK_SECONDS:g} s. Run '{engine.name} pull {base}', or name another image with Python "
        f"{sys.version_info.major}.{sys.version_info.minor} and bash: {BASE_VARIABLE}=…, or {IMAGE_VARIABLE}=… to use "
        "it as it is."
    )


def provide_image(engine: Engine, layout: SandboxLayout) -> Image:
    """Return the image for a layout: its task's, or the user's, or the plugin's own, with its packages as a layer.

    What is not there is built, once; the answer is remembered as long as this process talks to the engine.

    Raises:
        SandboxError: if it cannot be had, or lacks what sandboxes need.
    """
    wanted = (
        layout.image,
        layout.dockerfile,
        layout.packages,
        os.environ.get(IMAGE_VARIABLE),
        os.environ.get(BASE_VARIABLE),
    )
    image = engine.images.get(wanted)
    if not isinstance(image, Image):
        image = engine.images[wanted] = _with_packages(engine, _name_of(engine, layout), layout)
    return image


def _name_of(engine: Engine, layout: SandboxLayout) -> str:
    if layout.image is not None:
        if inspect_image(engine, layout.image) is None:
            pull_image(engine, layout.image)
        return layout.image
    if layout.dockerfile is not None:
        return build_task_image(engine, layout.dockerfile)
    if (reason := missing_image(engine)) is not None:
        raise SandboxError(reason)
    return os.environ.get(IMAGE_VARIABLE) or build_own(engine, base_image())


def _with_packages(engine: Engine, name: str, layout: SandboxLayout) -> Image:
    image = _described(engine, name)
    check_image(engine, name, image.id)
    if layout.packages is None:
        return image
    theirs, ours = python_version(engine, name, image.id), sys.version_info[:2]
    if theirs != ours:
        raise SandboxError(
            f"The image {name!r} has Python {theirs[0]}.{theirs[1]}, and the packages that the task requires were "
            f"installed for Python {ours[0]}.{ours[1]}, which mlgym runs on: {', '.join(layout.requirements)}. Use an "
            f"image with Python {ours[0]}.{ours[1]}, or run mlgym on Python {theirs[0]}.{theirs[1]}."
        )
    return _described(engine, build_packages_image(engine, name, image.id, layout.packages))


def _described(engine: Engine, name: str) -> Image:
    details = inspect_image(engine, name)
    if details is None:
        raise SandboxError(f"The image {name!r} is gone.")
    config = details.get("Config") or {}
    variables = dict(entry.split("=", 1) for entry in config.get("Env") or () if "=" in entry)
    return Image(str(details["Id"]), variables.get("PATH", _USUAL_PATH), tuple(config.get("Volumes") or ()))


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
