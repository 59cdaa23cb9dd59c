"""What containers must do beyond what every sandbox does: isolation, limits, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mlgym_core import make
from mlgym_core.host import Host
from mlgym_core.interfaces import Mount, Sandbox, SandboxLayout
from mlgym_core.sandbox.pipes import run_process
from mlgym_core.sandbox.shell import Shell, as_text
from mlgym_core.specs import Resources
from mlgym_sandbox_docker.engine import Engine, EngineName, find_engine, remove_abandoned
from mlgym_sandbox_docker.owners import is_gone, own_identity

_PATIENCE = 20.0
_CROWD = 'python3 -c \'import subprocess; [subprocess.Popen(["sleep", "1000"]) for _ in range(200)]\' 2>&1'


@pytest.fixture(params=["docker", "podman"])
def name(request: pytest.FixtureRequest) -> EngineName:
    """Each engine that works here."""
    chosen: EngineName = request.param
    reason = Host.installed().sandboxes.load(chosen).unavailable_reason()
    if reason is not None:
        pytest.skip(f"{chosen} does not work here: {reason}")
    return chosen


@pytest.fixture
def engine(name: EngineName) -> Engine:
    found = find_engine(name)
    assert isinstance(found, Engine)
    return found


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
async def box(name: EngineName, workspace: Path) -> AsyncIterator[Sandbox]:
    sandbox = Host.installed().sandboxes.load(name)(
        SandboxLayout(
            mounts=(Mount(workspace, "/workspace", writable=True),),
            working_directory="/workspace",
            temporary_bytes=16 << 20,
            resources=Resources(memory_bytes=256 << 20, processes=100),
        )
    )
    yield sandbox
    await sandbox.close()


@pytest.fixture
async def shell(box: Sandbox) -> AsyncIterator[Shell]:
    shell = Shell(box)
    await shell.start()
    yield shell
    await shell.close()


def containers_of(engine: Engine, owner: str) -> list[str]:
    """Return the ids of the containers of a process, which begin its identity."""
    listed = engine.client.api.containers(all=True, filters={"label": "mlgym=1"})
    return [str(entry["Id"]) for entry in listed if entry["Labels"]["mlgym.owner"].startswith(owner)]


def own_containers(engine: Engine) -> list[str]:
    return containers_of(engine, own_identity())


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


async def output(shell: Shell, command: str) -> str:
    return as_text((await shell.run(command, _PATIENCE)).output)


async def test_no_network(shell: Shell) -> None:
    assert (await output(shell, "ls /sys/class/net")).split() == ["lo"]
    connect = "import socket; socket.create_connection(('169.254.169.254', 80), 3)"
    assert "Network is unreachable" in await output(shell, f'python3 -c "{connect}"')


async def test_an_ordinary_user_without_capabilities(shell: Shell) -> None:
    status = dict(line.split(":\t") for line in (await output(shell, "cat /proc/self/status")).splitlines())
    assert {status[name] for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")} == {"0000000000000000"}
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert "0" not in status["Uid"].split()


async def test_the_root_is_read_only_and_the_temporary_folder_limited(shell: Shell) -> None:
    for folder in ("/", "/etc", "/usr/bin", "/opt", "/opt/mlgym", "/proc/sys/kernel", "/sys"):
        assert (await shell.run(f"touch {folder}/file", _PATIENCE)).exit_code != 0, folder
    assert (await shell.run("touch /tmp/file /dev/shm/file /workspace/file", _PATIENCE)).exit_code == 0
    assert "No space left" in await output(shell, "head -c 20M /dev/zero > /tmp/big")
    assert (await shell.run("echo 'echo works' > /tmp/x; chmod +x /tmp/x; /tmp/x", _PATIENCE)).exit_code == 0


async def test_other_files_and_processes_are_invisible(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("canary-4718")
    assert await output(shell, f"cat {tmp_path}/secret 2>/dev/null; ls {tmp_path} 2>/dev/null") == ""
    processes = await output(shell, "cat /proc/[0-9]*/comm")
    assert "python" not in processes
    assert "dockerd" not in processes


async def test_its_first_processes_cannot_be_ended_from_inside(shell: Shell, engine: Engine) -> None:
    before = own_containers(engine)
    await shell.run("kill -9 -1; kill -9 1; kill -TERM 1; kill -INT 1", _PATIENCE)
    assert await output(shell, "kill -9 -1 2>/dev/null; true") == ""
    assert await output(shell, "builtin echo here") == "here\n"
    assert own_containers(engine) == before


async def test_a_container_that_was_ended_from_outside_is_replaced(shell: Shell, engine: Engine) -> None:
    await output(shell, "echo kept > file")
    [container] = own_containers(engine)
    running = asyncio.create_task(shell.run("sleep 1000", _PATIENCE))
    await asyncio.sleep(0.3)
    engine.client.api.kill(container)
    assert (await running).restarted
    assert await output(shell, "cat file") == "kept\n"
    assert own_containers(engine) != [container]


async def test_replaced_folders_are_shown(shell: Shell, workspace: Path) -> None:
    await output(shell, "echo old > file")
    await shell.close()
    replace_folder(workspace)
    await shell.start()
    assert await output(shell, "cat file; echo more >> file; cat file") == "new\nnew\nmore\n"


async def test_limits_are_held_and_named(shell: Shell) -> None:
    hog = await shell.run("python3 -c 'x = bytearray(1 << 30)'", _PATIENCE)
    assert hog.exit_code == 137
    assert hog.limits_reached == ("memory",)
    crowd = await shell.run(_CROWD, _PATIENCE)
    assert "Resource temporarily unavailable" in as_text(crowd.output)
    assert crowd.limits_reached == ("processes",)
    assert await output(shell, "echo here") == "here\n"


async def test_files_can_be_read_while_no_process_can_be_started(box: Sandbox, shell: Shell) -> None:
    await shell.run("printf %0100d | tr 0 x > file", _PATIENCE)
    await shell.run(_CROWD, _PATIENCE)
    done = await run_process(box, ["/bin/cat", "file"], output_limit=100, seconds=_PATIENCE)
    assert (done.status, done.output) == (0, b"x" * 100)
    await shell.close()
    await shell.start()
    assert await output(shell, "echo here") == "here\n"


async def test_descriptors_go_to_nobody_else(box: Sandbox, shell: Shell) -> None:
    thief = """
        import socket
        while True:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect("/opt/mlgym/descriptors")
            received = socket.recv_fds(connection, 1, 3)[1]
            print("stolen" if received else "", end="", flush=True)
    """
    await output(shell, f"cat > thief.py <<'END'\n{textwrap.dedent(thief)}\nEND\npython3 thief.py > loot 2>&1 &")
    for _ in range(3):
        done = await run_process(box, ["/bin/cat"], content=b"mine", output_limit=100, seconds=_PATIENCE)
        assert (done.status, done.output) == (0, b"mine")
    assert await output(shell, "cat loot") == ""


async def test_a_program_that_does_not_exist(box: Sandbox) -> None:
    done = await run_process(box, ["/nonsense"], output_limit=100, seconds=_PATIENCE)
    assert (done.status, done.error) == (127, "/nonsense: No such file or directory")


async def test_nothing_is_left_after_close(box: Sandbox, shell: Shell, engine: Engine) -> None:
    await output(shell, "setsid sleep 1000 & disown")
    assert len(own_containers(engine)) == 1
    await shell.close()
    await box.close()
    assert own_containers(engine) == []


@pytest.fixture
def runner(name: EngineName, workspace: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has started a shell in a container."""
    script = f"""
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
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        yield process
        process.kill()


def test_a_container_goes_with_its_runner(runner: subprocess.Popen[str], engine: Engine) -> None:
    owner = f"{runner.pid}:"
    assert len(containers_of(engine, owner)) == 1
    runner.kill()
    limit = time.monotonic() + _PATIENCE
    while containers_of(engine, owner) and time.monotonic() < limit:
        time.sleep(0.05)
    assert containers_of(engine, owner) == []


def test_what_a_lost_runner_left_is_removed_at_the_next_start(name: EngineName, engine: Engine) -> None:
    owner = ask("from mlgym_sandbox_docker.owners import own_identity; print(own_identity())").strip()
    image = next(
        tag for image in engine.client.api.images() for tag in image["RepoTags"] or () if "mlgym-sandbox" in tag
    )
    for label in (owner, own_identity()):
        engine.client.api.create_container(image, ["true"], labels={"mlgym": "1", "mlgym.owner": label})
    try:
        assert remove_abandoned(engine)["containers"] >= 1
        assert containers_of(engine, owner) == []
        assert len(own_containers(engine)) == 1
    finally:
        for container in own_containers(engine):
            engine.client.api.remove_container(container, force=True)


def test_owners() -> None:
    own = own_identity()
    process_id, start, boot, namespace = own.split(":")
    assert not is_gone(own)
    assert is_gone(f"{process_id}:{int(start) + 1}:{boot}:{namespace}")
    assert is_gone(f"{process_id}:{start}:another-boot:{namespace}")
    assert not is_gone(f"{process_id}:{int(start) + 1}:{boot}:1")
    assert not is_gone("")


@pytest.mark.slow
def test_an_episode(name: EngineName, engine: Engine) -> None:
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
    assert own_containers(engine) == []


def test_an_engine_that_is_not_there(tmp_path: Path) -> None:
    script = reason_script("docker")
    assert "there is no" in ask(script, DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert "not on this machine" in ask(script, DOCKER_HOST="tcp://127.0.0.1:1")


def test_a_missing_image_is_named_with_the_remedy(name: EngineName) -> None:
    reason = ask(reason_script(name), MLGYM_DOCKER_IMAGE="localhost/no-such-image:latest")
    assert "no-such-image" in reason
    assert "pull or build it first" in reason
