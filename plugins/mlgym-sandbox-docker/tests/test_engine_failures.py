"""An engine that stops while it is used: a named failure, nothing left, and the next sandbox works.

The tests have a Docker engine of their own, since stopping the machine's would be felt by others.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlgym_core.errors import SandboxError
from mlgym_core.host import Host
from mlgym_core.interfaces import Sandbox, SandboxLayout
from mlgym_core.sandbox.scratch import remove_scratch, scratch_folder
from mlgym_core.sandbox.shell import Shell, as_text
from mlgym_sandbox_docker import engine as engines, pool
from mlgym_sandbox_docker.engine import Engine, find_engine
from mlgym_sandbox_docker.image import provide_image
from mlgym_sandbox_docker.owners import own_identity

_PATIENCE = 60.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("own-engine"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # of the SDK; see below
]


class OwnEngine:
    """A Docker engine that can be stopped and started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"unix://{folder}/engine.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        # One that was killed leaves them, and the numbers may be those of other processes by now.
        for file in ("pid", "run/containerd/containerd.pid"):
            (self.folder / file).unlink(missing_ok=True)
        # In a network of its own: an engine without a bridge deletes the one that it finds, which is another engine's.
        command = ["unshare", "--net", "dockerd", "--host", self.address]
        command += ["--bridge=none", "--iptables=false", "--ip6tables=false"]
        command += ["--data-root", str(self.folder / "data"), "--exec-root", str(self.folder / "run")]
        command += ["--pidfile", str(self.folder / "pid"), "--containerd-namespace", f"mlgym-{os.getpid()}"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        limit = time.monotonic() + _PATIENCE
        while subprocess.run(["docker", "--host", self.address, "info"], capture_output=True, check=False).returncode:
            if self._process.poll() is not None or time.monotonic() > limit:
                pytest.skip(f"a second engine cannot be started: {(self.folder / 'log').read_text()[-500:]}")
            time.sleep(0.05)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_PATIENCE)
            self._process = None

    def remove(self) -> None:
        """End what is left of it, and delete its folder."""
        self.stop()
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if str(self.folder) in entry.read_text():
                    os.kill(int(entry.parent.name), signal.SIGKILL)
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in reversed([mount for mount in mounts if mount.startswith(f"{self.folder}/")]):
            subprocess.run(["umount", "--lazy", mount], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def loaded_engine() -> Iterator[OwnEngine]:
    """The engine with the sandboxes' image, which the machine's own engine has."""
    if (reason := Host.installed().sandboxes.load("docker").unavailable_reason()) is not None:
        pytest.skip(f"docker does not work here: {reason}")
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip("only root can start a second engine")
    engine = find_engine("docker")
    assert isinstance(engine, Engine)
    image = provide_image(engine, SandboxLayout()).id
    # The path of a socket may not be long.
    folder = Path(tempfile.mkdtemp(prefix="mlgym-engine-"))
    own = OwnEngine(folder)
    try:
        own.start()
        save = subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE)
        subprocess.run(["docker", "--host", own.address, "load"], stdin=save.stdout, capture_output=True, check=True)
        assert save.stdout is not None
        save.stdout.close()
        assert save.wait() == 0
        subprocess.run(["docker", "--host", own.address, "tag", image, "sandboxes"], check=True)
        yield own
    finally:
        own.remove()


@pytest.fixture
def own_engine(loaded_engine: OwnEngine, monkeypatch: pytest.MonkeyPatch) -> Iterator[OwnEngine]:
    """The engine as the one that sandboxes use."""
    monkeypatch.setenv("DOCKER_HOST", loaded_engine.address)
    monkeypatch.setenv("MLGYM_DOCKER_IMAGE", "sandboxes")
    monkeypatch.setattr(engines, "_engines", {})
    monkeypatch.setattr(engines, "_left_behind", {})
    yield loaded_engine
    pool.close_pool()
    for engine in engines._engines.values():
        engine.client.close()
    with warnings.catch_warnings():
        # The SDK leaves the sockets open with which it could not connect; this is when they go.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def sandbox_class() -> type[Sandbox]:
    return Host.installed().sandboxes.load("docker")


