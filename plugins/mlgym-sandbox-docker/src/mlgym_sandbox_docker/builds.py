"""Building images: each once, however many processes want it."""

from __future__ import annotations

import hashlib
import logging
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from mlgym_core.errors import SandboxError
from mlgym_core.locking import exclusive_lock
from mlgym_core.sandbox.scratch import remove_scratch, scratch_folder
from mlgym_core.settings import cache_dir
from mlgym_sandbox_docker.engine import Engine
from mlgym_sandbox_docker.owners import BUILDER_LABEL, LABEL, own_identity

PACKAGES = "/opt/packages"
"""Where a layout's packages lie in the image that is made for them."""
_OWN_REPOSITORY = "mlgym-sandbox"
_TASK_REPOSITORY = "mlgym-task"
_PACKAGES_REPOSITORY = "mlgym-packages"
_LAST_LINES = 20
_TRIES = 3
_LAYER_HAS_GONE = ("layer not known", "image not known")
"""What Podman says where somebody removes an image whose layers it was about to use. The next try does without them."""
_PACKAGES_RECIPE = f"""\
FROM {{image}}
COPY packages {PACKAGES}
USER root
# The root of sandboxes is read-only, so that nothing compiled could be kept there later; what does not compile stays.
RUN python3 -m compileall -q {PACKAGES} >/dev/null 2>&1 || true
"""

logger = logging.getLogger("mlgym.sandbox.docker")


def own_tag(engine: Engine, base: str) -> str:
    """Return the name of the plugin's image on a base, which changes with the recipe and with the base."""
    details = inspect_image(engine, base)
    return f"{_OWN_REPOSITORY}:{_digest([_own_recipe(), str(base if details is None else details['Id']).encode()])}"


def build_own(engine: Engine, base: str) -> str:
    """Return the plugin's image on `base`, pulling the base and building the image if need be."""
    if inspect_image(engine, base) is None:
        pull_image(engine, base)
    tag = own_tag(engine, base)

    def build() -> Iterator[Mapping[str, Any]]:
        with resources.as_file(resources.files("mlgym_sandbox_docker").joinpath("Dockerfile")) as path:
            yield from _build(
                engine,
                tag,
                path=str(path.parent),
                dockerfile=str(path),
                buildargs={"BASE": base},
                network_mode="none",
            )

    return _once(engine, tag, f"the sandboxes' image on {base!r}", build)


def build_task_image(engine: Engine, dockerfile: Path) -> str:
    """Return the image of a task's Dockerfile, whose folder is the context; it is named by all that is in there."""
    folder = dockerfile.parent
    tag = f"{_TASK_REPOSITORY}:{_digest([dockerfile.name.encode(), *_content(folder)])}"

    def build() -> Iterator[Mapping[str, Any]]:
        return _build(engine, tag, path=str(folder), dockerfile=dockerfile.name, pull=False)

    return _once(engine, tag, f"the image of {dockerfile}", build)


def build_packages_image(engine: Engine, image: str, image_id: str, packages: Path) -> str:
    """Return an image with a layer of packages on top of `image`.

    Args:
        packages: A folder that never changes once it is there, named by what it holds.
    """
    # What is installed says it in the names of its metadata; this tells folders apart that are named alike.
    entries = sorted(os.listdir(packages))
    name = [image_id, packages.parent.name, packages.name, *entries, _PACKAGES_RECIPE]
    tag = f"{_PACKAGES_REPOSITORY}:{_digest(part.encode() for part in name)}"

    def build() -> Iterator[Mapping[str, Any]]:
        folder = scratch_folder("image")
        try:
            context = folder / "context.tar"
            with tarfile.open(context, "w") as archive:
                archive.add(packages, "packages", filter=_readable_by_all)
                (folder / "Dockerfile").write_text(_PACKAGES_RECIPE.format(image=image.removeprefix("sha256:")))
                archive.add(folder / "Dockerfile", "Dockerfile", filter=_readable_by_all)
            with context.open("rb") as file:
                yield from _build(engine, tag, fileobj=file, custom_context=True, network_mode="none")
        finally:
            remove_scratch(folder)

    return _once(engine, tag, f"an image with the packages of {packages.parent.name} on {image!r}", build)


