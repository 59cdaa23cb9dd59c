"""The conformance suite of sandboxes.

A sandbox plugin's whole test file:

    from mlgym_core.testing import SandboxConformance


    class TestMySandbox(SandboxConformance):
        sandbox = "my-sandbox"
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar

import pytest

from mlgym_core.errors import SandboxError, ToolError
from mlgym_core.host import Host
from mlgym_core.interfaces import Mount, Sandbox, SandboxLayout
from mlgym_core.sandbox.listening import listen_inside
from mlgym_core.sandbox.pipes import run_process
from mlgym_core.sandbox.shell import Shell, as_text
from mlgym_core.sandbox.transfers import download_tree, read_file, save_file, upload_tree, write_file
from mlgym_core.specs import Resources
from mlgym_core.testing.conformance import Conformance


async def _text(shell: Shell, command: str, seconds: float = 20.0) -> str:
    result = await shell.run(command, seconds)
    assert not result.timed_out
    assert not result.restarted
    return as_text(result.output)


def _sleepers(*seconds: str) -> list[list[str]]:
    """Return the command lines of this machine's `sleep` processes with these arguments."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                arguments = Path("/proc", entry, "cmdline").read_text().split("\0")
            except OSError:
                continue
            if arguments[0] == "sleep" and arguments[1] in seconds:
                found.append(arguments)
    return found


