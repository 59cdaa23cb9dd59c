"""What a submitted program does to the values that it is to keep harms nobody but itself."""

from __future__ import annotations

import textwrap

import pytest

from mlgym_core import Score, make

HONEST = """
def f(first, number, second):
    return [list(first), number, second]
"""


def graded(sandbox: str, source: str) -> Score:
    """Return the score of a program."""
    with make("examples/keeping", sandbox=sandbox, action_timeout=60) as env:
        env.reset()
        content = textwrap.dedent(source)
        env.step({"tool": "write_file", "arguments": {"path": "program.py", "content": content}})
        score = env.step({"tool": "validate"})[0].score
    assert score is not None
    return score


def test_an_honest_program(isolated_sandbox: str, installed_examples: object) -> None:
    assert graded(isolated_sandbox, HONEST).value == 12


def test_whoever_changes_what_is_kept_is_given_what_he_made_of_it(
    isolated_sandbox: str, installed_examples: object
) -> None:
    source = """
    import marshal, sys
    def f(first, number, second):
        kept = sys._getframe(1).f_locals["kept"]
        for name in kept:
            kept[name] = marshal.dumps([])
        return [first, number, second]
    """
    # Right are the first call, and the last one, which has no kept values.
    assert graded(isolated_sandbox, source).value == 2


def test_whoever_throws_away_what_is_kept_gets_nothing(isolated_sandbox: str, installed_examples: object) -> None:
    source = """
    import sys
    def f(first, number, second):
        sys._getframe(1).f_locals["kept"].clear()
        return [first, number, second]
    """
    score = graded(isolated_sandbox, source)
    assert not score.valid
    assert "f raised KeyError" in (score.reason or "")


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("os._exit(0)", "program.py, when it was sent a value, ended its process"),
        # Without giving up the interpreter's lock.
        ("re.match('(a+)+$', 'a' * 40 + 'b')", "program.py, when it was sent a value, took longer than 1 s"),
    ],
)
def test_whoever_does_not_take_it_is_named(
    act: str, reason: str, isolated_sandbox: str, installed_examples: object
) -> None:
    # It acts as soon as the loop that serves calls is back from loading the file.
    source = f"""
    import os, re, sys
    def trace(frame, event, argument):
        if event == "line" and "kept" in frame.f_locals and frame.f_locals.get("operation") == "keep":
            sys.settrace(None)
            {act}
        return trace
    frame = sys._getframe()
    while frame:
        frame.f_trace = trace
        frame = frame.f_back
    sys.settrace(trace)
    """
    score = graded(isolated_sandbox, source)
    assert not score.valid
    assert reason in (score.reason or "")
