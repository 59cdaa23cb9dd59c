"""The limits on disk and processor time are held, named to the agent, and the episode goes on."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator

import pytest

from mlgym_core import Env, Host, make

pytestmark = pytest.mark.usefixtures("installed_examples")

REACHED = "[The disk limit of 64 MiB for the workspace, the home folder and /tmp together was reached: they hold "


@pytest.fixture
def env(isolated_sandbox: str) -> Iterator[Env]:
    with make("examples/small", sandbox=isolated_sandbox, action_timeout=60) as env:
        env.reset()
        yield env


@pytest.mark.parametrize(
    "command",
    [
        "for n in $(seq 100); do head -c 10M /dev/zero > file-$n; done; sleep 1000",
        "for n in $(seq 100); do head -c 10M /dev/zero > ~/file-$n; done; sleep 1000",
        "for n in $(seq 100); do head -c 10M /dev/zero > /tmp/file-$n; done; sleep 1000",
        "(for n in $(seq 100); do head -c 10M /dev/zero > file-$n; done; sleep 1000) & sleep 1000",
        # Files that have no name any more still take room.
        "for n in $(seq 30); do exec {f}> file; rm file; head -c 10M /dev/zero >&$f; done; sleep 1000",
    ],
)
def test_writing_too_much(env: Env, command: str) -> None:
    observation = env.step(f"{{ {command}\n}} 2>/dev/null")[0]
    assert REACHED in observation.text
    assert not observation.timed_out
    assert env.step("rm -f file* ~/file* /tmp/file*; exec true")[0].text.count("[The disk limit") == 0
    assert env.step("echo here > file; cat file")[0].text == "here\n"


HIDING = {
    "in the open": "true",
    "in a folder that cannot be listed": "mkdir d; cd d; chmod 300 .",
    "too deep for a path": "p=$(printf 'x%.0s' $(seq 200)); for n in $(seq 30); do mkdir $p; cd $p; done",
}


@pytest.mark.parametrize("hiding", HIDING)
def test_what_writes_in_the_background_is_ended(env: Env, hiding: str) -> None:
    writer = "n=0; while :; do n=$((n + 1)); head -c 2M /dev/zero > file-$n; sleep 0.05; done"
    env.step(f"{HIDING[hiding]}; ({writer}) > /dev/null 2>&1 &")
    time.sleep(4)
    # Where the limit is noticed only now, on a busy machine, this command is the one that is ended with it.
    text, tries = "", 0
    while not text.split("\n")[0].isdigit() and tries < 3:
        text = env.step("jobs -r; cd /workspace; chmod -R u+rwx .; find . -name 'file-*' | wc -l")[0].text
        tries += 1
    assert "Running" not in text
    assert int(text.split("\n")[0]) < 60


def test_hard_links_and_what_was_overwritten_count_once(env: Env) -> None:
    for _ in range(3):
        assert "[The disk" not in env.step("head -c 30M /dev/urandom > file; ln -f file link; sleep 0.5")[0].text
        env.snapshot()
    assert env.step("sleep 1; echo here")[0].text == "here\n"


def test_files_that_vanish_with_the_command(env: Env) -> None:
    writing = "for n in $(seq 50); do head -c 10M /dev/zero > file-$n; sleep 0.02; done; sleep 50"
    command = f"trap 'rm -f file-*' EXIT; {writing}"
    observation = env.step(f"bash -c {shlex.quote(command)}")[0]
    assert REACHED in observation.text
    assert not observation.timed_out


def test_what_is_too_much_already_may_be_deleted_but_not_added_to(env: Env) -> None:
    quick = "for n in $(seq 8); do head -c 10M /dev/zero > file-$n; done; sleep 2; echo done"
    observation = env.step(quick)[0]
    assert REACHED in observation.text
    assert re.search(r"they hold (80|7\d\.\d) MiB\. Delete files", observation.text)
    reading = env.step("ls | wc -l; sleep 1; echo read")[0]
    assert reading.text.startswith("9\nread\n")
    assert REACHED in reading.text
    assert REACHED in env.step("while :; do head -c 1M /dev/zero >> more; sleep 0.1; done")[0].text
    assert env.step("rm file-* more; echo deleted")[0].text == "deleted\n"


def test_a_file_cannot_be_longer_than_the_limit_even_without_content(env: Env) -> None:
    for command in ("truncate -s 1T file", "yes > file", "head -c 500M /dev/zero > /dev/shm/file"):
        observation = env.step(f"{command} 2>/dev/null")[0]
        assert "[No file may be larger than 64 MiB; what wrote to one was ended.]" in observation.text or (
            REACHED in observation.text
        )
        env.step("rm -f file /dev/shm/file")
    assert "File too large" in env.step("trap '' XFSZ; truncate -s 1T file")[0].text
    assert env.step("echo here")[0].text == "here\n"


def test_an_agent_cannot_raise_the_limit_on_files(env: Env) -> None:
    assert "cannot modify limit" in env.step("ulimit -f unlimited")[0].text
    assert "cannot modify limit" in env.step("bash -c 'ulimit -f unlimited'")[0].text


def test_forks_begin_with_what_they_inherit(env: Env) -> None:
    env.step("for n in $(seq 5); do head -c 10M /dev/zero > file-$n; done")
    with env.fork(env.snapshot()) as twin:
        observation = twin.step("for n in $(seq 6 9); do head -c 10M /dev/zero > file-$n; done; sleep 1; echo done")[0]
        assert REACHED in observation.text
    assert env.step("echo here")[0].text == "here\n"


def test_processor_time_is_limited(isolated_sandbox: str) -> None:
    if "cpu" not in Host.installed().sandboxes.load(isolated_sandbox).limits():
        pytest.skip(f"{isolated_sandbox} cannot limit processor time here")
    with make("examples/small", sandbox=isolated_sandbox, action_timeout=2) as env:
        env.reset()
        observation = env.step("while :; do :; done")[0]
        assert observation.timed_out
        assert "[The processor limit of 0.5 CPUs held the command back.]" in observation.text
        # A command that merely waits is not held back, once the one before is gone.
        env.step("sleep 0.5")
        assert "processor" not in env.step("sleep 1000")[0].text
        assert env.step("echo here")[0].text == "here\n"
