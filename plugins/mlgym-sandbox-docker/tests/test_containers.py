"""What containers must do beyond what every sandbox does: limits, folders, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mlgym_core import make
from mlgym_core.interfaces import Sandbox, SandboxLayout
from mlgym_core.sandbox.pipes import run_process
from mlgym_core.sandbox.shell import Shell, as_text
from mlgym_sandbox_docker.engine import Engine, EngineName, remove_abandoned, unfinished_images
from mlgym_sandbox_docker.owners import is_gone, own_identity
from mlgym_sandbox_docker.process import EngineProcess

_PATIENCE = 20.0
_CROWD = 'python3 -c \'import subprocess; [subprocess.Popen(["sleep", "1000"]) for _ in range(200)]\' 2>&1'


Output = Callable[[str], Awaitable[str]]
Containers = Callable[..., list[str]]


def replace_folder(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "file").write_text("new\n")


def ask(script: str, **variables: str) -> str:
    """Return what Python prints in a process with more environment variables."""
    environment = {**os.environ, **variables}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


def reason_script(name: str) -> str:
    return f"from mlgym_core.host import Host; print(Host.installed().sandboxes.load({name!r}).unavailable_reason())"


async def test_a_container_that_was_ended_from_outside_is_replaced(
    shell: Shell, output: Output, engine: Engine, containers_of: Containers
) -> None:
    await output("echo kept > file")
    [container] = containers_of()
    running = asyncio.create_task(shell.run("sleep 1000", _PATIENCE))
    await asyncio.sleep(0.3)
    engine.client.api.kill(container)
    assert (await running).restarted
    assert await output("cat file") == "kept\n"
    assert containers_of() != [container]


async def test_replaced_folders_are_shown(shell: Shell, output: Output, workspace: Path) -> None:
    await output("echo old > file")
    await shell.close()
    replace_folder(workspace)
    await shell.start()
    assert await output("cat file; echo more >> file; cat file") == "new\nnew\nmore\n"


async def test_limits_are_held_and_named(shell: Shell, output: Output) -> None:
    hog = await shell.run("python3 -c 'x = bytearray(1 << 30)'", _PATIENCE)
    assert hog.exit_code == 137
    assert hog.limits_reached == ("memory",)
    crowd = await shell.run(_CROWD, _PATIENCE)
    assert "Resource temporarily unavailable" in as_text(crowd.output)
    assert crowd.limits_reached == ("processes",)
    assert await output("echo here") == "here\n"


async def test_the_share_of_the_processors_is_held_and_named(
    sandbox_class: type[Sandbox], layout: SandboxLayout, engine: Engine, containers_of: Containers
) -> None:
    assert layout.resources is not None
    box = sandbox_class(replace(layout, resources=replace(layout.resources, cpus=0.25)))
    shell = Shell(box)
    try:
        await shell.start()
        assert engine.client.api.inspect_container(containers_of()[0])["HostConfig"]["NanoCpus"] == 250_000_000
        # Two processes that would like two processors.
        busy = await shell.run("timeout 0.6 yes >/dev/null & timeout 0.6 yes >/dev/null", _PATIENCE)
        assert busy.exit_code == 124
        assert shell._process is not None
        assert shell._process.limits_reached()["cpu"] > 0
        used = await shell.run("cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max 2>/dev/null", _PATIENCE)
        assert as_text(used.output).split()[0] == "25000"
    finally:
        await shell.close()
        await box.close()


def test_limits_are_stated(sandbox_class: type[Sandbox], engine: Engine) -> None:
    limits = sandbox_class.limits()
    assert set(limits) == {"memory", "processes", "cpu"}
    assert all(engine.title in holder for holder in limits.values())


def test_capabilities_are_stated(sandbox_class: type[Sandbox]) -> None:
    assert sandbox_class.isolated
    assert sandbox_class.capabilities == {"network", "gpu", "image", "freeze"}


async def test_files_can_be_read_while_no_process_can_be_started(box: Sandbox, shell: Shell, output: Output) -> None:
    await shell.run("printf %0100d | tr 0 x > file", _PATIENCE)
    await shell.run(_CROWD, _PATIENCE)
    done = await run_process(box, ["/bin/cat", "file"], output_limit=100, seconds=_PATIENCE)
    assert (done.status, done.output) == (0, b"x" * 100)
    await shell.close()
    await shell.start()
    assert await output("echo here") == "here\n"


async def test_descriptors_go_to_nobody_else(box: Sandbox, output: Output) -> None:
    thief = """
        import socket
        while True:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect("/opt/mlgym/descriptors")
            received = socket.recv_fds(connection, 1, 3)[1]
            print("stolen" if received else "", end="", flush=True)
    """
    await output(f"cat > thief.py <<'END'\n{textwrap.dedent(thief)}\nEND\npython3 thief.py > loot 2>&1 &")
    for _ in range(3):
        done = await run_process(box, ["/bin/cat"], content=b"mine", output_limit=100, seconds=_PATIENCE)
        assert (done.status, done.output) == (0, b"mine")
    assert await output("cat loot") == ""


async def waiting_process(shell: Shell) -> int:
    """Return the id of the process that waits to become a helper."""
    process = shell._process
    assert isinstance(process, EngineProcess)
    assert process._container._ahead is not None
    return (await asyncio.wrap_future(process._container._ahead)).process_id


async def test_what_waits_to_become_a_helper_is_frozen_and_ends_with_the_shell(shell: Shell) -> None:
    # An agent, who is the same user, may have taken it over.
    process_id = await waiting_process(shell)
    shell.freeze()
    try:
        assert process_state(process_id) == "T"
    finally:
        shell.thaw()
    await shell.close()
    assert process_state(process_id) in ("", "Z")


def process_state(process_id: int) -> str:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return ""


async def test_a_helper_that_was_killed_before_it_began_is_replaced(box: Sandbox, shell: Shell) -> None:
    process_id = await waiting_process(shell)
    await shell.run("for folder in /proc/[0-9]*; do kill -9 ${folder#/proc/}; done", _PATIENCE)
    assert process_state(process_id) in ("", "Z")
    done = await run_process(box, ["/bin/echo", "here"], output_limit=100, seconds=_PATIENCE)
    assert (done.status, done.output) == (0, b"here\n")


async def test_what_a_shell_that_ended_left_behind_is_frozen(shell: Shell, output: Output) -> None:
    await output(
        "setsid bash -c 'echo $$ > ready; while :; do date > file; done' & disown; until [ -s ready ]; do :; done"
    )
    process = shell._process
    assert isinstance(process, EngineProcess)
    await output("(sleep 0.1; kill -9 $$) & disown")
    while not process.has_ended:  # noqa: ASYNC110 - nothing else tells
        await asyncio.sleep(0.01)
    shell.freeze()
    try:
        left = process._descendants()
        assert left
        assert {process_state(process_id) for process_id in left} == {"T"}
    finally:
        shell.thaw()


async def test_a_helper_s_end_is_not_that_of_what_came_later(box: Sandbox, shell: Shell, output: Output) -> None:
    with open(os.devnull, "r+b", 0) as nothing:  # noqa: ASYNC230, PTH123 - a device
        number = nothing.fileno()
        helper = await box.spawn(["/bin/sleep", "1000"], stdin=number, stdout=number, stderr=number)
    await shell.close()
    await shell.start()
    await output("here=yes; sleep 1000 &")
    await helper.kill()
    assert await output("echo $here; jobs -p | wc -l") == "yes\n1\n"


async def test_what_never_ran_is_no_process_of_ours(shell: Shell) -> None:
    running = shell._process
    assert isinstance(running, EngineProcess)
    process = EngineProcess(running._container, None, [running])
    process.interrupt(0)
    process.freeze()
    process.thaw()
    await process.kill()
    assert await process.wait() == 126
    assert (await shell.run("echo here", _PATIENCE)).output == b"here\n"


async def test_a_program_that_does_not_exist(box: Sandbox) -> None:
    done = await run_process(box, ["/nonsense"], output_limit=100, seconds=_PATIENCE)
    assert (done.status, done.error) == (127, "/nonsense: No such file or directory")


async def test_nothing_is_left_after_close(
    box: Sandbox, shell: Shell, output: Output, containers_of: Containers
) -> None:
    await output("setsid sleep 1000 & disown")
    assert len(containers_of()) == 1
    await shell.close()
    await box.close()
    assert containers_of() == []


@pytest.fixture
def runner(
    name: EngineName, workspace: Path, start_python: Callable[..., subprocess.Popen[str]]
) -> subprocess.Popen[str]:
    """A process that has started a shell in a container."""
    process = start_python(f"""
        import asyncio
        from pathlib import Path
        from mlgym_core.host import Host
        from mlgym_core.interfaces import Mount, SandboxLayout
        from mlgym_core.sandbox.shell import Shell

        async def main():
            mounts = (Mount(Path({str(workspace)!r}), "/workspace", writable=True),)
            shell = Shell(Host.installed().sandboxes.load({name!r})(SandboxLayout(mounts=mounts)))
            await shell.start()
            print("started", flush=True)
            await shell.run("sleep 1000")

        asyncio.run(main())
    """)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    return process


def test_a_container_goes_with_its_runner(runner: subprocess.Popen[str], containers_of: Containers) -> None:
    owner = f"{runner.pid}:"
    assert len(containers_of(owner)) == 1
    runner.kill()
    limit = time.monotonic() + _PATIENCE
    while containers_of(owner) and time.monotonic() < limit:
        time.sleep(0.05)
    assert containers_of(owner) == []


def test_what_lost_runners_left_is_removed(
    sandbox_class: type[Sandbox], engine: Engine, own_image: str, containers_of: Containers, tmp_path: Path
) -> None:
    lost = ask("from mlgym_sandbox_docker.owners import own_identity; print(own_identity())").strip()
    for label in (lost, own_identity()):
        engine.client.api.create_container(own_image, ["true"], labels={"mlgym": "1", "mlgym.owner": label})
    (tmp_path / "Dockerfile").write_text(f"FROM {own_image}\nRUN echo {lost} > /tmp/file\n")
    labels = {"mlgym": "1", "mlgym.builder": lost}
    list(engine.client.api.build(path=str(tmp_path), labels=labels, network_mode="none", rm=True))
    try:
        removed = sandbox_class.remove_abandoned()
        # How many there were is not certain: other processes that use the engine look for them, too.
        assert set(removed) == {"container", "image"}
        assert containers_of(lost) == []
        assert lost not in str(unfinished_images(engine))
        assert len(containers_of()) == 1
    finally:
        for container in containers_of():
            engine.client.api.remove_container(container, force=True)


def test_containers_that_others_make_of_its_images_are_left_alone(engine: Engine, own_image: str) -> None:
    container = engine.client.api.create_container(own_image, ["true"])["Id"]
    try:
        remove_abandoned(engine)
        assert engine.client.api.inspect_container(container)["Id"] == container
    finally:
        engine.client.api.remove_container(container, force=True)


@pytest.mark.parametrize("name", ["docker", "podman"])
def test_an_engine_that_is_not_there_is_not_started(name: str, tmp_path: Path) -> None:
    script = f"""
