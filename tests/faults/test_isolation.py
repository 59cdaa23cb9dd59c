"""What an agent's sandbox must not let it do. Each test is an attack from inside."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import sysconfig
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from inside import output, python, tool

import mlgym_core
from mlgym_core import Env, make
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
    # Of containers there are the first process, its only child, and one that waits to read and write files.
    assert len(seen) <= 7 < len(host_processes)
    assert "alive" not in output(env, f"kill -0 {os.getpid()} 2>/dev/null && echo alive")
    assert "python" not in output(env, "cat /proc/1/cmdline | tr '\\0' ' '")


def test_no_descriptor_of_the_host_is_inherited(env: Env) -> None:
    targets = output(env, "for n in /proc/1/fd/* /proc/self/fd/*; do readlink $n; done").split()
    assert targets
    for target in targets:
        assert target.startswith(("pipe:", "/dev/null", "/proc/", "/dev/pts")), target


def test_no_socket_of_the_host_is_inherited(env: Env, isolated_sandbox: str) -> None:
    # None is open, in any process whose descriptors can be seen, and none that others listen on can be found. A
    # container has a process that waits to be told what to become, at the other end of a socket of its own.
    waiting = int(isolated_sandbox == "docker")
    assert len(output(env, "ls -l /proc/*/fd 2>/dev/null | grep socket:").splitlines()) <= waiting
    assert output(env, "tail -qn +2 /proc/net/tcp /proc/net/tcp6 /proc/net/udp 2>/dev/null") == ""
    local = output(env, "tail -qn +2 /proc/net/unix").splitlines()
    assert len(local) <= 2 * waiting
    # One that listens has the flag __SO_ACCEPTCON.
    assert not [line for line in local if line.split()[3] != "00000000"]


def test_no_new_namespaces_and_no_set_user_id(env: Env) -> None:
    assert "inside" not in output(env, "unshare -Ur echo inside 2>/dev/null")
    assert "inside" not in output(env, "unshare -r echo inside 2>/dev/null")
    programs = output(env, "find /usr/bin -perm -4000 2>/dev/null | head -3").split()
    for program in programs:
        assert "root" not in output(env, f"{program} -c id 2>/dev/null | grep -o 'uid=0(root)'")


@pytest.mark.parametrize("isolated_sandbox", ["bwrap"], indirect=True)
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


# ------------------------------------------------------------------------------------------------------ other episodes


@pytest.fixture
def other(isolated_sandbox: str, installed_examples: object) -> Iterator[Env]:
    """Another episode that goes on at the same time, with secrets wherever an agent may leave some."""
    with make("examples/number", sandbox=isolated_sandbox) as other:
        other.reset()
        output(other, "for folder in /workspace ~ /tmp /dev/shm; do echo canary-4714 > $folder/canary.txt; done")
        output(other, "(SECRET=canary-4715 exec -a canary-4716 sleep 1000 9< canary.txt) > /dev/null 2>&1 &")
        yield other


LOOK_INTO_PROCESSES = """
import glob, os
own = os.stat("/")
for pid in filter(str.isdigit, os.listdir("/proc")):
    for name in ("environ", "cmdline", "maps", "mountinfo"):
        try:
            print(open(f"/proc/{pid}/{name}", errors="replace").read().replace(chr(0), " "))
        except OSError:
            pass
    for name in ("root", "cwd", "exe"):
        try:
            if name == "root" and not os.path.samestat(own, os.stat(f"/proc/{pid}/root")):
                print("another root:", pid)
            print(pid, name, os.readlink(f"/proc/{pid}/{name}"))
        except OSError:
            pass
    for path in glob.glob(f"/proc/{pid}/fd/*") + glob.glob(f"/proc/{pid}/root/*/canary.txt"):
        try:
            if os.path.isfile(path):
                print(open(path).read())
        except OSError:
            pass
