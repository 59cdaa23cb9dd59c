"""The agent `react` through LiteLLM's own code, against a server that answers as told."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from agents_support import INJECTION, SUBMIT, Player, bash, call, check_structure, results

from mlgym_agents.conversation import Conversation, without_middle
from mlgym_core import Host, Message, ModelReply, ModelToolCall, UsageError
from mlgym_core.testing import ScriptedAnswer
from mlgym_core.testing.model_server import Answer, context_too_long, error_answer
from mlgym_model_litellm import plugin as litellm_plugin


async def test_an_episode(play: Player) -> None:
    answers = [
        bash("cat answer.txt; exit_with() { return 3; }; exit_with", "I look first."),
        call("write_file", {"path": "answer.txt", "content": "0.5"}),
        call("validate"),
        SUBMIT,
    ]
    prices = {"answer_tokens": "100", "context_tokens": "100000"}
    options = {"top_p": "0.9", "max_tokens": "500"}
    result = await play(answers, options, prices, max_time=3600, max_tokens=100_000, max_cost=2.0)
    assert (result.status, result.exit_reason, result.final, result.steps) == ("completed", "submitted", 0.5, 4)
    first = play.requests[0]
    assert (first["temperature"], first["top_p"], first["max_tokens"]) == (0, 0.9, 500)
    assert {tool["function"]["name"] for tool in first["tools"]} >= {"bash", "submit"}
    system, task = first["messages"]
    assert task == {"role": "user", "content": "Write a number into answer.txt. {{ this }} is {% no template"}
    for says in (
        "50 steps",
        "20 validations",
        "60 min",
        "2.00 USD",
        "100,000 tokens",
        "`value` of `answer.txt`",
        "higher",
    ):
        assert says in system["content"], says
    assert play.messages[2]["content"] == "I look first."
    outputs = results(play.messages)
    assert outputs[0].startswith("0\n[exit code 3]\n\n[Left: 49 steps, 20 validations, 60 min, 2.00 USD, 9")
    assert "value = 0.5" in outputs[2]
    assert "[Left: 47 steps, 19 validations" in outputs[2]
    for request in play.requests:
        check_structure(request["messages"])


async def test_long_outputs_and_the_providers_temperature(play: Player) -> None:
    await play([bash("seq 5000"), SUBMIT], {"temperature": "default", "observation_tokens": "100"})
    assert "temperature" not in play.requests[0]
    [output] = results(play.messages)
    assert len(output) < 600
    assert output.startswith("1\n2\n")
    assert "characters are left out" in output
    assert "\n5000\n" in output


async def test_an_invalid_submission_is_graded_as_such(play: Player) -> None:
    result = await play([bash("echo much > answer.txt"), call("validate"), "Done."], {"reminders": "0"})
    assert (result.status, result.exit_reason, result.steps) == ("invalid_submission", "agent_exit", 2)
    assert results(play.messages)[1].startswith("Invalid submission: answer.txt holds no number.")


async def test_parallel_calls(play: Player) -> None:
    both = ScriptedAnswer(tools=[("bash", {"command": "x=1; echo one"}), ("bash", {"command": "echo $x two"})])
    ending = ScriptedAnswer(tools=[("submit", {}), ("bash", {"command": "echo 9 > answer.txt"})])
    result = await play([both, ending])
    assert (result.exit_reason, result.final, result.steps) == ("submitted", 0.0, 3)
    first, second = results(play.messages)
    assert first == "one"
    assert second.startswith("1 two\n\n[Left: 48 steps")


async def test_what_cannot_be_done_is_answered(play: Player) -> None:
    answers: list[Answer] = [
        call("bash", '{"command": "ls'),
        call("bash", "[1]"),
        call("functions.run it", {}),
        bash("true"),
        call("bash", {"cmd": "ls"}),
        call("bash", ""),
        ScriptedAnswer(text=None),
        "I am done.",
        ScriptedAnswer(text="And then I", finish_reason="length"),
        ScriptedAnswer(tools=[("bash", '{"command": "e')], finish_reason="length"),
    ]
    result = await play(answers)
    # Four turns in a row in which nothing was done: the agent ends, and what is there is graded.
    assert (result.status, result.exit_reason, result.final) == ("completed", "agent_exit", 0.0)
    # What a tool refuses is a step; what never reaches one is none.
    assert result.steps == 3
    check_structure(play.messages)
    outputs = results(play.messages)
    assert "not a JSON object" in outputs[0]
    assert "not a JSON object" in outputs[1]
    assert "There is no tool 'functions.run it'. There are: bash, " in outputs[2]
    assert outputs[3].startswith("[no output]")
    assert "do not fit" in outputs[4]
    said = [message["content"] for message in play.messages if message["role"] == "user"][1:]
    assert ["without a call" in text for text in said] == [True, True, False]
    assert "cut off" in said[2]
    assert all("[Left: 47 steps" in text for text in said)


async def test_reminders_are_counted_in_a_row(play: Player) -> None:
    answers: list[Answer] = ["Hm.", bash("true"), "Hm.", "Hm.", SUBMIT]
    result = await play(answers, {"reminders": "1"})
    assert (result.exit_reason, len(play.requests)) == ("agent_exit", 4)


async def test_a_file_that_gives_instructions_changes_nothing(play: Player) -> None:
    answers: list[Answer] = [
        bash("cat notes.txt"),
        f"It says: {INJECTION}",
        bash("echo 1 > answer.txt"),
        SUBMIT,
    ]
    result = await play(answers)
    assert (result.exit_reason, result.final, result.steps) == ("submitted", 1.0, 3)
    carrying = [message["role"] for message in play.messages if INJECTION in (message.get("content") or "")]
    assert carrying == ["tool", "assistant"]


async def test_the_conversation_stays_within_the_window(play: Player) -> None:
    window = 4500
    turns = iter(range(100))

    def answer(_: Mapping[str, Any]) -> ScriptedAnswer:
        number = next(turns)
        if number == 2:
            return call("validate")
        return bash(f"seq {number}000 {number}999", f"My plan: thought {number}.")

    result = await play(answer, {"context_tokens": str(window), "max_tokens": "200"}, max_steps=25)
    assert (result.exit_reason, result.steps) == ("max_steps", 25)
    count = Host.of(litellm_plugin).models.load("openai")("openai", "scripted").count_tokens
    for request in play.requests:
        messages = request["messages"]
        check_structure(messages)
        used = count(messages, [tool["function"] for tool in request["tools"]])
        assert used is not None
        assert used <= window - 200
        assert messages[1] == play.requests[0]["messages"][1]
    # The oldest outputs go first; thoughts and scores stay.
    text = json.dumps(play.messages)
    assert all(f"thought {number}." in text for number in range(24) if number != 2)
    assert "value = 0" in text
    outputs = results(play.messages)
    assert "older output" in outputs[0]
    assert outputs[-1].startswith("23000\n")
    assert "characters are left out" in outputs[-1]


async def test_a_small_window(play: Player) -> None:
    turns = iter(range(100))

    def answer(_: Mapping[str, Any]) -> ScriptedAnswer:
        return call("validate") if (number := next(turns)) % 10 == 3 else bash("seq 999", f"Thought {number}.")

    result = await play(answer, {"context_tokens": "2048"}, max_steps=30)
    assert (result.exit_reason, result.steps) == ("max_steps", 30)
    count = Host.of(litellm_plugin).models.load("openai")("openai", "scripted").count_tokens
    for request in play.requests:
        check_structure(request["messages"])
        used = count(request["messages"], [tool["function"] for tool in request["tools"]])
        assert used is not None
        assert used <= 2048 - 512
    text = json.dumps(play.messages)
    assert "Your first thoughts were: Thought 0." in text
    assert text.count("value = 0") == 3


@pytest.mark.parametrize("agent", ["react", "thought-action"])
async def test_many_scores_stay_within_the_window(play: Player, agent: str) -> None:
    play.agent = agent
    turns = iter(range(100))

    def answer(_: Mapping[str, Any]) -> Answer:
        if agent == "thought-action":
            return "I look.\n```\nvalidate\n```" if next(turns) else "I begin.\n```\necho 1 > answer.txt\n```"
        return call("validate") if next(turns) else bash("echo 1 > answer.txt", "I begin.")

    window = 1600 if agent == "thought-action" else 1300
    options = {"context_tokens": str(window), "max_tokens": "100"}
    result = await play(answer, options, max_steps=45, max_validations=45)
    assert (result.exit_reason, result.validations) == ("max_steps", 44)
    count = Host.of(litellm_plugin).models.load("openai")("openai", "scripted").count_tokens
    for request in play.requests:
        if agent == "react":
            check_structure(request["messages"])
        used = count(request["messages"], [tool["function"] for tool in request.get("tools", ())])
        assert used is not None
        assert used <= window - 100
    text = json.dumps(play.messages)
    assert "Your first thoughts were: I begin." in text
    assert re.search(r"The scores in them, in order, without the first \d+:", text)
    assert text.count("Validation score: value = 1 ") > 5


async def test_a_provider_that_finds_it_too_long(play: Player) -> None:
    answers = [*[bash("seq 300")] * 4, context_too_long(), context_too_long(), SUBMIT]
    result = await play(answers)
    assert (result.exit_reason, result.steps) == ("submitted", 5)
    lengths = [len(json.dumps(request["messages"])) for request in play.requests]
    assert lengths[4] > 1.5 * lengths[5] > 1.5 * lengths[6]
    for request in play.requests:
        check_structure(request["messages"])
    assert results(play.requests[5]["messages"])[-1].startswith("1\n2\n")


async def test_a_provider_that_always_finds_it_too_long(play: Player) -> None:
    result = await play(lambda _: context_too_long())
    assert (result.status, len(play.requests)) == ("infrastructure_failure", 1)


@pytest.mark.parametrize("refusal", [error_answer(400, "no such words here"), context_too_long()])
async def test_what_a_provider_refuses_does_not_save_from_a_score(play: Player, refusal: ScriptedAnswer) -> None:
    answers = [bash("echo 0.5 > answer.txt"), *[refusal] * 5]
    result = await play(answers)
    assert (result.status, result.exit_reason, result.steps) == ("completed", "error", 1)
    assert result.final is not None
    assert result.error
    # Before any answer, it is not the model's doing.
    result = await play([refusal] * 5)
    assert (result.status, result.steps) == ("infrastructure_failure", 0)


async def test_other_failures_pass(play: Player) -> None:
    result = await play([bash("true"), error_answer(404, "no")])
    assert (result.status, result.steps) == ("infrastructure_failure", 1)


@pytest.mark.parametrize("limit", ["max_cost", "max_tokens"])
async def test_a_budget_ends_the_episode(play: Player, tmp_path: Path, limit: str) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text('{"openai/scripted": {"prompt": 100, "completion": 100}}')
    options = {"prices": str(prices), "answer_tokens": "100"}
    limits: dict[str, Any] = {"max_cost": 0.5} if limit == "max_cost" else {"max_tokens": 5000}
    result = await play(lambda _: bash("echo 0.5 > answer.txt"), {}, options, **limits)
    assert (result.status, result.exit_reason, result.limit) == ("completed", limit, limit)
    assert result.final == 0.5
    assert len(play.requests) > 1


@pytest.mark.parametrize(
    "option",
    [
        *("temperature=hot", "temperature=-1", "temperature=nan", "top_p=0", "top_p=7", "reminders=-1"),
        *("observation_tokens=1", "context_tokens=0", "max_tokens=0"),
    ],
)
async def test_options_that_do_not_fit(play: Player, option: str) -> None:
    name, _, value = option.partition("=")
    with pytest.raises(UsageError, match=name):
        await play([SUBMIT], {name: value})


# ------------------------------------------------------------------------------------ conversations alone


def letters(messages: Any) -> int:
    return sum(len(json.dumps(message)) for message in messages) // 4


def long_conversation(turns: int) -> Conversation:
    opening: list[Message] = [{"role": "system", "content": "S"}, {"role": "user", "content": "T"}]
    conversation = Conversation(opening)
    for number in range(turns):
        arguments = {"path": "a", "content": "x" * 1000}
        calls = tuple(
            ModelToolCall(id=f"{number}-{part}", tool="write_file", arguments=arguments, written=json.dumps(arguments))
            for part in range(2)
        )
        conversation.add_answer(ModelReply(text=f"thought {number}", tool_calls=calls))
        conversation.add_result(calls[0], "y" * 1000)
        conversation.add_result(calls[1], f"score {number}\n\n[Left: 1 step]", is_score=True)
    return conversation


def test_elision_in_its_order() -> None:
    conversation = long_conversation(6)
    sizes = []
    while conversation.free(1, letters):
        messages = conversation.messages
        check_structure(messages)
        sizes.append(letters(messages))
        text = json.dumps(messages)
        assert all(f"score {number}" in text for number in range(6))
        assert messages[1]["content"].startswith("T")
        assert "thought 0" in text
        if any(mark in text for mark in ("earlier turns", "are left out]")):
            assert "y" * 1000 not in "".join(results(messages)[:-2])
    assert sizes == sorted(sizes, reverse=True)
    # Of all turns but the last, the opening keeps the scores and the first thoughts.
    final = conversation.messages
    assert len(final) == 2 + 3
    assert final[1]["content"].splitlines() == [
        "T",
        "",
        "[5 earlier turns of this conversation are left out.]",
        "Your first thoughts were: thought 0",
        "The scores in them, in order:",
        *(f"- score {number}" for number in range(5)),
    ]
    assert "older output" in final[3]["content"]
    assert not conversation.free_half(letters)


@pytest.mark.parametrize(
    "make", [lambda size: "x" * size, lambda size: "wort " * (size // 5), lambda size: "😀" * size]
)
def test_the_middle_is_cut_out(make: Callable[[int], str]) -> None:
    for size in (0, 10, 1000, 100_000):
        text = make(size)
        shorter = without_middle(text, 100, letters)
        assert letters([{"role": "tool", "content": shorter}]) <= 100
        if shorter != text:
            assert shorter[0] == text[0]
            assert shorter[-1] == text[-1]
            assert "characters are left out" in shorter