from mlgym_core.host import Host
sandbox = Host.installed().sandboxes.load({name!r})
print(dict(sandbox.remove_abandoned()), dict(sandbox.limits()))
"""
    address = f"unix://{tmp_path}/none.sock"
    assert ask(script, DOCKER_HOST=address, CONTAINER_HOST=address) == "{} {}\n"


def test_owners() -> None:
    own = own_identity()
    process_id, start, boot, namespace = own.split(":")
    assert not is_gone(own)
    assert is_gone(f"{process_id}:{int(start) + 1}:{boot}:{namespace}")
    assert is_gone(f"{process_id}:{start}:another-boot:{namespace}")
    assert not is_gone(f"{process_id}:{int(start) + 1}:{boot}:1")
    assert not is_gone("")


@pytest.mark.slow
def test_an_episode(name: EngineName, containers_of: Containers) -> None:
    with make("games/battle-of-sexes", sandbox=name) as env:
        env.reset()
        observation = env.step("cat strategy.py && python3 -c 'import numpy; print(numpy.__version__)'")[0]
        assert observation.exit_code == 0
        observation = env.step({"tool": "validate"})[0]
        assert observation.score is not None
        assert observation.score.valid
        snapshot = env.snapshot()
        env.step("echo broken > strategy.py")
        env.restore(snapshot)
        _, _, terminated, _, info = env.step({"tool": "submit"})
        assert terminated
        assert info["score"].valid
    assert containers_of() == []


def test_an_engine_that_is_not_there(tmp_path: Path) -> None:
    script = reason_script("docker")
    assert "there is no" in ask(script, DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert "not on this machine" in ask(script, DOCKER_HOST="tcp://127.0.0.1:1")


def test_a_missing_image_is_named_with_the_remedy(name: EngineName) -> None:
    reason = ask(reason_script(name), MLGYM_DOCKER_IMAGE="localhost/no-such-image:latest")
    assert "no-such-image" in reason
    assert "pull or build it first" in reason
