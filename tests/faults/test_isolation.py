"""What an agent's sandbox must not let it do. Each test is an attack from inside."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from inside import output, python

import mlgym_core
from mlgym_core import Env
from mlgym_core.settings import cache_dir


def test_an_ordinary_user_without_privileges(env: Env) -> None:
    assert output(env, "id -u; id -g").split() == ["1000", "1000"]
    status = dict(line.split(":\t") for line in output(env, "cat /proc/self/status").splitlines() if ":\t" in line)
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapAmb"], 16) == 0
    assert status["NoNewPrivs"] == "1"


def test_the_host_is_not_there(env: Env, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("canary-4712")
    for place in (Path.home(), Path.cwd(), tmp_path, Path(mlgym_core.__file__).parent, cache_dir(), Path(sys.prefix)):
        assert output(env, f"ls -A '{place}' 2>/dev/null").strip() == "", place
    assert output(env, "ls -A /home").split() == ["agent"]


@pytest.mark.parametrize("isolated_sandbox", ["bwrap"], indirect=True)
def test_the_system_is_what_a_program_needs_and_no_more(env: Env) -> None:
    # An image has folders of its own by these names; what it holds is in test_the_host_is_not_there.
    for place in ("/root", "/var", "/etc/shadow", "/etc/ssh", "/run", "/boot", "/sys"):
        assert output(env, f"ls -A '{place}' 2>/dev/null").strip() == "", place


def test_no_folder_of_packages_of_the_host(env: Env) -> None:
    names = "-name 'mlgym?*' -o -name 'example_tasks*' -o -name 'example_plugin*'"
    assert output(env, f"find / \\( -path /proc -o -path /sys \\) -prune -o \\( {names} \\) -print 2>/dev/null") == ""
    for name in ("purelib", "platlib"):
        folder = sysconfig.get_path(name)
        assert output(env, f"ls -A '{folder}' 2>/dev/null") == ""
    assert "No module named" in output(env, "python3 -c 'import mlgym_core'")
    assert "No module named" in output(env, "python3 -c 'import pydantic'")
    assert "No module named" in output(env, "/usr/bin/python3 -c 'import mlgym_core' || echo No module named")


def test_the_private_files_are_nowhere(env: Env) -> None:
    assert output(env, "grep -rl 'the private file' /workspace /tmp /home /opt /etc /dev/shm 2>/dev/null") == ""
    assert "canary" not in output(env, "env; cat /proc/*/environ | tr '\\0' '\\n'")


def test_nothing_but_the_workspace_home_and_tmp_is_writable(env: Env) -> None:
    # Looking at every folder there is, and trying: what a permission bit says need not be what the kernel does.
    found = python(
        env,
        """
        import os
        for folder, folders, files in os.walk("/"):
            if folder == "/":
                folders.remove("proc")
            try:
                os.open(os.path.join(folder, "probe"), os.O_CREAT | os.O_WRONLY)
                print(folder)
            except OSError:
                pass
        """,
    )
    assert set(found.splitlines()) <= {"/workspace", "/home/agent", "/tmp", "/dev/shm", "/dev/mqueue"}
    for folder in ("/workspace", "/home/agent", "/tmp", "/dev/shm"):
        assert output(env, f"touch {folder}/probe && echo written") == "written\n"
    for folder in ("/proc", "/proc/sys/kernel", "/proc/self", "/proc/1"):
        assert "written" not in output(env, f"touch {folder}/probe 2>/dev/null && echo written"), folder


def test_interpreter_and_system_files_cannot_be_changed(env: Env) -> None:
    for path in ("/bin/bash", "$(readlink -f $(which python3))", "/etc/passwd", "$(which python3)"):
        assert "changed" not in output(env, f"(echo x >> {path}) 2>/dev/null && echo changed"), path
        assert "changed" not in output(env, f"chmod 777 {path} 2>/dev/null && echo changed"), path


def test_kernel_settings_cannot_be_changed(env: Env) -> None:
    # Their owner may change them whatever his capabilities: this fails if we are root and /proc/sys is not read-only.
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    output(env, "echo '|/tmp/evil' > /proc/sys/kernel/core_pattern; echo h > /proc/sysrq-trigger")
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before
    writable = output(
        env, "find /proc/sys /proc/fs /proc/acpi /proc/irq /proc/bus -type f -writable 2>/dev/null | head"
    )
    assert writable == ""


def test_no_network(env: Env) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass  # the host itself reaches it
        answer = python(
            env,
            f"""
            import socket
            for address in (("127.0.0.1", {port}), ("169.254.169.254", 80), ("10.0.0.1", 80)):
                try:
                    socket.create_connection(address, timeout=2)
                    print("connected", address)
                except OSError as error:
                    print("refused")
            try:
                socket.getaddrinfo("example.com", 80)
                print("connected by name")
            except OSError:
                print("refused")
            """,
        )
    assert answer.split() == ["refused"] * 4
    assert output(env, "cat /proc/net/dev | grep -v lo: | grep -c :").strip() == "0"


def test_abstract_sockets_and_shared_memory_of_the_host(env: Env) -> None:
    name = f"mlgym-test-{os.getpid()}"
    shared = Path("/dev/shm", name)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{name}")
        server.listen()
        shared.write_text("canary")
        try:
            answer = python(
                env,
                f"""
                import socket, os
                try:
                    socket.socket(socket.AF_UNIX).connect("\\0{name}")
                    print("connected")
                except OSError:
                    print("refused")
                print(os.path.exists("/dev/shm/{name}"))
                """,
            )
        finally:
            shared.unlink()
    assert answer.split() == ["refused", "False"]


def test_only_its_own_processes(env: Env) -> None:
    host_processes = subprocess.run(
        ["ps", "-e", "-o", "pid="], capture_output=True, text=True, check=True
    ).stdout.split()
    seen = output(env, "ls /proc | grep -E '^[0-9]+$'").split()
    assert len(seen) <= 5 < len(host_processes)
    assert "alive" not in output(env, f"kill -0 {os.getpid()} 2>/dev/null && echo alive")
    assert "python" not in output(env, "cat /proc/1/cmdline | tr '\\0' ' '")


def test_no_descriptor_of_the_host_is_inherited(env: Env) -> None:
    targets = output(env, "for n in /proc/1/fd/* /proc/self/fd/*; do readlink $n; done").split()
    assert targets
    for target in targets:
        assert target.startswith(("pipe:", "/dev/null", "/proc/", "/dev/pts")), target


def test_no_socket_of_the_host_is_inherited(env: Env) -> None:
    # None is open, in any process whose descriptors can be seen, and none that others listen on can be found.
    assert output(env, "ls -l /proc/*/fd 2>/dev/null | grep socket:") == ""
    listening = output(env, "tail -qn +2 /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/unix 2>/dev/null")
    assert listening == ""


def test_no_new_namespaces_and_no_set_user_id(env: Env) -> None:
    assert "inside" not in output(env, "unshare -Ur echo inside 2>/dev/null")
    assert "inside" not in output(env, "unshare -r echo inside 2>/dev/null")
    programs = output(env, "find /usr/bin -perm -4000 2>/dev/null | head -3").split()
    for program in programs:
        assert "root" not in output(env, f"{program} -c id 2>/dev/null | grep -o 'uid=0(root)'")


@pytest.mark.parametrize("isolated_sandbox", ["bwrap"], indirect=True)
def test_packages_cannot_be_added(env: Env) -> None:
    for command in ("pip install six", "pip3 install --user six"):
        observation = env.step(command)[0]
        assert observation.text == (
            "pip: packages cannot be added here: the environment is read-only, and holds what the task requires.\n"
        )
        assert observation.exit_code == 1
    assert "No module named pip" in output(env, "python3 -m pip install six")


def test_devices_cannot_be_made(env: Env) -> None:
    assert "made" not in output(env, "mknod /workspace/disk b 8 0 2>/dev/null && echo made")
    assert "made" not in output(env, "mknod /tmp/kmem c 1 1 2>/dev/null && echo made")
    usual = "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    assert set(output(env, "ls -A /dev").split()) <= set(usual.split())


def test_mounts_cannot_be_changed(env: Env) -> None:
    assert "done" not in output(
        env, "mount -o remount,rw /usr 2>/dev/null && echo done; umount /usr 2>/dev/null && echo done"
    )


def test_hard_links_to_what_it_may_only_read(env: Env) -> None:
    assert "made" not in output(env, "ln /etc/passwd /workspace/passwd 2>/dev/null && echo made")
    assert "made" not in output(env, "ln /bin/bash /tmp/bash 2>/dev/null && echo made")


def test_the_terminal_cannot_be_typed_into(env: Env) -> None:
    answer = python(
        env,
        """
        import fcntl, termios
        for path in ("/dev/tty", "/proc/1/fd/0"):
            try:
                with open(path, "wb", buffering=0) as terminal:
                    fcntl.ioctl(terminal, termios.TIOCSTI, b"x")
                print("typed")
            except OSError:
                print("refused")
        """,
    )
    assert answer.split() == ["refused", "refused"]


def test_file_tools_do_not_reach_the_host(env: Env, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("canary")
    output(env, f"ln -s '{tmp_path}/secret' link; ln -s /proc/1/root/etc/shadow shadow")
    for path in ("link", "shadow", str(tmp_path / "secret"), "../../../../../../etc/shadow", "/proc/1/environ"):
        observation = env.step({"tool": "read_file", "arguments": {"path": path}})[0]
        assert "canary" not in observation.text
        assert "root:" not in observation.text
    env.step({"tool": "write_file", "arguments": {"path": "link", "content": "overwritten"}})
    assert (tmp_path / "secret").read_text() == "canary"


def test_processes_are_frozen_while_a_submission_is_copied_and_dead_at_the_end(env: Env) -> None:
    # A writer that never stops must not be able to change files between the grader's looks at them.
    output(env, "(while :; do echo 1 > answer.txt; echo 0.5 > answer.txt; done) > /dev/null 2>&1 & sleep 0.3")
    for _ in range(3):
        observation = env.step({"tool": "validate"})[0]
        assert observation.score is not None
        assert observation.score.value in (0.5, 1.0, None)
    marker = output(env, "echo $(jobs -p)").strip()
    assert marker
    env.step({"tool": "submit"})
    left = subprocess.run(["pgrep", "-f", "echo 0.5 > answer.txt"], capture_output=True, text=True, check=False).stdout
    assert left == ""
