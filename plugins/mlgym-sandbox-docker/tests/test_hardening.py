"""What an agent tries in order to get out of its container, to become somebody else, or to use up the machine."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mlgym_core.interfaces import Sandbox, SandboxLayout
from mlgym_core.sandbox.pipes import run_process
from mlgym_core.sandbox.shell import Shell
from mlgym_sandbox_docker.engine import Engine, EngineName

PATIENCE = 30.0
_WRITABLE_MOUNTS = """
while read _ target kind _; do [ -d $target -a -w $target ] && echo $target $kind; done </proc/mounts
"""
Output = Callable[[str], Awaitable[str]]


async def test_no_network(output: Output) -> None:
    assert (await output("ls /sys/class/net")).split() == ["lo"]
    connect = "import socket; socket.create_connection(('169.254.169.254', 80), 3)"
    assert "Network is unreachable" in await output(f'python3 -c "{connect}"')


async def test_no_names_are_resolved(output: Output) -> None:
    resolve = "import socket; socket.getaddrinfo('metadata.google.internal', 80)"
    assert "socket.gaierror" in await output(f'python3 -c "{resolve}"')


async def test_an_ordinary_user_without_capabilities(output: Output) -> None:
    status = dict(line.split(":\t") for line in (await output("cat /proc/self/status")).splitlines())
    assert {status[name] for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")} == {"0000000000000000"}
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert "0" not in status["Uid"].split()


@pytest.mark.parametrize(
    "attempt",
    [
        "unshare --mount true",
        # Docker lets nobody make a user namespace; Podman does, and nothing is gained by being root in one.
        "unshare --user --map-root-user --mount mount -o remount,bind,rw /",
        "unshare --user --map-root-user --mount umount /opt/mlgym",
        "unshare --user --map-root-user mknod /workspace/memory c 1 1",
        "unshare --user --map-root-user --net --mount mount -t sysfs none /workspace",
        "mount -t tmpfs none /workspace",
        "mount -o remount,rw /",
        "chroot / true",
        "nsenter --target 1 --mount true",
        "setpriv --reuid 0 true",
        "date --set 2020-01-01",
        "python3 -c 'import os; os.setuid(0)'",
        "python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)'",
        "python3 -c 'import os; os.nice(-5)'",
        "mknod /workspace/disk b 8 0",
        "mknod /tmp/memory c 1 1",
        "cat /proc/kcore",
        "cat /dev/mem",
        "cat /dev/kmsg",
        "echo h > /proc/sysrq-trigger",
        "echo x > /proc/sys/kernel/core_pattern",
        "mkdir /sys/fs/cgroup/mine",
        "mkdir /sys/fs/cgroup/memory/mine || mkdir /sys/fs/cgroup/pids/mine",
    ],
)
async def test_what_only_privileged_users_may(shell: Shell, attempt: str) -> None:
    result = await shell.run(attempt, PATIENCE)
    assert result.exit_code != 0
    assert b"command not found" not in result.output


async def test_no_user_namespace_in_docker(shell: Shell, name: EngineName) -> None:
    if name == "docker":
        assert (await shell.run("unshare --user true", PATIENCE)).exit_code != 0


@pytest.mark.usefixtures("without_new_images")
async def test_programs_of_root_give_no_rights(
    sandbox_class: type[Sandbox], layout: SandboxLayout, tmp_path: Path, own_image: str
) -> None:
    folder = tmp_path / "image"
    folder.mkdir()
    recipe = "RUN cp /usr/bin/python3 /usr/local/bin/root-python && chmod 6755 /usr/local/bin/root-python"
    (folder / "Dockerfile").write_text(f"FROM {own_image}\nUSER root\n{recipe}\n")
    box = sandbox_class(replace(layout, dockerfile=folder / "Dockerfile"))
    try:
        # All of real, effective and saved ids; a program that is not found would fail.
        script = "import os; print(0 in os.getresuid() + os.getresgid())"
        command = ["/usr/local/bin/root-python", "-c", script]
        done = await run_process(box, command, output_limit=100, seconds=PATIENCE)
        assert (done.status, done.output) == (0, b"False\n")
    finally:
        await box.close()


async def test_the_kernel_s_files_cannot_be_written(output: Output) -> None:
    assert await output("find /sys /proc/sys /proc/irq /proc/bus -type f -writable 2>/dev/null") == ""
    assert await output("find /dev -type b 2>/dev/null") == ""


async def test_the_root_is_read_only_and_the_temporary_folders_limited(shell: Shell, output: Output) -> None:
    for folder in ("/", "/etc", "/usr/bin", "/opt", "/opt/mlgym", "/proc/sys/kernel", "/sys", "/var/tmp", "/run"):
        assert (await shell.run(f"touch {folder}/file", PATIENCE)).exit_code != 0, folder
    assert (await shell.run("touch /tmp/file /dev/shm/file /workspace/file", PATIENCE)).exit_code == 0
    assert "No space left" in await output("head -c 20M /dev/zero > /tmp/big")
    assert "No space left" in await output("head -c 20M /dev/zero > /dev/shm/big")
    assert (await shell.run("echo 'echo works' > /tmp/x; chmod +x /tmp/x; /tmp/x", PATIENCE)).exit_code == 0


async def test_only_the_workspace_lies_on_the_host(output: Output, workspace: Path) -> None:
    await output("echo here > file; mkdir folder")
    assert (workspace / "file").read_text() == "here\n"
    # Everything else that can be written is in memory.
    lines = await output(_WRITABLE_MOUNTS)
    writable = dict(line.split() for line in lines.splitlines())
    assert writable.pop("/workspace") not in ("tmpfs", "overlay")
    assert set(writable) <= {"/tmp", "/dev/shm", "/dev/mqueue"}
    assert await output("find / -xdev -writable ! -type l ! -path /tmp ! -path /workspace 2>/dev/null") == ""


async def test_namespaces_are_its_own(output: Output) -> None:
    for kind in ("ipc", "mnt", "net", "pid", "uts"):
        ours = os.readlink(f"/proc/self/ns/{kind}")
        assert (await output(f"readlink /proc/self/ns/{kind}")).strip() not in ("", ours), kind


async def test_other_files_and_processes_are_invisible(output: Output, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("canary-4718")
    assert await output(f"cat {tmp_path}/secret 2>/dev/null; ls {tmp_path} 2>/dev/null") == ""
    names = set((await output("cat /proc/[0-9]*/comm 2>/dev/null")).splitlines())
    # The first process, what keeps the container, the shell, and what waits, or is about to wait, to become a helper.
    assert names <= {"docker-init", "podman-init", "catatonit", "cat", "bash", "python3", "runc:[2:INIT]", "crun"}


async def test_no_socket_of_an_engine_is_there(output: Output) -> None:
    assert (await output("find / -type s 2>/dev/null")).split() == ["/opt/mlgym/descriptors"]
    assert await output("ls /var/run/docker.sock /run/docker.sock /run/podman 2>/dev/null") == ""
    environment = await output("cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'")
    assert "MLGYM" not in environment
    assert "HOST=" not in environment


async def test_orphans_leave_no_zombies(shell: Shell, output: Output) -> None:
    await shell.run("for i in 1 2 3; do (setsid true &); done; sleep 0.2", PATIENCE)
    assert "Z" not in await output("cut -d ' ' -f 3 /proc/[0-9]*/stat 2>/dev/null")


async def test_the_engine_holds_what_was_asked(
    shell: Shell, engine: Engine, containers_of: Callable[[], list[str]], name: EngineName
) -> None:
    assert shell is not None
    [container] = containers_of()
    host = engine.client.api.inspect_container(container)["HostConfig"]
    assert host["Privileged"] is False
    assert host["ReadonlyRootfs"] is True
    assert host["NetworkMode"] == "none"
    assert host["IpcMode"] == "private" or name == "podman"  # which says nothing of it here; see the namespaces
    assert host["Memory"] == host["MemorySwap"] == 256 << 20
    assert host["PidsLimit"] == 100
    assert not any("unconfined" in option for option in host["SecurityOpt"] or ())


async def test_its_first_processes_cannot_be_ended_from_inside(
    shell: Shell, output: Output, containers_of: Callable[[], list[str]]
) -> None:
    before = containers_of()
    await shell.run("kill -9 -1; kill -9 1; kill -TERM 1; kill -INT 1", PATIENCE)
    assert await output("kill -9 -1 2>/dev/null; true") == ""
    assert await output("builtin echo here") == "here\n"
    assert containers_of() == before