class SandboxConformance(Conformance):
    """What every sandbox must do. Derive a class whose name begins with `Test`, and name the sandbox.

    The tests need pytest-asyncio in mode `auto`. They cannot be replaced; one that a sandbox is known to fail is named
    in `known_gaps` with the reason, and must then fail.

    Class attributes:
        sandbox: The sandbox's id.
    """

    sandbox: ClassVar[str]

    @pytest.fixture
    def sandbox_class(self) -> type[Sandbox]:
        """The class under test; skips where it does not work, with the reason."""
        sandbox_class = Host.installed().sandboxes.load(self.sandbox)
        if (reason := sandbox_class.unavailable_reason()) is not None:
            pytest.skip(f"{self.sandbox} does not work here: {reason}")
        return sandbox_class

    @pytest.fixture
    def workspace(self, tmp_path: Path) -> Path:
        """The host folder behind the sandbox's working directory."""
        folder = tmp_path / "workspace"
        folder.mkdir()
        return folder

    @pytest.fixture
    async def box(self, sandbox_class: type[Sandbox], workspace: Path, tmp_path: Path) -> AsyncIterator[Sandbox]:
        """A sandbox with a writable and a read-only folder."""
        readable = tmp_path / "readable"
        readable.mkdir()
        (readable / "file").write_text("for reading")
        (tmp_path / "secret").write_text("canary-4713")
        sandbox = sandbox_class(
            SandboxLayout(
                mounts=(Mount(workspace, "/workspace", writable=True), Mount(readable, "/readable")),
                working_directory="/workspace",
                environment={"GREETING": "hello there"},
                resources=Resources(processes=200),
            )
        )
        yield sandbox
        await sandbox.close()

    @pytest.fixture
    async def shell(self, box: Sandbox) -> AsyncIterator[Shell]:
        """A persistent shell in it."""
        shell = Shell(box, output_limit=10_000)
        await shell.start()
        yield shell
        await shell.close()

    async def test_processes_get_input_and_give_output(self, box: Sandbox) -> None:
        done = await run_process(box, ["/bin/cat"], content=b"a\0\xff" * 50_000, output_limit=1 << 20, seconds=20)
        assert (done.status, done.output) == (0, b"a\0\xff" * 50_000)
        done = await run_process(box, ["/bin/sh", "-c", "echo oops >&2; exit 3"], output_limit=10, seconds=20)
        assert (done.status, done.error) == (3, "oops")

    async def test_processes_are_ended_at_their_limits(self, box: Sandbox) -> None:
        done = await run_process(box, ["/bin/cat", "/dev/zero"], output_limit=1000, seconds=20)
        assert (done.status, len(done.output)) == (None, 1000)
        done = await run_process(box, ["/bin/sleep", "1000"], output_limit=1000, seconds=0.3)
        assert done.status is None

    async def test_it_shows_its_layout(self, box: Sandbox, workspace: Path, tmp_path: Path) -> None:
        script = f"pwd; echo $GREETING; cat {box.inside(tmp_path / 'readable' / 'file')}; echo new > file"
        done = await run_process(box, ["/bin/sh", "-c", script], output_limit=1000, seconds=20)
        directory = box.inside(workspace)
        assert done.output.decode() == f"{directory}\nhello there\nfor reading"
        assert (workspace / "file").read_text() == "new\n"

    async def test_python_is_there(self, box: Sandbox) -> None:
        done = await run_process(box, [*box.python, "-c", "print(6 * 7)"], output_limit=100, seconds=60)
        assert done.output == b"42\n", done.error

    async def test_isolation(self, box: Sandbox, tmp_path: Path) -> None:
        if not box.isolated:
            pytest.skip("it states that it does not isolate")
        with socket.create_server(("127.0.0.1", 0)) as server:
            connect = f"import socket; socket.create_connection({server.getsockname()!r}); print('connected')"
            script = f"""
cat '{tmp_path}/secret'
echo x > {box.inside(tmp_path / "readable")}/file && echo written
echo x > /usr/probe && echo written
id -u
{" ".join(box.python)} -c "{connect}"
grep CapEff /proc/self/status
grep NoNewPrivs /proc/self/status
"""
            done = await run_process(box, ["/bin/sh", "-c", script], output_limit=10_000, seconds=60)
        lines = done.output.decode().split()
        assert lines[0] != "0"
        assert lines[1:] == ["CapEff:", "0000000000000000", "NoNewPrivs:", "1"]
        assert (tmp_path / "readable" / "file").read_text() == "for reading"

    async def test_frozen_processes_stand_still(self, shell: Shell, workspace: Path) -> None:
        await _text(shell, "(while :; do date +%N > tick; sleep 0.01; done) > /dev/null 2>&1 & sleep 0.2")
        shell.freeze()
        await asyncio.sleep(0.05)
        before = (workspace / "tick").read_text()
        await asyncio.sleep(0.3)
        assert (workspace / "tick").read_text() == before
        shell.thaw()
        await asyncio.sleep(0.3)
        assert (workspace / "tick").read_text() != before

    async def test_processor_time(self, box: Sandbox, shell: Shell) -> None:
        counter = box.processor_time_counter()
        if counter is None:
            pytest.skip("it states that it does not count processor time")
        before = box.processor_seconds()
        assert before is not None
        # A loop of the shell's own, and one of a process that leaves the shell's session and is waited for by nobody.
        count = "n=0; while [ $n -lt 100000 ]; do n=$((n + 1)); done"
        await _text(shell, f"{count}; times", 60)
        after = box.processor_seconds()
        assert after is not None
        assert after > before
        if counter.startswith("control group"):
            await _text(shell, f"setsid bash -c '({count}; touch counted) &' > /dev/null 2>&1", 60)
            await _text(shell, "until [ -e counted ]; do sleep 0.1; done", 60)
            assert (box.processor_seconds() or 0.0) > after
        await shell.close()
        await box.close()
        assert (box.processor_seconds() or 0.0) >= after

    async def test_state_lives_on(self, shell: Shell) -> None:
        await _text(shell, 'x=5; f() { echo "f $1"; }; alias g=f; mkdir -p deep/er; cd deep/er; export Y=6')
        assert await _text(shell, "echo $x; f a; g b; bash -c 'echo $Y'") == "5\nf a\nf b\n6\n"
        assert (await _text(shell, "pwd")).endswith("/deep/er\n")
        assert shell.working_directory.endswith("/deep/er")

    @pytest.mark.parametrize(("command", "code"), [("true", 0), ("false", 1), ("(exit 7)", 7), ("nonsense-xyz", 127)])
    async def test_exit_codes(self, shell: Shell, command: str, code: int) -> None:
        assert (await shell.run(command, 20)).exit_code == code

    async def test_output_comes_as_it_is(self, shell: Shell) -> None:
        assert await _text(shell, "printf 'no newline'") == "no newline"
        assert await _text(shell, "printf '\\n\\n a \\n'") == "\n\n a \n"
        assert await _text(shell, "echo out; echo err >&2") == "out\nerr\n"
        assert await _text(shell, "printf 'ä\\0b\\xff\\n'") == "ä\0b\\xff\n"
        assert await _text(shell, "true") == ""

    async def test_long_commands_and_many_lines(self, shell: Shell) -> None:
        lines = "\n".join(f"line {number} 'quoted' \"double\" $HOME `backtick` \\ !bang" for number in range(3000))
        command = f"cat <<'END' | wc -l\n{lines}\nEND"
        assert await _text(shell, command) == "3000\n"
        assert await _text(shell, "for i in 1 2\ndo\n  echo $i # comment\ndone") == "1\n2\n"

    async def test_long_output_keeps_head_and_tail(self, shell: Shell) -> None:
        result = await shell.run("seq 1 2000000", 60)
        output = as_text(result.output)
        assert output.startswith("1\n2\n3\n")
        assert output.endswith("1999999\n2000000\n")
        assert f"[… {result.omitted_bytes:,} bytes left out …]" in output
        assert len(result.output) < 10_200
        total = len(as_text((await shell.run("seq 1 2000000 | wc -c", 60)).output).strip())
        assert total == len(str(result.omitted_bytes + 10_000))

    async def test_commands_get_no_input(self, shell: Shell) -> None:
        assert await _text(shell, "cat; read line; echo done") == "done\n"
        assert await _text(shell, "python3 -c 'import sys; print(repr(sys.stdin.read()))'") == "''\n"

    @pytest.mark.parametrize(
        "command",
        [
            "echo 'unbalanced",
            'echo "unbalanced',
            "cat <<END\nnever closed",
            "if true; then",
            "echo $(",
            "}",
            ")",
            "echo a\\",
            "PROMPT_COMMAND='echo prompt'; PS1='$ '; true",
            "set -u; unset nothing; true",
            "exec >/dev/null; true",
            "exec >&-; true",
            "exec 2>&-; true",
            "stty -echo; true",
            "echo() { :; }; printf() { :; }; cd() { :; }; true",
            "trap 'echo trapped' EXIT INT TERM; true",
            "printf '\\036%s 0 /\\0' 0123456789abcdef",
            "kill -INT $$",
        ],
    )
    async def test_the_next_command_answers(self, shell: Shell, command: str) -> None:
        await shell.run(command, 20)
        assert await _text(shell, "unset -f echo printf cd; builtin echo here") == "here\n"
        assert await _text(shell, "echo $((6 * 7))") == "42\n"

    @pytest.mark.parametrize(
        ("command", "status"),
        [("exit 3", 3), ("exec true", 0), ("exec false", 1), ("set -e; false", 1), ("kill -9 $$; exit 9", None)],
    )
    async def test_a_shell_that_ends_is_replaced(self, shell: Shell, command: str, status: int | None) -> None:
        await _text(shell, "x=5; echo kept > file; cd /")
        result = await shell.run(command, 20)
        assert result.restarted
        if status is not None:
            assert result.exit_code == status
        assert await _text(shell, 'echo "[$x]"; cat file') == "[]\nkept\n"

    @pytest.mark.parametrize(
        "command",
        [
            "sleep 1000",
            "sleep 1000; sleep 1000",
            "while :; do :; done",
            "while :; do sleep 0.01; done",
            "python3 -c 'while True: pass'",
            "bash -c 'trap \"\" INT TERM HUP; while :; do sleep 1; done'",
            "sleep 1000 | sleep 1000",
            "(setsid sleep 1000 &) ; sleep 1000",
            "wait_for() { while :; do :; done; }; wait_for",
            "until false; do false; done",
            "yes > /dev/null",
        ],
    )
    async def test_a_command_that_takes_too_long(self, shell: Shell, command: str) -> None:
        await _text(shell, "x=5")
        result = await shell.run(command, 0.5)
        assert result.timed_out
        assert result.exit_code is None
        assert not result.restarted
        assert await _text(shell, "echo $x") == "5\n"

    async def test_output_before_the_time_limit_is_kept(self, shell: Shell) -> None:
        result = await shell.run("echo before; sleep 1000; echo after", 0.5)
        assert as_text(result.output).startswith("before\n")
        assert "after" not in as_text(result.output)

    @pytest.mark.parametrize("loop", ["while :; do :; done", "while :; do sleep 1; done"])
    async def test_a_shell_that_will_not_be_interrupted_is_replaced(self, shell: Shell, loop: str) -> None:
        result = await shell.run(f"trap '' INT TERM; {loop}", 0.3)
        assert result.timed_out
        assert result.restarted
        assert await _text(shell, "echo here") == "here\n"

    async def test_a_time_limit_kills_the_whole_tree_but_spares_older_jobs(self, shell: Shell) -> None:
        # Durations that no other process on this machine sleeps for.
        old, daemon, job, front = (str(secrets.randbelow(10**6) + 10**6) for _ in range(4))
        await _text(shell, f"sleep {old} & disown")
        await asyncio.sleep(0.05)  # process start times are counted in hundredths of a second
        command = f"(setsid bash -c 'sleep {daemon}; true' & ) ; nohup sleep {job} > /dev/null 2>&1 & sleep {front}"
        assert (await shell.run(command, 0.5)).timed_out
        assert _sleepers(daemon, job, front) == []
        assert len(_sleepers(old)) == 1
        await shell.close()
        assert _sleepers(old) == []

    async def test_background_output_does_not_confuse_the_end(self, shell: Shell) -> None:
        await _text(shell, "(sleep 0.2; echo late) & true")
        await asyncio.sleep(0.4)
        output = await _text(shell, "echo now")
        assert "now\n" in output
        assert await _text(shell, "echo again") == "again\n"

    async def test_deleted_working_directory(self, shell: Shell) -> None:
        await _text(shell, "mkdir gone; cd gone; rm -rf ../gone")
        assert (await shell.run("ls", 20)).exit_code == 0
        await _text(shell, "cd ..")
        assert await _text(shell, "echo here") == "here\n"

    async def test_processes_share_the_sandbox_of_the_shell(self, box: Sandbox, shell: Shell) -> None:
        await _text(shell, "echo from the shell > file; (sleep 1000 & echo $! > pid) > /dev/null 2>&1; umask")
        script = "pwd; cat file; echo $GREETING; kill $(cat pid) && echo ended > file"
        done = await run_process(box, ["/bin/sh", "-c", script], output_limit=1000, seconds=20)
        assert done.status == 0, done.error
        assert done.output.decode() == f"{shell.working_directory}\nfrom the shell\nhello there\n"
        assert await _text(shell, "cat file") == "ended\n"

    async def test_processes_that_join_have_no_more_rights(self, box: Sandbox, shell: Shell) -> None:
        script = "id -u; id -g; grep -E 'Cap(Inh|Prm|Eff|Amb)|NoNewPrivs|Seccomp:' /proc/self/status; ls /proc/self/fd"
        done = await run_process(box, ["/bin/sh", "-c", script], output_limit=1000, seconds=20)
        alone = await _text(shell, "id -u; id -g; grep -E 'Cap(Inh|Prm|Eff|Amb)|NoNewPrivs|Seccomp:' /proc/self/status")
        assert done.output.decode().startswith(alone)
        # Standard input, output and error, and the folder that `ls` looks into.
        assert len(done.output.decode()[len(alone) :].split()) == 4

    async def test_files_come_and_go(self, box: Sandbox, shell: Shell, tmp_path: Path) -> None:
        folder = shell.working_directory
        content = bytes(range(256)) * 4096
        await write_file(box, f"{folder}/new/bytes", content)
        assert await _text(shell, "stat -c %s new/bytes") == f"{len(content)}\n"
        assert await read_file(box, f"{folder}/new/bytes", len(content)) == content
        assert await read_file(box, f"{folder}/new/bytes", 1000) == content[:1000]
        with (tmp_path / "copy").open("w+b") as copy:
            await save_file(box, f"{folder}/new/bytes", copy, 1 << 30)
            copy.seek(0)
            await write_file(box, f"{folder}/again", copy)
        assert (tmp_path / "copy").read_bytes() == content
        assert await _text(shell, "cmp new/bytes again && echo same") == "same\n"
        with pytest.raises(ToolError, match="No such file"):
            await read_file(box, f"{folder}/nothing", 10)
        with pytest.raises(ToolError, match="Is a directory"):
            await write_file(box, folder, b"")
        # Nobody waits for the other end.
        await _text(shell, "mkfifo pipe && ln -s pipe link")
        for name in ("pipe", "link"):
            with pytest.raises(ToolError, match="It is a pipe"):
                await read_file(box, f"{folder}/{name}", 10)
            with pytest.raises(ToolError, match="It is a pipe"):
                await write_file(box, f"{folder}/{name}", b"")

    async def test_trees_come_and_go(self, box: Sandbox, shell: Shell, tmp_path: Path) -> None:
        source = tmp_path / "source"
        (source / "deep" / "er").mkdir(parents=True)
        (source / "deep" / "er" / "file").write_bytes(b"x" * 100_000)
        (source / "new\nline").write_text("odd")
        (source / "program").write_text("#!/bin/sh\necho runs\n")
        (source / "program").chmod(0o755)
        (source / "link").symlink_to("program")
        target = f"{shell.working_directory}/tree"
        await upload_tree(box, source, target)
        assert await _text(shell, "./tree/link; stat -c %s tree/deep/er/file; ls tree | wc -l") == "runs\n100000\n5\n"
        (tmp_path / "back").mkdir()
        await download_tree(box, target, tmp_path / "back", 1 << 20)
        assert (tmp_path / "back" / "deep" / "er" / "file").read_bytes() == b"x" * 100_000
        assert (tmp_path / "back" / "new\nline").read_text() == "odd"
        assert os.readlink(tmp_path / "back" / "link") == "program"

    @pytest.mark.parametrize(
        ("trick", "says"),
        [
            ("ln -s /etc tree/link", "absolute path"),
            ("ln -s ../../secret tree/link", "outside"),
            ("mkfifo tree/pipe", "special file"),
            ("head -c 3M /dev/zero > tree/file", "too large"),
            ("truncate -s 1G tree/file", "too large"),
            ("rm -r tree", "No such file"),
        ],
    )
    async def test_trees_do_not_lead_out(
        self, box: Sandbox, shell: Shell, tmp_path: Path, trick: str, says: str
    ) -> None:
        await _text(shell, f"mkdir tree; {trick}")
        (tmp_path / "back").mkdir()
        with pytest.raises(ToolError, match=says):
            await download_tree(box, f"{shell.working_directory}/tree", tmp_path / "back", 1 << 20)
        assert not (tmp_path / "back" / "link").exists()

    async def test_the_files_of_a_mount_are_seen_from_outside(self, box: Sandbox, shell: Shell) -> None:
        await _text(shell, "echo inside > file")
        async with box.files(box.layout.mounts[0]) as folder:
            assert (folder / "file").read_text() == "inside\n"

    async def test_descendants_and_open_files_are_known(self, shell: Shell) -> None:
        assert shell.background_processes() == 0
        await _text(shell, "(sleep 1000 > open-file &) 2>/dev/null; until [ -e open-file ]; do :; done")
        assert shell.background_processes() == 1
        assert any(os.readlink(link).endswith("/open-file") for link in shell.open_files())

    async def test_a_command_can_be_ended_early(self, shell: Shell) -> None:
        running = asyncio.create_task(shell.run("echo before; sleep 1000", 60))
        await asyncio.sleep(0.3)
        assert shell.expire()
        assert as_text((await running).output) == "before\n"
        assert not shell.expire()
        assert await _text(shell, "echo here") == "here\n"

    async def test_a_command_that_its_caller_gave_up_on(self, shell: Shell) -> None:
        await _text(shell, "x=5")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(shell.run("echo old; sleep 1000; echo older", 60), 0.5)
        result = await shell.run("echo new", 20)
        assert as_text(result.output) == "new\n"
        assert await _text(shell, "echo here") == "here\n"

    async def test_a_shell_that_ended_between_commands_is_replaced_before_the_next(self, shell: Shell) -> None:
        await _text(shell, "TMOUT=1")
        await asyncio.sleep(2.5)
        result = await shell.run("echo here", 20)
        assert result.restarted
        assert as_text(result.output) == "here\n"

    async def test_a_closed_shell_says_so(self, shell: Shell) -> None:
        running = asyncio.create_task(shell.run("sleep 1000", 60))
        await asyncio.sleep(0.3)
        await shell.end()
        with pytest.raises(SandboxError, match="closed while a command ran"):
            await running

    async def test_the_host_listens_inside(self, box: Sandbox, shell: Shell) -> None:
        listener = await listen_inside(box)
        loop = asyncio.get_running_loop()
        with listener.socket:
            # The shell sees what the process before it left to the host, though that process has ended.
            talk = f"exec 9<>/dev/tcp/{listener.host}/{listener.port} && echo hello >&9 && read line <&9; echo $line"
            asking = asyncio.create_task(_text(shell, talk))
            connection, _ = await asyncio.wait_for(loop.sock_accept(listener.socket), 20)
            with connection:
                connection.setblocking(False)
                assert await asyncio.wait_for(loop.sock_recv(connection, 100), 20) == b"hello\n"
                await loop.sock_sendall(connection, b"welcome\n")
                assert await asking == "welcome\n"

    async def test_it_states_what_it_can_do(self, sandbox_class: type[Sandbox]) -> None:
        assert sandbox_class.capabilities <= {"freeze", "gpu", "image", "layers", "network"}
        assert set(sandbox_class.limits()) <= {"cpu", "memory", "processes"}
        assert all(number >= 0 for number in sandbox_class.remove_abandoned().values())
