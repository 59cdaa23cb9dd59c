"""Leases on graphics processors, of which this machine need not have any."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlgym_core.errors import SandboxError
from mlgym_core.interfaces import Sandbox, SandboxLayout
from mlgym_core.sandbox.shell import Shell
from mlgym_core.specs import Resources
from mlgym_sandbox_docker.engine import Engine
from mlgym_sandbox_docker.gpus import GpuLease, has_devices
from mlgym_sandbox_docker.image import provide_image

FIRST, SECOND = "GPU-1111", "GPU-2222"
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(autouse=True)
def two_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the machine look as if it had two, and leases none of the real ones."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho '0, {FIRST}'\necho '1, {SECOND}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    (tmp_path / "cache").mkdir()
    monkeypatch.setattr("mlgym_sandbox_docker.gpus.cache_dir", lambda: tmp_path / "cache")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("MLGYM_GPU_SHARING", raising=False)


def holder(start_python: Start, cache: Path, count: int = 1) -> tuple[subprocess.Popen[str], list[str]]:
    """Return another process that holds a lease, and the devices."""
    process = start_python(
        f"""
        from mlgym_sandbox_docker.gpus import GpuLease
        lease = GpuLease({count})
        print(*lease.devices, flush=True)
        input()
        """,
        MLGYM_CACHE_DIR=str(cache),
    )
    assert process.stdout is not None
    return process, process.stdout.readline().split()


def test_no_two_leases_share_a_device(start_python: Start, tmp_path: Path) -> None:
    ours = GpuLease(1)
    _, theirs = holder(start_python, tmp_path / "cache")
    assert {*ours.devices, *theirs} == {FIRST, SECOND}
    with pytest.raises(SandboxError, match=r"needs 1 GPUs, of 2 only 0 are free: other sandboxes use them\. Run fewer"):
        GpuLease(1)
    ours.release()
    with pytest.raises(SandboxError, match="needs 2 GPUs, of 2 only 1 are free"):
        GpuLease(2)
    again = GpuLease(1)
    assert again.devices == ours.devices
    again.release()


def test_a_lease_ends_with_its_process_however_that_ends(start_python: Start, tmp_path: Path) -> None:
    process, devices = holder(start_python, tmp_path / "cache", 2)
    assert devices == [FIRST, SECOND]
    with pytest.raises(SandboxError, match="are free"):
        GpuLease(1)
    process.kill()
    process.wait()
    GpuLease(2).release()


def test_leases_are_shared_only_if_all_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLGYM_GPU_SHARING", "1")
    first, second = GpuLease(2), GpuLease(2)
    assert first.devices == second.devices == [FIRST, SECOND]
    monkeypatch.delenv("MLGYM_GPU_SHARING")
    with pytest.raises(SandboxError, match="are free"):
        GpuLease(1)
    first.release()
    second.release()
    alone = GpuLease(1)
    monkeypatch.setenv("MLGYM_GPU_SHARING", "1")
    with pytest.raises(SandboxError, match="of 2 only 1 are free"):
        GpuLease(2)
    alone.release()


def test_only_devices_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    for visible, expected in (("1", SECOND), (FIRST, FIRST), (" 0 ", FIRST)):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        lease = GpuLease(1)
        assert lease.devices == [expected]
        lease.release()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(SandboxError, match="needs 1 GPUs, and there are 0"):
        GpuLease(1)


def test_more_than_there_are() -> None:
    with pytest.raises(SandboxError, match="needs 3 GPUs, and there are 2"):
        GpuLease(3)


def test_a_machine_without_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SandboxError, match="needs a GPU, and nvidia-smi does not list any"):
        GpuLease(1)


@pytest.fixture
def requests(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The device requests that the engine is sent; it starts the containers without."""
    recorded: list[Any] = []
    provide_image(engine, SandboxLayout())
    create = engine.client.api.create_container_from_config

    def record(config: dict[str, Any], name: str) -> Any:
        recorded.append(config["HostConfig"].pop("DeviceRequests", None))
        return create(config, name)

    monkeypatch.setattr(engine.client.api, "create_container_from_config", record)
    monkeypatch.setattr("mlgym_sandbox_docker.container.has_devices", lambda _process_id: True)
    return recorded


async def test_sandboxes_get_devices_of_their_own(
    sandbox_class: type[Sandbox], layout: SandboxLayout, requests: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLGYM_DOCKER_POOL", "1")  # nothing with devices is started ahead
    layout = replace(layout, resources=Resources(gpus=1))
    boxes = [sandbox_class(layout) for _ in range(3)]
    shells = [Shell(box) for box in boxes]
    try:
        await shells[0].start()
        await shells[1].start()
        assert [request[0]["DeviceIDs"] for request in requests] == [[FIRST], [SECOND]]
        assert all(request[0]["Capabilities"] == [["gpu"]] for request in requests)
        with pytest.raises(SandboxError, match="other sandboxes use them"):
            await shells[2].start()
        await shells[0].close()
        await boxes[0].close()
        await shells[2].start()
        assert requests[-1][0]["DeviceIDs"] == [FIRST]
    finally:
        for shell, box in zip(shells, boxes, strict=True):
            await shell.close()
            await box.close()


async def test_an_engine_that_ignores_the_request_is_found_out(
    sandbox_class: type[Sandbox], layout: SandboxLayout, requests: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlgym_sandbox_docker.container.has_devices", has_devices)
    shell = Shell(sandbox_class(replace(layout, resources=Resources(gpus=2))))
    with pytest.raises(SandboxError, match="gave the container no GPU"):
        await shell.start()
    assert requests[0][0]["DeviceIDs"] == [FIRST, SECOND]
    GpuLease(2).release()


async def test_no_devices_unless_they_are_needed(
    sandbox_class: type[Sandbox], layout: SandboxLayout, requests: list[Any]
) -> None:
    box = sandbox_class(layout)
    shell = Shell(box)
    try:
        await shell.start()
        assert requests == [None]
    finally:
        await shell.close()
        await box.close()
