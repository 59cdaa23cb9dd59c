"""Things that go wrong in long episodes. After each: a correct observation, and the next command answers."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from inside import answers, output, python
from leftovers import command_lines

from mlgym_core import Env, make


@pytest.mark.slow
def test_a_gigabyte_in_one_line(env: Env) -> None:
    observation = env.step("head -c 1G /dev/zero | tr '\\0' x; echo; echo end")[0]
    assert observation.truncated
    assert observation.text.startswith("xxxx")
    assert observation.text.endswith("xxx\nend\n")
    assert "bytes left out" in observation.text
    assert len(observation.text) < 100_000
    assert answers(env)


def test_ten_thousand_files(env: Env) -> None:
    env.step("mkdir many; cd many; seq 10000 | xargs touch; cd ..")
    assert env.step("ls many | wc -l")[0].text == "10000\n"
    assert env.step({"tool": "validate"})[0].score is not None
    with env.fork(env.snapshot()) as twin:
        assert twin.step("ls many | wc -l")[0].text == "10000\n"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("set -o vi", ""),
        ("set +o emacs", ""),
        ("set -n; echo", ""),
        ("set -x; echo traced", "traced"),
        ("set -o posix; echo fine", "fine"),
        ("set -H; echo !!", "!!"),
        ("read -e line; echo [$line]", "[]"),
        ("suspend", ""),
        ("logout", "not login shell"),
        ("ulimit -f 0; echo x > file", ""),
        ("exec 0< /dev/zero; echo fine", "fine"),
        ("trap 'echo debug' DEBUG; trap - DEBUG; echo fine", "fine"),
        ("date -s '2001-01-01' 2>&1", "cannot set date"),
        ("kill -STOP -1; echo fine", "fine"),
        ("exec 200>&- 201>&-; echo fine", "A new one was started"),
        ("rm -rf /workspace/* ~/* /tmp/*; cd /nowhere; echo fine", "fine"),
        ("rm -f /bin/bash; unlink /proc/self/exe; echo fine", "fine"),
        ("mkdir $'new\\nline'; cd $'new\\nline'; pwd", "new\nline"),
        ("bash -i", "exit"),
        ("sh -c 'kill -SEGV $$'; echo fine", "fine"),
        ("unset PATH HOME; echo fine", "fine"),
        ("IFS=x; set -f; GLOBIGNORE=*; echo fine", "fine"),
        ("LC_ALL=C; export LC_ALL; printf '\\xe4'", "\\xe4"),
    ],
)
def test_what_shells_stumble_over(env: Env, command: str, says: str) -> None:
    observation = env.step(command)[0]
    assert not observation.timed_out
    assert says in observation.text
    env.step("set +x; true")
    env.step("true")
    # The next command answers, in the same shell or in a new one that the agent was told of.
    assert env.step("/bin/echo $((6 * 7))")[0].text.endswith("42\n")


ENDED = "[The shell ended. A new one was started"
CLEAN_UP = "unset -f echo printf cd builtin eval true command; set +e +u; trap - TERM INT; chmod 755 /workspace; true"


@pytest.mark.parametrize(
    ("command", "says", "status"),
    [
        ("exit 3", ENDED, 3),
        ("exec true", ENDED, 0),
        ("echo said; kill -9 $$; exit", ENDED, None),  # the first process of a namespace does not die of it
        ("set -e; echo said; false", ENDED, 1),
        ("exec >&-; echo lost", "", None),
        ("exec 1>&- 2>&-; ls", "", None),
        ("stty -echo raw; stty sane", "Inappropriate ioctl", None),
        ("cat <<'END'\nleft open", "left open", 0),
        ("echo 'unbalanced", "unexpected EOF", None),
        ("trap '' TERM; echo fine", "fine", 0),
        ("PROMPT_COMMAND='echo prompt; exit'; echo fine", "fine", 0),
        ("PS1='$(exit)'; PS0='$(exit)'; PS4='x'; echo fine", "fine", 0),
        ("echo() { exit; }; printf() { exit; }; cd() { exit; }; true() { exit; }; builtin pwd", "/workspace", 0),
        ("eval() { :; }; command() { :; }; pwd", "/workspace", 0),
        ("alias builtin=false printf=false eval=false echo=false; pwd", "/workspace", 0),
        ("readonly IFS PWD; declare -r BASH_ENV=x; pwd", "/workspace", 0),
        ("printf '\\036%s 0 /\\0' $(seq 100); echo fine", "fine", 0),
        ("for word in $(od -An -tx8 -N800 -v /dev/urandom); do printf '\\036%s 0 /\\0' $word; done; pwd", "/", 0),
        ("cat /proc/$$/fd/0 < /dev/null; head -c1 <&200; echo fine", "fine", 0),
        ("cat; read line; echo [$line]", "[]", 0),
        ("read line < /dev/tty; echo [$line]", "[]", 0),
        ("python3 -c 'import getpass; getpass.getpass()'; echo fine", "fine", 0),
        ("printf 'a\\0b\\xff\\xc3(\\xe2\\x82'", "a\0b\\xff\\xc3(\\xe2\\x82", 0),
        ("mkdir gone; cd gone; rm -rf ../gone; pwd; ls", "", 0),
        ("rm -rf /workspace; rm -rf /workspace/.* ; echo fine", "fine", 0),
        ("rm -f $BASH /bin/sh /usr/bin/env 2>&1; echo fine", "fine", 0),
        ("chmod 000 . ; cd / ; echo fine", "fine", 0),
        ("ulimit -v 1000; ls; echo fine; exit 5", ENDED, 5),
        ("exec 3<> <(sleep 1000); echo fine", "fine", 0),
        ("coproc cat; disown; echo fine", "fine", 0),
        ("enable -n printf eval echo; pwd", "/workspace", None),
        ("set -o noexec", "", None),
        ("bind '\"x\": abort' 2>/dev/null; history -c; fc -l; echo fine", "fine", 0),
    ],
)
def test_what_is_done_to_a_shell(env: Env, command: str, says: str, status: int | None) -> None:
    output(env, "echo 0.5 > kept.txt; cp kept.txt ~/kept.txt")
    observation = env.step(command)[0]
    assert not observation.timed_out
    assert says in observation.text
    if status is not None:
        assert observation.exit_code == status
    # The next one may still belong to what was done; the one after it answers, whatever it was.
    output(env, f"\\builtin {CLEAN_UP}")
    output(env, CLEAN_UP)
    assert output(env, "/bin/echo $((6 * 7)); cat ~/kept.txt").endswith("42\n0.5\n")
    env.step({"tool": "write_file", "arguments": {"path": "/workspace/answer.txt", "content": "0.5"}})
    env.step({"tool": "submit"})
    assert env.result is not None
    assert env.result.final == 0.75


@pytest.fixture
def hurried(isolated_sandbox: str, installed_examples: object) -> Iterator[Env]:
    """An episode whose commands have two seconds."""
    with make("examples/number", sandbox=isolated_sandbox, action_timeout=2) as env:
        env.reset()
        yield env


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        ("while :; do printf x; sleep 0.05; done", "xxx"),
        ("python3 -uc 'import time\nwhile True: print(end=\"x\"); time.sleep(0.05)'", "xxx"),
        ("echo before; cat <> /dev/ptmx", "before"),
        ("echo before; trap '' TERM INT HUP; while :; do sleep 1; done", "before"),
        ("echo before; mkfifo pipe; cat pipe", "before"),
        ("printf '\\036a'; sleep 1000", "\036a"),
    ],
)
def test_output_of_a_command_that_is_ended_is_kept(hurried: Env, command: str, kept: str) -> None:
    observation = hurried.step(command)[0]
    assert observation.timed_out
    assert kept in observation.text
    assert "was still running after 2 s" in observation.text
    assert answers(hurried)


@pytest.mark.parametrize(
    "command",
    ["builtin() { :; }; pwd", "alias builtin=:; pwd", "shopt -s extdebug; trap false DEBUG; pwd", "set -n"],
)
def test_a_shell_that_no_longer_does_as_it_is_told(hurried: Env, command: str) -> None:
    # It says nothing any more, so that its command seems to go on until its time is up. The agent is told that the
    # shell is another one then.
    observation = hurried.step(command)[0]
    assert ENDED in observation.text or not observation.timed_out
    assert answers(hurried)


@pytest.mark.xfail(strict=True, reason="no command runs any more, and nothing says why: the redirections fail")
def test_a_shell_that_may_open_no_more_files(env: Env) -> None:
    output(env, "ulimit -n 5")
    first, second = env.step("echo fine")[0], env.step("echo fine")[0]
    assert "fine\n" in first.text or ENDED in first.text
    assert "fine\n" in second.text


def test_a_daemon_outlives_its_command_and_not_its_episode(env: Env) -> None:
    seconds = str(secrets.randbelow(10**6) + 10**6)
    daemon = f"sleep\0{seconds}\0".encode()
    output(env, f"(setsid nohup sleep {seconds} > /dev/null 2>&1 &)")
    limit = time.monotonic() + 30
    while daemon not in (line for _, line in command_lines()) and time.monotonic() < limit:
        assert answers(env)
    assert [line for _, line in command_lines() if line == daemon] == [daemon]
    env.close()
    assert [line for _, line in command_lines() if line == daemon] == []


def test_a_daemon_that_holds_the_output_open(env: Env) -> None:
    # Its output belongs to whatever command runs meanwhile; it keeps nobody waiting.
    output(env, "(while :; do echo noise; sleep 0.02; done) &")
    for _ in range(3):
        observation = env.step("echo mine")[0]
        assert "mine\n" in observation.text
        assert observation.exit_code == 0


def test_a_clock_cannot_be_set(env: Env) -> None:
    # The kernel's answer to the calls themselves is in test_system_calls.
    before = time.time()
    output(env, "date -s 2001-01-01; hwclock --set --date 2001-01-01; timedatectl set-time 2001-01-01")
    said = python(env, "import time\ntime.clock_settime(time.CLOCK_REALTIME, 1e9)")
    assert "Operation not permitted" in said
    assert time.time() >= before
    assert answers(env)


def test_a_clock_that_jumps_ends_nothing(hurried: Env, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    jumps = iter(range(10**9, 10**12, 10**6))
    monkeypatch.setattr(time, "time", lambda: real() + next(jumps))
    observation = hurried.step("sleep 0.1; echo fine")[0]
    assert (observation.text, observation.timed_out) == ("fine\n", False)
    monkeypatch.setattr(time, "time", lambda: real() - next(jumps))
    observation = hurried.step("sleep 1000")[0]
    assert observation.timed_out
    assert answers(hurried)
    assert not hurried.is_over


def test_files_with_any_name(env: Env) -> None:
    names = ["$'new\\nline'", "$'\\xff\\xfe'", "-rf", "$'\\e[31m'", "'a b'", "'*'", "' '", "$'\\t'"]
    for name in names:
        assert output(env, f"mkdir -p -- {name} && cd -- ./{name} && echo 1 > f && cat f; cd /workspace") == "1\n"
    assert output(env, f"cd -- ./{names[0]}; pwd") == "/workspace/new\nline\n"
    assert env.step({"tool": "read_file", "arguments": {"path": "f"}})[0].text == "1\n"
    output(env, "cd /workspace")
    assert env.step({"tool": "validate"})[0].score is not None
    with env.fork(env.snapshot()) as twin:
        assert output(twin, f"cat -- ./{names[1]}/f ./{names[3]}/f") == "1\n1\n"


CONTROL = "\033[2J\033]0;title\007\033[31mred\033[0m\b\r\x9b"


def test_control_sequences_are_text(env: Env, tmp_path: Path) -> None:
    said = output(env, "printf '\\033[2J\\033]0;title\\a\\033[31mred\\033[0m\\b\\r\\302\\233' > out; cat out")
    assert said == CONTROL
    # The record is JSON, in which a control character has an escape of its own.
    env.step({"tool": "submit"})
    for file in tmp_path.rglob("*.json*"):
        assert not any(byte < 32 and byte != 10 for byte in file.read_bytes()), file
    assert os.listdir(tmp_path)
