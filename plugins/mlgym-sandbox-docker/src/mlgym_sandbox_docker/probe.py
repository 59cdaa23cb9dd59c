"""What an image has of what sandboxes need. Each image is tried once on a machine."""

from __future__ import annotations

import contextlib

from mlgym_core.errors import SandboxError
from mlgym_core.settings import cache_dir
from mlgym_sandbox_docker.engine import Engine, hardened
from mlgym_sandbox_docker.owners import LABEL, OWNER_LABEL, own_identity

_PROGRAMS = {64: "/bin/bash", 128: "/bin/cat"}
_MINOR = 63
_NO_PYTHON = 0
_OLDEST_PYTHON = 9
# The answer is an exit status, since engines keep what containers print in different places, or nowhere: the minor
# version, and a bit for each program that is missing.
_QUESTION = f"""\
import os, sys
missing = [bit for bit, path in {_PROGRAMS!r}.items() if not os.access(path, os.X_OK)]
sys.exit((sys.version_info[1] if sys.version_info[0] == 3 else 0) | sum(missing))
"""


def check_image(engine: Engine, name: str, image_id: str) -> None:
    """Make sure that an image has what sandboxes need.

    Raises:
        SandboxError: naming everything that is missing.
    """
    answer = _answer(engine, image_id)
    missing = [path for bit, path in _PROGRAMS.items() if answer & bit]
    if answer & _MINOR < _OLDEST_PYTHON:
        missing.append(f"python3 (version 3.{_OLDEST_PYTHON} or newer, on its PATH)")
    if missing:
        raise SandboxError(
            f"The image {name!r} cannot be used for sandboxes. It lacks {' and '.join(missing)}: add that to it."
        )


def python_version(engine: Engine, name: str, image_id: str) -> tuple[int, int]:
    """Return the version of an image's `python3`."""
    check_image(engine, name, image_id)
    return 3, _answer(engine, image_id) & _MINOR


def _answer(engine: Engine, image_id: str) -> int:
    folder = cache_dir() / "docker-images"
    folder.mkdir(exist_ok=True)
    # An image with an id never changes.
    file = folder / f"{image_id.removeprefix('sha256:')}.answer"
    with contextlib.suppress(OSError, ValueError):
        return int(file.read_text(encoding="ascii"))
    answer = _ask(engine, image_id)
    file.write_text(str(answer), encoding="ascii")
    return answer


def _ask(engine: Engine, image_id: str) -> int:
    import docker

    api = engine.client.api
    container = ""
    try:
        # A first process of the engine's own would hide that the program is not there.
        host = api.create_host_config(network_mode="none", **{**hardened(engine), "init": False})
        created = api.create_container_from_config(
            {
                "Image": image_id,
                "Entrypoint": ["python3", "-I", "-S", "-c", _QUESTION],
                "Cmd": [],
                "User": "65534:65534",
                "WorkingDir": "/",
                "Labels": {LABEL: "1", OWNER_LABEL: own_identity()},
                "HostConfig": host,
            }
        )
        container = str(created["Id"])
        try:
            api.start(container)
        except docker.errors.APIError as error:
            if "no such file" not in str(error).lower() and "not found" not in str(error).lower():
                raise
            return _NO_PYTHON | sum(bit for bit, path in _PROGRAMS.items() if not _has(engine, container, path))
        return int(api.wait(container)["StatusCode"])
    except (docker.errors.DockerException, OSError) as error:
        raise SandboxError(
            f"The image {image_id} could not be tried: {getattr(error, 'explanation', None) or error}"
        ) from error
    finally:
        if container:
            with contextlib.suppress(docker.errors.DockerException, OSError):
                api.remove_container(container, force=True, v=True)


def _has(engine: Engine, container: str, path: str) -> bool:
    import docker

    try:
        stream, _ = engine.client.api.get_archive(container, path)
    except docker.errors.NotFound:
        return False
    stream.close()
    return True