"""


def test_other_episodes_cannot_be_seen(env: Env, other: Env) -> None:
    assert output(other, "cat /workspace/canary.txt; pgrep -f canary-4716 | wc -l; true").startswith("canary-4714\n")
    assert output(env, "find / -name canary.txt 2>/dev/null") == ""
    found = python(env, LOOK_INTO_PROCESSES)
    assert "/workspace" in found
    assert "canary-47" not in found
    assert "another root" not in found
    # By the paths that the folders have on the host, from outside, and from every process's root.
    folders = list((cache_dir() / "scratch").glob(f"{os.getpid()}-*/episode-*"))
    assert len(folders) == 2
    for folder in folders:
        for prefix in ("", "/proc/1/root", "/proc/self/root", "/proc/self/cwd/../..", "/proc/self/fd/0/.."):
            # A path below `/tmp` means the sandbox's own, in which its agent may make what it likes.
            assert "canary-4714" not in output(env, f"cat '{prefix}{folder}/workspace/canary.txt' 2>/dev/null")
            path = f"{prefix}{folder}/workspace/canary.txt"
            assert "canary-4714" not in tool(env, "read_file", path=path)
            tool(env, "write_file", path=path, content="overwritten")
    assert output(other, "cat canary.txt") == "canary-4714\n"


def test_processes_outside_cannot_be_reached(env: Env, other: Env) -> None:
    outside = subprocess.Popen(["sleep", "1000"])
    try:
        said = python(
            env,
            f"""
            import ctypes, os
            library = ctypes.CDLL(None, use_errno=True)
            class Part(ctypes.Structure):
                _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
            own = {{int(name) for name in os.listdir("/proc") if name.isdigit()}}
            mine = ctypes.create_string_buffer(8)
            here = Part(ctypes.addressof(mine), 8)
            there = Part(0x400000, 8)
            for pid in {{{os.getpid()}, {outside.pid}, *range(1, 40000)}} - own:
                found = []
                try:
                    os.kill(pid, 0)
                    if os.path.exists(f"/proc/{{pid}}/stat"):
                        found.append("signal")
                except OSError:
                    pass
                try:
                    library.syscall(438, os.pidfd_open(pid), 0, 0) >= 0 and found.append("pidfd_getfd")
                except OSError:
                    pass
                if library.ptrace(16, pid, 0, 0) == 0:
                    found.append("ptrace")
                for number in (310, 311):
                    if library.syscall(number, pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0) > 0:
                        found.append(f"memory {{number}}")
                if found and not os.path.exists(f"/proc/{{pid}}"):
                    found = []  # one of this program's own, gone meanwhile
                if found:
                    print(pid, *found)
            print("looked")
            """,
        )
    finally:
        outside.kill()
        outside.wait()
    assert said == "looked\n"


# ----------------------------------------------------------------------------------------- the grader and its files


def test_the_grader_cannot_be_watched(env: Env) -> None:
    watch = """
        import glob, os, time
        while True:
            for path in glob.glob("/proc/[0-9]*/root/private") + glob.glob("/proc/[0-9]*/root/wires"):
                open("/tmp/found", "a").write(path)
            for path in glob.glob("/proc/[0-9]*/cmdline"):
                try:
                    line = open(path).read()
                except OSError:
                    continue
                if "grader_process" in line or "/opt/runtime" in line:
                    open("/tmp/found", "a").write(line)
            open("/tmp/looked", "a").write("x")
    """
    tool(env, "write_file", path="/tmp/watch.py", content=textwrap.dedent(watch))
    output(env, "python3 /tmp/watch.py > /dev/null 2>&1 &")
    for _ in range(3):
        assert env.step({"tool": "validate"})[0].score is not None
    assert len(output(env, "cat /tmp/looked")) > 10
    assert output(env, "cat /tmp/found 2>/dev/null") == ""


def test_the_private_files_have_no_path(env: Env) -> None:
    assert output(env, "find / -name secret.txt -not -path '/proc/*' 2>/dev/null") == ""
    prepared = list((cache_dir() / "prepared").glob("examples-number-*/private"))
    assert prepared
    for folder in [*map(str, prepared), "/private", "/opt/code", "/opt/runtime", "/wires"]:
        for prefix in ("", "/proc/1/root", "/proc/self/root", "/workspace/../../../.."):
            assert output(env, f"ls '{prefix}{folder}' 2>/dev/null") == "", folder
            assert "cannot be read" in tool(env, "read_file", path=f"{prefix}{folder}/secret.txt")


def test_submitted_code_sees_no_secret_of_the_runner(
    isolated_sandbox: str, installed_examples: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXAMPLE_API_KEY", "canary-4711")
    source = """
