"""The agent `thought-action` through LiteLLM's own code, against a server that answers as told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from agents_support import INJECTION, Messages, Player

from mlgym_core import Host, UsageError
from mlgym_core.testing import ScriptedAnswer
from mlgym_core.testing.model_server import Answer, context_too_long
from mlgym_model_litellm import plugin as litellm_plugin


@pytest.fixture
def think(play: Player) -> Player:
    play.agent = "thought-action"
    return play


def turn(command: str, thought: str = "I think.") -> str:
    return f"{thought}\n```\n{command}\n```"


def said(messages: Messages) -> list[str]:
    """Return what the model was told after the opening."""
    return [message["content"] for message in messages[2:] if message["role"] == "user"]


def check_structure(messages: Messages) -> None:
    roles = [message["role"] for message in messages]
    assert roles[:2] == ["system", "user"]
    assert roles[2:] == ["assistant", "user"] * (len(roles[2:]) // 2)
    assert all(message["content"] for message in messages)


async def test_an_episode_with_all_kinds_of_commands(think: Player) -> None:
    answers: list[Answer] = [
        turn("cat answer.txt; false"),
        turn("open answer.txt"),
        turn("edit 1 1 <<END\n0.5\nEND"),
        turn("create lib/a.py"),
        turn("insert after_line=0 text='def f():\n    return 1'"),
        turn("edit 2 2\n    return ("),
        turn("search_dir return lib") + "\nThen it will print much.",
        turn("validate"),
        turn("submit"),
    ]
    result = await think(answers)
    assert (result.status, result.exit_reason, result.final, result.steps) == ("completed", "submitted", 0.5, 9)
    first = think.requests[0]
    assert "tools" not in first
    assert (first["temperature"], first["top_p"]) == (0, 0.95)
    system = first["messages"][0]["content"]
    for says in ("50 steps", "4.00 USD", "`edit FIRST_LINE LAST_LINE TEXT`", "`open PATH [line=1]`", "`value` of"):
        assert says in system, says
    for request in think.requests:
        check_structure(request["messages"])
    # What it says of the outcome before it has seen it is not repeated to it.
    assert "print much" not in json.dumps(think.messages)
    outputs = [event["text"] for event in think.events if event["type"] == "observation"]
    assert "would break the syntax" in outputs[5]
    assert "a.py:2:    return 1" in outputs[6]
    assert think.messages[3]["content"].startswith("0\n[exit code 1]\n\n[Left: 49 steps")


async def test_old_outputs_are_elided_to_a_line(think: Player) -> None:
    turns = iter(range(100))

    def answer(_: Mapping[str, Any]) -> str:
        number = next(turns)
        return turn("validate" if number == 1 else f"seq {number}00 {number}99", f"Thought {number}.")

    await think(answer, max_steps=12)
    texts = said(think.messages)
    assert len(texts) == 11
    assert "value = 0" in texts[1]
    for number, text in enumerate(texts):
        if number != 1:
            whole = number >= 6
            assert (f"{number}50\n" in text) == whole, number
            assert (len(text.splitlines()) == 1) == (not whole), number
    assert all(f"Thought {number}." in json.dumps(think.messages) for number in range(11))


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("I am done.", "There is no block"),
        ("```\nls\n```\nand\n```\npwd\n```", "There are 2 blocks"),
        ("```\nls", "not closed"),
        ("```\n\n```", "empty"),
        (ScriptedAnswer(text=None), "There is no block"),
        (ScriptedAnswer(text="```\nls", finish_reason="length"), "cut off"),
        (ScriptedAnswer(text="Hm.", tools=[("bash", {"command": "ls"})]), "cannot be called that way"),
        (turn("edit 1"), "last_line and text are missing"),
        (turn("validate\nsubmit"), "one command"),
    ],
)
async def test_malformed_answers_are_asked_for_again(think: Player, answer: Answer, says: str) -> None:
    result = await think([answer, turn("submit")])
    assert (result.exit_reason, result.steps) == ("submitted", 1)
    [text] = said(think.messages)
    assert says in text
    assert "[Left: 50 steps" in text
    check_structure(think.messages)


async def test_malformed_answers_are_asked_for_again_only_so_often(think: Player) -> None:
    answers: list[Answer] = ["Hm.", turn("echo 0.5 > answer.txt"), "Hm.", "Hm.", "Hm.", turn("submit")]
    result = await think(answers, {"reminders": "2"})
    assert (result.status, result.exit_reason, result.final) == ("completed", "agent_exit", 0.5)
    assert len(think.requests) == 5


async def test_tools_of_the_users_choice(think: Player) -> None:
    answers: list[Answer] = [
        turn("edit_file answer.txt old=0 new=0.25"),
        turn("write_file notes.txt\nOne.\nTwo."),
        turn("read_file notes.txt first_line=2"),
        turn("opne notes.txt"),
        turn("submit"),
    ]
    tools = ("read_file", "write_file", "edit_file", "submit")
    result = await think(answers, tools=tools, max_cost=None, max_steps=7)
    assert (result.exit_reason, result.final, result.steps) == ("submitted", 0.25, 4)
    system = think.messages[0]["content"]
    assert "open PATH" not in system
    assert "7 steps" in system
    assert "USD" not in system
    texts = said(think.messages)
    assert texts[2].startswith("Two.\n")
    assert "There is no tool 'opne', and no shell" in texts[3]


async def test_outputs_are_never_commands(think: Player) -> None:
    answers = [turn("cat notes.txt"), "It says what I should do.", turn("echo 1 > answer.txt"), turn("submit")]
    result = await think(answers)
    assert (result.exit_reason, result.final, result.steps) == ("submitted", 1.0, 3)
    carrying = [message["role"] for message in think.messages if INJECTION in message["content"]]
    assert carrying == ["user"]
    [text] = [text for text in said(think.messages) if INJECTION in text]
    # What is really left is said last.
    assert "[Left: 0 steps]" in text
    assert text.splitlines()[-1].startswith("[Left: 49 steps")
    assert {message["role"] for message in think.messages} == {"system", "user", "assistant"}


async def test_the_conversation_stays_within_the_window(think: Player) -> None:
    window = 4000
    count = Host.of(litellm_plugin).models.load("openai")("openai", "scripted").count_tokens
    turns = iter(range(100))

    def answer(_: Mapping[str, Any]) -> str:
        number = next(turns)
        return turn("validate" if number == 1 else f"seq {number}000 {number}999", f"Thought {number}." + " Hm." * 50)

    result = await think(answer, {"context_tokens": str(window), "max_tokens": "200"}, max_steps=30)
    assert (result.exit_reason, result.steps) == ("max_steps", 30)
    for request in think.requests:
        check_structure(request["messages"])
        used = count(request["messages"])
        assert used is not None
        assert used <= window - 200
    assert "value = 0" in json.dumps(think.messages)


async def test_a_provider_that_finds_it_too_long(think: Player) -> None:
    result = await think([*[turn("seq 300")] * 4, context_too_long(), turn("submit")])
    assert (result.exit_reason, result.steps) == ("submitted", 5)
    assert len(json.dumps(think.requests[5]["messages"])) < len(json.dumps(think.requests[4]["messages"]))


@pytest.mark.parametrize("option", ["outputs=0", "reminders=-1", "context_tokens=0"])
async def test_options_that_do_not_fit(think: Player, option: str) -> None:
    name, _, value = option.partition("=")
    with pytest.raises(UsageError, match=name):
        await think([turn("submit")], {name: value})


async def test_the_cost_limit_of_the_paper(think: Player, tmp_path: Any) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text('{"openai/scripted": {"prompt": 1000, "completion": 1000}}')
    answer = turn("echo 0.5 > answer.txt")
    result = await think(lambda _: answer, {}, {"prices": str(prices), "answer_tokens": "100"})
    assert (result.status, result.limit, result.final) == ("completed", "max_cost", 0.5)
    assert result.cost_usd is not None
    assert 1 < result.cost_usd <= 4
    [path] = [think.run_folder / "run.json"]
    plan = json.loads(path.read_text())["plan"]
    assert plan["limits_of_agents"] == {"thought-action": {"max_steps": 50, "max_cost": 4.0}}
    assert "open" in plan["tools_of_agents"]["thought-action"]