def inspect_image(engine: Engine, name: str) -> Mapping[str, Any] | None:
    """Return what the engine says of an image, or None if it has none of that name."""
    import docker

    try:
        details: Mapping[str, Any] = engine.client.api.inspect_image(name)
    except docker.errors.ImageNotFound:
        return None
    except docker.errors.APIError as error:
        raise SandboxError(f"{name!r} is not the name of an image: {error.explanation}") from error
    return details


def pull_image(engine: Engine, name: str) -> None:
    """Get an image from its registry.

    Raises:
        SandboxError: if it cannot be had.
    """
    import docker

    logger.info("Pulling the image %r into %s (once) …", name, engine.name)
    try:
        engine.client.images.pull(name)
    except (docker.errors.DockerException, OSError) as error:
        raise SandboxError(
            f"The {engine.name} engine has no image {name!r}, and could not pull it: "
            f"{getattr(error, 'explanation', None) or error}. Pull or build it first."
        ) from error


def _build(engine: Engine, tag: str, **options: Any) -> Iterator[Mapping[str, Any]]:
    lines: Iterator[Mapping[str, Any]] = engine.client.api.build(
        tag=tag,
        # The builder tells whether an image without a name, which an interrupted build leaves, is still being built.
        labels={LABEL: "1", BUILDER_LABEL: own_identity()},
        rm=True,
        forcerm=True,
        decode=True,
        **options,
    )
    yield from lines


def _once(engine: Engine, tag: str, what: str, build: Callable[[], Iterator[Mapping[str, Any]]]) -> str:
    """Return the name of an image, after building it unless it is there; others that want it wait.

    Raises:
        SandboxError: with the last lines of the build, if it fails.
    """
    if inspect_image(engine, tag) is not None:
        return tag
    folder = cache_dir() / "docker-images"
    folder.mkdir(exist_ok=True)
    with exclusive_lock(folder / f"{engine.name}-{tag.replace(':', '-')}.lock"):
        if inspect_image(engine, tag) is not None:
            return tag
        logger.info("Building %s for %s (once) …", what, engine.name)
        said: list[str] = []
        for _ in range(_TRIES):
            said = _said_while(build)
            if inspect_image(engine, tag) is not None:
                return tag
            if not any(sign in line for line in said for sign in _LAYER_HAS_GONE):
                break
        last = "\n".join(line for line in said if line.strip()).splitlines()[-_LAST_LINES:]
        raise SandboxError(f"Building {what} failed. The {engine.name} engine said last:\n" + "\n".join(last))


def _said_while(build: Callable[[], Iterator[Mapping[str, Any]]]) -> list[str]:
    """Build an image, and return what the engine said: with an error at the end if it failed."""
    import docker

    said: list[str] = []
    try:
        for line in build():
            said += str(line.get("stream") or line.get("status") or "").splitlines()
            if "error" in line:
                said += str(line["error"]).splitlines()
                break
    except docker.errors.APIError as error:
        said.append(str(error.explanation or error))
    except (docker.errors.DockerException, OSError, TypeError) as error:
        said.append(str(error))
    return said


def _own_recipe() -> bytes:
    return resources.files("mlgym_sandbox_docker").joinpath("Dockerfile").read_bytes()


def _content(folder: Path) -> Iterator[bytes]:
    """Yield everything in a folder that a build may depend on."""
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder)).encode("utf-8", "surrogateescape")
        if path.is_symlink():
            yield b"link " + name
            yield os.fsencode(path.readlink())
        elif path.is_dir():
            yield b"folder " + name
        elif path.is_file():
            yield f"file {path.stat().st_mode & 0o777:o} ".encode() + name
            yield hashlib.sha256(path.read_bytes()).digest()


def _digest(parts: Any) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()[:16]


def _readable_by_all(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if entry.name.endswith("/__pycache__"):
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mode |= 0o555 if entry.isdir() or entry.mode & 0o100 else 0o444
    return entry