import glob
text = ""
for path in glob.glob("/proc/[0-9]*/environ"):
    try:
        text += open(path, errors="replace").read()
    except OSError:
        pass
raise ValueError("canary" in text, "PATH=" in text, glob.glob("/private"), glob.glob("/opt/code"))
"""
    with make("examples/programs", sandbox=isolated_sandbox) as env:
        env.reset()
        tool(env, "write_file", path="code/program.py", content=source)
        observation = env.step({"tool": "validate"})[0]
    assert observation.score is not None
    assert "(False, True, [], [])" in (observation.score.reason or "")


# ------------------------------------------------------------------------------------------------ devices, the kernel


OPENING = """
import os
for folder, folders, files in os.walk({root!r}):
    for name in files:
        path = os.path.join(folder, name)
        try:
            descriptor = os.open(path, {flags} | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:
            continue
        os.close(descriptor)
        print(path)
"""


def test_no_device_of_the_host_can_be_opened(env: Env) -> None:
    harmless = {"/dev/" + name for name in ("full", "null", "random", "tty", "urandom", "zero", "pts/ptmx", "ptmx")}
    harmless |= {"/dev/stdin", "/dev/stdout", "/dev/stderr"}
    opened = python(env, OPENING.format(root="/dev", flags="os.O_RDONLY")).split()
    assert set(opened) <= harmless | {"/dev/core"}
    for name in ("mem", "kmem", "kmsg", "vda", "sda", "nvme0n1", "kvm", "fuse", "loop-control", "net/tun", "vsock"):
        assert output(env, f"head -c1 /dev/{name} 2>/dev/null | wc -c") == "0\n", name


KERNEL_FILES = ("kcore", "keys", "kmsg", "kpagecount", "sched_debug", "slabinfo", "timer_list", "vmallocinfo")


@pytest.mark.parametrize("name", KERNEL_FILES)
def test_files_of_the_kernel_that_say_too_much(env: Env, name: str) -> None:
    assert output(env, f"timeout 5 head -c1 /proc/{name} 2>/dev/null | wc -c") == "0\n"


KERNEL_FOLDERS = ("/sys", "/proc/sys", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/acpi", "/proc/scsi")


@pytest.mark.parametrize("root", KERNEL_FOLDERS)
def test_nothing_of_the_kernel_can_be_opened_for_writing(env: Env, root: str) -> None:
    assert python(env, OPENING.format(root=root, flags="os.O_WRONLY")) == ""


def test_control_groups_cannot_be_left_or_made(env: Env) -> None:
    script = """
        mount -t cgroup none /mnt; mount -t cgroup2 none /tmp; mount -t tmpfs none /sys/fs/cgroup
        for folder in $(find /sys/fs/cgroup -type d 2>/dev/null); do
            mkdir $folder/evil && echo made
            for file in release_agent notify_on_release cgroup.procs tasks memory.max memory.limit_in_bytes pids.max; do
                (echo 1 > $folder/$file) && echo "written $folder/$file"
            done
        done
        for file in core_pattern modprobe hotplug poweroff_cmd; do
            (echo /tmp/x > /proc/sys/kernel/$file) && echo written
        done
        (echo ':x:M::x::/tmp/x:' > /proc/sys/fs/binfmt_misc/register) && echo written
        mount -t binfmt_misc none /tmp && echo mounted
    """
    assert output(env, f"{{ {textwrap.dedent(script)} }} 2>/dev/null") == ""


def test_programs_that_set_their_user_do_not(env: Env) -> None:
    output(env, "cp /bin/bash own; cp /usr/bin/id id; chmod 6755 own id; chmod u+s id")
    assert output(env, "./id -u; ./own -pc 'id -u; id -g'").split() == ["1000", "1000", "1000"]
    found = output(env, "find /usr -xdev -type f \\( -perm -4000 -o -perm -2000 \\) 2>/dev/null").split()
    for program in found:
        assert "uid=0" not in output(env, f"timeout 2 {program} -c id < /dev/null 2>&1"), program


# -------------------------------------------------------------------------------------------------------- the network


def test_no_address_of_the_host_answers(env: Env) -> None:
    addresses = {line.split()[3].partition("/")[0] for line in ip("-4", "-o", "addr")}
    addresses |= {"127.0.0.1", "127.0.0.53", "169.254.169.254", "172.17.0.1", "10.0.2.2", "192.168.65.2", "0.0.0.0"}
    with socket.create_server(("0.0.0.0", 0)) as server, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("0.0.0.0", server.getsockname()[1]))
        datagrams.settimeout(0.2)
        port = server.getsockname()[1]
        said = python(
            env,
            f"""
            import socket
            for address in {sorted(addresses)!r}:
                for port in ({port}, 22, 53, 80, 2375, 2376):
                    try:
                        socket.create_connection((address, port), timeout=0.2)
                        print("connected", address, port)
                    except OSError:
                        pass
                try:
                    with socket.socket(type=socket.SOCK_DGRAM) as datagram:
                        datagram.sendto(b"canary", (address, {port}))
                except OSError:
                    pass
            for name in ("example.com", "host.docker.internal", "metadata.google.internal", "_gateway"):
                try:
                    print(socket.getaddrinfo(name, 80))
                except OSError:
                    pass
            for family, kind in ((socket.AF_PACKET, socket.SOCK_RAW), (socket.AF_INET, socket.SOCK_RAW)):
                try:
                    socket.socket(family, kind, 1)
                    print("raw", family)
                except OSError:
                    pass
            for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/podman/podman.sock", "/run/dbus/system"):
                try:
                    socket.socket(socket.AF_UNIX).connect(path)
                    print("connected", path)
                except OSError:
                    pass
            print("tried")
            """,
        )
        assert said == "tried\n"
        with pytest.raises(TimeoutError):
            datagrams.recv(10)
        # From the host itself it works.
        socket.create_connection(("127.0.0.1", port), timeout=5).close()


def ip(*arguments: str) -> list[str]:
    """Return what the program `ip` says of this machine's addresses, if there is one."""
    try:
        return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True).stdout.splitlines()
    except FileNotFoundError:
        return []


