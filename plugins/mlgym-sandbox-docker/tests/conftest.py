"""What the tests share: the engines that work here, a sandbox, and a shell in it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from mlgym_core.host import Host
from mlgym_core.interfaces import Mount, Sandbox, SandboxLayout
from mlgym_core.sandbox.shell import Shell, as_text
from mlgym_core.specs import Resources
from mlgym_sandbox_docker.engine import Engine, EngineName, find_engine
from mlgym_sandbox_docker.image import provide_image
from mlgym_sandbox_docker.owners import own_identity

PATIENCE = 30.0
Output = Callable[[str], Any]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail instead of skipping for want of an engine that must be there: a green run then says that it was tested.

    `MLGYM_REQUIRE_DOCKER=1` and `MLGYM_REQUIRE_PODMAN=1` name what must be there.
    """
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        for engine in ("docker", "podman"):
            variable = f"MLGYM_REQUIRE_{engine.upper()}"
            if os.environ.get(variable) == "1" and f"{engine} does not work here" in str(report.longrepr):
                report.outcome = "failed"
                report.longrepr = f"{variable} is set, but {report.longrepr}"
    return report


@pytest.fixture(params=["docker", "podman"])
def name(request: pytest.FixtureRequest) -> EngineName:
    """Each engine that works here."""
    chosen: EngineName = request.param
    reason = Host.installed().sandboxes.load(chosen).unavailable_reason()
    if reason is not None:
        pytest.skip(f"{chosen} does not work here: {reason}")
    return chosen


@pytest.fixture
def sandbox_class(name: EngineName) -> type[Sandbox]:
    """Its sandbox."""
    return Host.installed().sandboxes.load(name)


@pytest.fixture
def engine(name: EngineName) -> Engine:
    """The connection to it."""
    found = find_engine(name)
    assert isinstance(found, Engine)
    return found


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """The host's folder behind the sandbox's working directory."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def layout(workspace: Path) -> SandboxLayout:
    """A layout with limits."""
    return SandboxLayout(
        mounts=(Mount(workspace, "/workspace", writable=True),),
        working_directory="/workspace",
        temporary_bytes=16 << 20,
        resources=Resources(memory_bytes=256 << 20, processes=100),
    )


@pytest.fixture
async def box(sandbox_class: type[Sandbox], layout: SandboxLayout) -> AsyncIterator[Sandbox]:
    """A sandbox with it."""
    sandbox = sandbox_class(layout)
    yield sandbox
    await sandbox.close()


@pytest.fixture
async def shell(box: Sandbox) -> AsyncIterator[Shell]:
    """A shell in that."""
    shell = Shell(box)
    await shell.start()
    yield shell
    await shell.close()


@pytest.fixture
def output(shell: Shell) -> Output:
    """Awaits what a command in the shell prints."""

    async def run(command: str) -> str:
        return as_text((await shell.run(command, PATIENCE)).output)

    return run


@pytest.fixture
def containers_of(engine: Engine) -> Callable[[str], list[str]]:
    """Returns the ids of the containers of a process, which begin its identity; of this one if none is given."""

    def containers(owner: str | None = None) -> list[str]:
        owner = owner or own_identity()
        listed = engine.client.api.containers(all=True, filters={"label": "mlgym=1"})
        return [str(entry["Id"]) for entry in listed if entry["Labels"].get("mlgym.owner", "").startswith(owner)]

    return containers


@pytest.fixture
def own_image(engine: Engine) -> str:
    """The plugin's image, by a name to build on."""
    image = provide_image(engine, SandboxLayout())
    return str(engine.client.api.inspect_image(image.id)["RepoTags"][0])


@pytest.fixture
def without_new_images(engine: Engine, own_image: str) -> Iterator[None]:
    """Delete the images that the test had made, but for the plugin's own."""
    assert own_image
    before = {getattr(image, "id", "") for image in engine.images.values()}
    yield
    for wanted, image in list(engine.images.items()):
        if (identifier := getattr(image, "id", "")) not in before:
            del engine.images[wanted]
            # What others build on at this moment must stay.
            with contextlib.suppress(docker.errors.APIError):
                engine.client.api.remove_image(identifier, force=True, noprune=True)


@pytest.fixture
def start_python() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts Python with a script and more environment variables, and kills it at the end."""
    started: list[subprocess.Popen[str]] = []

    def start(script: str, **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **variables},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
