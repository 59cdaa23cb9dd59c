"""System calls that hostile code has no use for but to leave its sandbox must be refused, in every sandbox."""

from __future__ import annotations

import inspect
import json
import platform
import subprocess
import sys

import forbidden_calls
import pytest
from forbidden_calls import CALLS, is_refused
from inside import output

from mlgym_core import make

pytestmark = [
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the calls have other numbers there"),
    pytest.mark.xdist_group("system-calls"),  # so that they are made once
]

Answers = dict[str, str]

LET_IN: dict[str, frozenset[str]] = {
    "bwrap": frozenset(),
    # What the filter of the engine leaves out; newer engines leave out less.
    "docker": frozenset(
        {
            "io_uring_enter",
            "io_uring_register",
            "io_uring_setup",
            "modify_ldt",
            "socket of netfilter",
            "socket of virtual machines",
        }
    ),
}
"""Known gaps. Take a call out of here once it is refused; the test says when that is."""


@pytest.fixture(scope="module")
def known_answers() -> dict[str, Answers]:
    """What came of the calls in each sandbox: all are made in one episode."""
    return {}


@pytest.fixture
def answers(known_answers: dict[str, Answers], isolated_sandbox: str, installed_examples: object) -> Answers:
    """What came of the calls in a sandbox."""
    if isolated_sandbox not in known_answers:
        program = inspect.getsource(forbidden_calls)
        with make("examples/number", sandbox=isolated_sandbox, action_timeout=60) as env:
            env.reset()
            answer = output(env, f"cat > calls.py <<'END'\n{program}\nEND\npython3 calls.py")
        known_answers[isolated_sandbox] = json.loads(answer)
    return known_answers[isolated_sandbox]


@pytest.fixture(scope="module")
def answers_without_a_sandbox() -> Answers:
    """What came of the calls when an ordinary user of this machine made them."""
    command = [sys.executable, inspect.getfile(forbidden_calls), "--as-nobody"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
    found: Answers = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("call", CALLS)
def test_a_call_is_refused(
    call: str,
    answers: Answers,
    answers_without_a_sandbox: Answers,
    isolated_sandbox: str,
    request: pytest.FixtureRequest,
) -> None:
    # A kernel that refuses a call to everybody hides the gap.
    if call in LET_IN[isolated_sandbox] and not is_refused(call, answers_without_a_sandbox[call]):
        reason = f"{isolated_sandbox} lets {call} in: it answers {answers[call]}"
        request.applymarker(pytest.mark.xfail(strict=True, reason=reason))
    assert is_refused(call, answers[call]), answers[call]


def test_the_calls_are_made_as_they_would_succeed(answers_without_a_sandbox: Answers) -> None:
    # What every kernel lets anybody do; and what it lets only root do is refused for that reason and no other.
    assert answers_without_a_sandbox["kcmp"] in ("done", "ENOSYS")
    assert answers_without_a_sandbox["keyctl"] in ("done", "ENOSYS")
    for call in ("clock_settime", "chroot", "setresuid to root", "socket of packets"):
        assert answers_without_a_sandbox[call] in ("EPERM", "ENOENT"), call
