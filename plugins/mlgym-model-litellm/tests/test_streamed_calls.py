"""Numbering the tool calls of a stream is work that grows with its length, and not with its square."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from mlgym_model_litellm import streamed_calls
from mlgym_model_litellm.streamed_calls import number_calls

PARTS = 2000
LETTERS = 10


class CountedText(str):
    """A text that counts the letters that are copied when it is added to another."""

    __slots__ = ()
    copied = 0

    def __add__(self, other: str) -> CountedText:
        CountedText.copied += len(self) + len(other)
        return CountedText(str(self) + str(other))

    def __radd__(self, other: str) -> CountedText:
        CountedText.copied += len(self) + len(other)
        return CountedText(str(other) + str(self))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of the texts that were parsed, and no letter copied before."""
    lengths: list[int] = []

    def loads(text: str) -> Any:
        lengths.append(len(text))
        return json.loads(text)

    monkeypatch.setattr(streamed_calls, "json", SimpleNamespace(loads=loads))
    monkeypatch.setattr(CountedText, "copied", 0)
    return lengths


def part(arguments: str, name: str | None) -> Any:
    """Return a part of a call as LiteLLM hands it over, from a server that names no ids and has one number for all."""
    call = SimpleNamespace(index=0, id=None, function=SimpleNamespace(name=name, arguments=arguments))
    return SimpleNamespace(choices=[SimpleNamespace(delta=SimpleNamespace(tool_calls=[call]))])


def numbers(chunks: list[Any]) -> set[tuple[int, str]]:
    """Return the numbers and ids of the calls in the parts."""
    calls = [chunk.choices[0].delta.tool_calls[0] for chunk in chunks]
    return {(call.index, call.id) for call in calls}


def test_a_huge_call_is_not_put_together_again_with_each_part(read: list[int]) -> None:
    chunks = [part(CountedText("x" * LETTERS), None if number else "bash") for number in range(PARTS)]
    number_calls(chunks)
    assert numbers(chunks) == {(0, "call_0")}
    assert read == []
    assert CountedText.copied <= PARTS * LETTERS


def test_a_huge_call_that_is_named_in_each_part_is_read_up_to_a_bound(
    read: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 20 * PARTS * LETTERS
    monkeypatch.setattr(streamed_calls, "_MOST_READ", most)
    chunks = [part(CountedText("[" * LETTERS), "bash") for _ in range(PARTS)]
    number_calls(chunks)
    assert numbers(chunks) == {(0, "call_0")}
    # Reading all that there is with each part would be 50 times as much.
    assert most / 2 < sum(read) <= most
    assert CountedText.copied <= PARTS * LETTERS


def test_many_calls_are_each_read_once(read: list[int]) -> None:
    chunks = [part(CountedText('"' + "x" * (LETTERS - 2) + '"'), "bash") for _ in range(PARTS)]
    number_calls(chunks)
    assert len(numbers(chunks)) == PARTS
    assert sum(read) == (PARTS - 1) * LETTERS
    assert CountedText.copied <= PARTS * LETTERS