async def assert_that_the_next_one_works(sandbox_class: type[Sandbox], layout: SandboxLayout) -> None:
    box = sandbox_class(layout)
    shell = Shell(box)
    await shell.start()
    assert as_text((await shell.run("cat kept", _PATIENCE)).output) == "kept\n"
    await shell.close()
    await box.close()
    assert what_is_left() == []


def what_is_left() -> list[str]:
    """Return the containers and folders that this process still has."""
    engine = find_engine("docker")
    assert isinstance(engine, Engine)
    own = f"mlgym.owner={own_identity()}"
    containers = [entry["Id"] for entry in engine.client.api.containers(all=True, filters={"label": own})]
    probe = scratch_folder("probe")
    folders = [path.name for path in probe.parent.iterdir() if path.name.startswith(("handover", "pool"))]
    remove_scratch(probe)
    return [*containers, *folders]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_between_commands(
    own_engine: OwnEngine, sandbox_class: type[Sandbox], layout: SandboxLayout, number: signal.Signals
) -> None:
    box = sandbox_class(layout)
    shell = Shell(box)
    await shell.start()
    await shell.run("echo kept > kept", _PATIENCE)
    await asyncio.to_thread(own_engine.stop, number)
    if number == signal.SIGTERM:
        with pytest.raises(SandboxError, match="Docker engine") as failure:
            await shell.run("echo here", _PATIENCE)
        assert "Start" in str(failure.value)
    else:
        # The containers live on, and a shell's pipes are no business of the engine's.
        assert as_text((await shell.run("cat kept", _PATIENCE)).output) == "kept\n"
    await shell.close()
    await box.close()
    with pytest.raises(SandboxError, match="No Docker engine answers here"):
        await Shell(sandbox_class(layout)).start()
    await asyncio.to_thread(own_engine.start)
    await assert_that_the_next_one_works(sandbox_class, layout)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_during_a_command(
    own_engine: OwnEngine, sandbox_class: type[Sandbox], layout: SandboxLayout, number: signal.Signals
) -> None:
    box = sandbox_class(layout)
    shell = Shell(box)
    await shell.start()
    command = asyncio.create_task(shell.run("echo kept > kept; sleep 1000", _PATIENCE))
    await asyncio.sleep(0.5)
    await asyncio.to_thread(own_engine.stop, number)
    if number == signal.SIGKILL:
        # An engine that comes back ends what it finds.
        await asyncio.to_thread(own_engine.start)
        assert (await command).restarted
        assert as_text((await shell.run("cat kept", _PATIENCE)).output) == "kept\n"
    else:
        with pytest.raises(SandboxError, match="Docker engine"):
            await command
        await asyncio.to_thread(own_engine.start)
    await shell.close()
    await box.close()
    await assert_that_the_next_one_works(sandbox_class, layout)


async def test_with_a_pool(
    own_engine: OwnEngine, sandbox_class: type[Sandbox], layout: SandboxLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLGYM_DOCKER_POOL", "2")
    box = sandbox_class(layout)
    shell = Shell(box)
    await shell.start()
    await shell.run("echo kept > kept", _PATIENCE)
    assert pool.own_pool().wait_until_filled(_PATIENCE)
    await asyncio.to_thread(own_engine.stop)
    await shell.close()
    await box.close()
    with pytest.raises(SandboxError, match="No Docker engine answers here"):
        await Shell(sandbox_class(layout)).start()
    await asyncio.to_thread(own_engine.start)
    box = sandbox_class(layout)
    await Shell(box).start()
    await box.close()
    pool.close_pool()
    monkeypatch.delenv("MLGYM_DOCKER_POOL")
    await assert_that_the_next_one_works(sandbox_class, layout)
