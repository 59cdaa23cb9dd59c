"""Things that go wrong in long episodes. After each: a correct observation, and the next command answers."""

from __future__ import annotations

import pytest
from inside import answers

from mlgym_core import Env


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
