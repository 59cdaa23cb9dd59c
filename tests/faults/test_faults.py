"""Things that go wrong in long episodes. After each: a correct observation, and the next command answers."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlgym_core import Env, make
from mlgym_core.sandbox.bwrap import BwrapSandbox
from mlgym_core.settings import cache_dir

pytestmark = [
    pytest.mark.usefixtures("installed_examples"),
    pytest.mark.skipif(BwrapSandbox.unavailable_reason() is not None, reason="bwrap does not work here"),
]


@pytest.fixture
def env() -> Iterator[Env]:
    with make("examples/number", sandbox="bwrap", action_timeout=60, max_steps=100) as env:
        env.reset()
        yield env


def answers(env: Env) -> bool:
    return bool(env.step("echo $((6 * 7))")[0].text == "42\n")


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


@pytest.mark.parametrize("command", ["sleep 1000", "while :; do :; done", "yes > /dev/null"])
def test_a_sandbox_that_is_killed_from_outside(env: Env, command: str) -> None:
    env.step("echo 0.5 > answer.txt; x=5")
    timer = threading.Timer(0.5, _kill_sandboxes_of_this_process)
    timer.start()
    observation = env.step(command)[0]
    timer.join()
    assert "[The shell ended. A new one was started in the workspace" in observation.text
    assert env.step("cat answer.txt; echo [$x]")[0].text == "0.5\n[]\n"
    env.step({"tool": "submit"})
    assert env.result is not None
    assert env.result.final == 0.75


def test_a_sandbox_that_is_killed_between_commands(env: Env) -> None:
    env.step("echo 0.5 > answer.txt")
    _kill_sandboxes_of_this_process()
    observation = env.step("cat answer.txt")[0]
    assert "[The shell ended." in observation.text
    assert env.step("cat answer.txt")[0].text == "0.5\n"


def _kill_sandboxes_of_this_process() -> None:
    for process_id in _processes(lambda arguments: b"bwrap" in arguments[0]):
        os.kill(process_id, signal.SIGKILL)


def _processes(wanted: Callable[[list[bytes]], bool]) -> list[int]:
    found = []
    own = f"{cache_dir()}/scratch/{os.getpid()}-".encode()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                command = Path("/proc", entry, "cmdline").read_bytes()
            except OSError:
                continue
            if own in command and wanted(command.split(b"\0")):
                found.append(int(entry))
    return found


def test_nothing_is_left_after_all_this() -> None:
    with make("examples/number", sandbox="bwrap") as env:
        env.reset()
        env.step("sleep 1000 & (setsid sleep 1000 &); nohup sleep 1000 > /dev/null 2>&1 &")
        assert _processes(lambda arguments: True)
        mounts = len(Path("/proc/self/mountinfo").read_text().splitlines())
    assert _processes(lambda arguments: True) == []
    assert len(Path("/proc/self/mountinfo").read_text().splitlines()) == mounts
    assert list((cache_dir() / "scratch").glob(f"{os.getpid()}-*/episode-*")) == []
    groups = [path for path in Path("/sys/fs/cgroup").glob("*/**/mlgym-*") if f"mlgym-{os.getpid()}-" in path.name]
    assert groups == []
