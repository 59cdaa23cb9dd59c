"""The persistent shell, in both of the core's sandboxes."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mlgym_core import Host, Mount, Resources, SandboxLayout
from mlgym_core.sandbox.shell import Shell, as_text


@pytest.fixture
async def shell(sandbox_name: str, host: Host, tmp_path: Path) -> AsyncIterator[Shell]:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    sandbox = host.sandboxes.load(sandbox_name)(
        SandboxLayout(
            mounts=(Mount(workspace, "/workspace", writable=True),),
            working_directory="/workspace",
            resources=Resources(processes=200),
        )
    )
    shell = Shell(sandbox, output_limit=10_000)
    await shell.start()
    yield shell
    await shell.close()
    await sandbox.close()


async def text(shell: Shell, command: str, seconds: float = 20.0) -> str:
    result = await shell.run(command, seconds)
    assert not result.timed_out
    assert not result.restarted
    return as_text(result.output)


async def test_state_lives_on(shell: Shell) -> None:
    await text(shell, 'x=5; f() { echo "f $1"; }; alias g=f; mkdir -p deep/er; cd deep/er; export Y=6')
    assert await text(shell, "echo $x; f a; g b; bash -c 'echo $Y'") == "5\nf a\nf b\n6\n"
    assert (await text(shell, "pwd")).endswith("/deep/er\n")
    assert shell.working_directory.endswith("/deep/er")


@pytest.mark.parametrize(("command", "code"), [("true", 0), ("false", 1), ("(exit 7)", 7), ("nonsense-xyz", 127)])
async def test_exit_codes(shell: Shell, command: str, code: int) -> None:
    assert (await shell.run(command, 20)).exit_code == code


async def test_output_comes_as_it_is(shell: Shell) -> None:
    assert await text(shell, "printf 'no newline'") == "no newline"
    assert await text(shell, "printf '\\n\\n a \\n'") == "\n\n a \n"
    assert await text(shell, "echo out; echo err >&2") == "out\nerr\n"
    assert await text(shell, "printf 'ä\\0b\\xff\\n'") == "ä\0b\\xff\n"
    assert await text(shell, "true") == ""


async def test_long_commands_and_many_lines(shell: Shell) -> None:
    lines = "\n".join(f"line {number} 'quoted' \"double\" $HOME `backtick` \\ !bang" for number in range(3000))
    command = f"cat <<'END' | wc -l\n{lines}\nEND"
    assert await text(shell, command) == "3000\n"
    assert await text(shell, "for i in 1 2\ndo\n  echo $i # comment\ndone") == "1\n2\n"


async def test_long_output_keeps_head_and_tail(shell: Shell) -> None:
    result = await shell.run("seq 1 2000000", 60)
    output = as_text(result.output)
    assert output.startswith("1\n2\n3\n")
    assert output.endswith("1999999\n2000000\n")
    assert f"[… {result.omitted_bytes:,} bytes left out …]" in output
    assert len(result.output) < 10_200
    total = len(as_text((await shell.run("seq 1 2000000 | wc -c", 60)).output).strip())
    assert total == len(str(result.omitted_bytes + 10_000))


async def test_commands_get_no_input(shell: Shell) -> None:
    assert await text(shell, "cat; read line; echo done") == "done\n"
    assert await text(shell, "python3 -c 'import sys; print(repr(sys.stdin.read()))'") == "''\n"


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
async def test_the_next_command_answers(shell: Shell, command: str) -> None:
    await shell.run(command, 20)
    assert await text(shell, "unset -f echo printf cd; builtin echo here") == "here\n"
    assert await text(shell, "echo $((6 * 7))") == "42\n"


@pytest.mark.parametrize(
    ("command", "status"),
    [("exit 3", 3), ("exec true", 0), ("exec false", 1), ("set -e; false", 1), ("kill -9 $$; exit 9", None)],
)
async def test_a_shell_that_ends_is_replaced(shell: Shell, command: str, status: int | None) -> None:
    await text(shell, "x=5; echo kept > file; cd /")
    result = await shell.run(command, 20)
    assert result.restarted
    if status is not None:
        assert result.exit_code == status
    assert await text(shell, 'echo "[$x]"; cat file') == "[]\nkept\n"


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
async def test_a_command_that_takes_too_long(shell: Shell, command: str) -> None:
    await text(shell, "x=5")
    result = await shell.run(command, 0.5)
    assert result.timed_out
    assert result.exit_code is None
    assert not result.restarted
    assert await text(shell, "echo $x") == "5\n"


async def test_output_before_the_time_limit_is_kept(shell: Shell) -> None:
    result = await shell.run("echo before; sleep 1000; echo after", 0.5)
    assert as_text(result.output).startswith("before\n")
    assert "after" not in as_text(result.output)


@pytest.mark.parametrize("command", ["trap '' INT; while :; do :; done", "trap '' INT TERM; while :; do sleep 1; done"])
async def test_a_shell_that_will_not_be_interrupted_is_replaced(shell: Shell, command: str) -> None:
    result = await shell.run(command, 0.3)
    assert result.timed_out
    assert result.restarted
    assert await text(shell, "echo here") == "here\n"


async def test_a_time_limit_kills_the_whole_tree_but_spares_older_jobs(shell: Shell) -> None:
    # Durations that no other process on this machine sleeps for.
    old, daemon, job, front = (str(secrets.randbelow(10**6) + 10**6) for _ in range(4))
    await text(shell, f"sleep {old} & disown")
    await asyncio.sleep(0.05)  # process start times are counted in hundredths of a second
    command = f"(setsid bash -c 'sleep {daemon}; true' & ) ; nohup sleep {job} > /dev/null 2>&1 & sleep {front}"
    assert (await shell.run(command, 0.5)).timed_out
    assert _sleepers(daemon, job, front) == []
    assert len(_sleepers(old)) == 1
    await shell.close()
    assert _sleepers(old) == []


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


async def test_background_output_does_not_confuse_the_end(shell: Shell) -> None:
    await text(shell, "(sleep 0.2; echo late) & true")
    await asyncio.sleep(0.4)
    output = await text(shell, "echo now")
    assert "now\n" in output
    assert await text(shell, "echo again") == "again\n"


async def test_deleted_working_directory(shell: Shell) -> None:
    await text(shell, "mkdir gone; cd gone; rm -rf ../gone")
    assert (await shell.run("ls", 20)).exit_code == 0
    await text(shell, "cd ..")
    assert await text(shell, "echo here") == "here\n"