# -------------------------------------------------------------------------------------- what works without isolation


def test_these_attacks_work_where_nothing_isolates(
    installed_examples: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the tests above would prove nothing."""
    monkeypatch.setenv("EXAMPLE_API_KEY", "canary-4711")
    (tmp_path / "secret").write_text("canary-4712")
    with make("examples/number", sandbox="process") as env, make("examples/number", sandbox="process") as other:
        env.reset()
        other.reset()
        output(other, "echo canary-4714 > canary.txt")
        assert tool(env, "read_file", path=str(tmp_path / "secret")) == "canary-4712"
        tool(env, "write_file", path=str(tmp_path / "secret"), content="overwritten")
        assert (tmp_path / "secret").read_text() == "overwritten"
        scratch, prepared = cache_dir() / "scratch", cache_dir() / "prepared"
        path = f"{scratch}/{os.getpid()}-*/episode-*/workspace/canary.txt"
        assert output(env, f"cat {path}") == "canary-4714\n"
        assert output(env, f"cat {prepared}/examples-number-*/private/secret.txt").startswith("the private file")
        assert output(env, f"kill -0 {os.getpid()} && echo alive") == "alive\n"
        with socket.create_server(("127.0.0.1", 0)) as server:
            connect = f"import socket; socket.create_connection({server.getsockname()!r}); print('connected')"
            assert output(env, f'python3 -c "{connect}"') == "connected\n"
