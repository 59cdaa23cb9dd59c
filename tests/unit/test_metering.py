"""Language models in episodes: budgets, time, records, forks; both faces."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from example_plugin import ExamplePlugin
from talking import Parrot, TalkingPlugin

from mlgym_core import (
    AsyncEnv,
    BudgetExhausted,
    ContextTooLong,
    EpisodeOver,
    Host,
    ModelError,
    ModelReply,
    ModelToolCall,
    Sampling,
    UsageError,
    make,
    make_async,
    recorded_conversations,
)
from mlgym_core.accounts import used_before
from mlgym_core.budgets import Budget, Usage
from mlgym_core.conversations import RecordedMessages
from mlgym_core.making import make_env

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host.of(ExamplePlugin(), TalkingPlugin())
    monkeypatch.setattr("mlgym_core.making.default_host", lambda: host)


def parrot(name: str = "polly", **options: Any) -> Parrot:
    return Parrot("parrot", name, **options)


def events(env: Any, kind: str = "model") -> list[dict[str, Any]]:
    assert env.result is not None
    lines = Path(env.result.dir, "trajectory.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["type"] == kind]


def result(env: Any) -> Any:
    assert env.result is not None
    return env.result


def model_of(env: Any) -> Any:
    assert env.model is not None
    return env.model


def ask_on_and_on(env: Any) -> None:
    for _ in range(100):
        model_of(env).complete(HELLO)


def test_calls_are_counted_and_recorded(tmp_path: Path) -> None:
    with make("examples/number", model="parrot/polly,!submit", model_options={"price": 0.5}, runs_dir=tmp_path) as env:
        env.reset()
        assert model_of(env).id == "parrot/polly,!submit"
        reply = model_of(env).complete(HELLO, env.tools, Sampling(temperature=0, stop=("x",)))
        assert reply.text == "polly"
        again = [*HELLO, reply.as_message(), {"role": "user", "content": "more"}]
        reply = model_of(env).complete(again, env.tools)
        assert reply.tool_calls[0].tool == "submit"
        assert model_of(env).calls == 2
        env.step({"tool": "submit"})
    first, second = events(env)
    assert first["new_messages"] == HELLO
    assert first["sampling"] == {"temperature": 0, "stop": ["x"]}
    assert [tool["name"] for tool in first["tools"]] == [tool["name"] for tool in env.tools]
    assert second["tools"] is None
    assert (first["text"], first["prompt_tokens"], first["completion_tokens"], first["cost_usd"]) == ("polly", 5, 5, 5)
    assert first["answered_by"] == "grey-parrot"
    assert first["log_probabilities"] == [-1.0] * 5
    assert second["new_messages"] == again[1:]
    assert second["tool_calls"] == [{"id": "1", "tool": "submit", "arguments": {}, "written": ""}]
    assert [sent for _, sent in recorded_conversations([first, second])] == [HELLO, again]
    assert result(env).model == "parrot/polly,!submit"
    assert result(env).tokens.prompt == 5 + 14
    assert result(env).tokens.completion == 5 + 7
    assert result(env).cost_usd == 15.5
    assert result(env).limit is None


def test_an_unknown_cost_is_none() -> None:
    with make("examples/number", model=parrot()) as env:
        env.reset()
        model_of(env).complete(HELLO)
        env.step({"tool": "submit"})
    assert result(env).cost_usd is None
    assert result(env).tokens.prompt == 5
    assert result(env).model == "parrot/polly"


def test_without_a_model() -> None:
    with make("examples/number") as env:
        env.reset()
        assert env.model is None
    for options, says in (
        ({"model": "parrot"}, "PROVIDER/NAME"),
        ({"model": "parot/x"}, "Did you mean 'parrot'"),
        ({"model": "parrot/x", "model_options": {"colour": 1}}, "colour"),
        ({"model": "parrot/x", "model_options": {"secnds": 1}}, "Did you mean 'seconds'"),
        ({"model": "parrot/x", "model_options": {"seconds": "long"}}, "seconds"),
        ({"model": "parrot/x", "model_options": {"need_key": True}}, "Set PARROT_KEY"),
        ({"model_options": {"price": 1}}, "model_options"),
    ):
        with pytest.raises(UsageError, match=says):
            make("examples/number", **options)


def test_only_the_environment_that_made_a_model_closes_it() -> None:
    shared = parrot()
    with make("examples/number", model=shared) as env:
        env.reset()
        env.fork(env.snapshot()).close()
    assert shared.closed == 0


def test_the_model_answers_only_while_the_episode_goes_on() -> None:
    with make("examples/number", model=parrot()) as env:
        env.reset()
        model = model_of(env)
        env.step({"tool": "submit"})
        with pytest.raises(EpisodeOver):
            model.complete(HELLO)


@pytest.mark.parametrize(
    ("limits", "options", "limit", "calls"),
    [
        # 5 tokens each way: the request and an answer of 64 tokens must fit into what is left.
        ({"max_tokens": 100}, {}, "max_tokens", 4),
        ({"max_tokens": 12}, {"answer": 5}, "max_tokens", 1),
        ({"max_cost": 1.0}, {"price": 0.01}, "max_cost", 4),
        # What the provider charges counts, where it is no more than expected.
        ({"max_cost": 1.0}, {"cost": 0.4}, "max_cost", 3),
        ({"max_cost": 1.0, "max_tokens": 10_000}, {"price": 0.01, "answer": 5}, "max_cost", 10),
    ],
)
def test_budgets_are_held_before_the_call(
    limits: dict[str, Any], options: dict[str, Any], limit: str, calls: int
) -> None:
    model = parrot(**options)
    with make("examples/number", model=model, **limits) as env:
        env.reset()
        with pytest.raises(BudgetExhausted, match=limit) as caught:
            ask_on_and_on(env)
        assert caught.value.limit == limit
        assert len(model.asked) == calls
        # It may finish a last step; then the episode ends.
        observation, _, terminated, truncated, info = env.step("echo 0.5 > answer.txt; echo done")
        assert observation.text == "done\n"
        assert (terminated, truncated, info["exit_reason"], info["limit"]) == (False, True, limit, limit)
    assert result(env).status == "completed"
    assert result(env).final == 0.75
    assert (result(env).exit_reason, result(env).limit) == (limit, limit)
    if "max_tokens" in limits:
        assert result(env).tokens.prompt + result(env).tokens.completion <= limits["max_tokens"]


def test_the_answer_is_as_short_as_the_budget() -> None:
    model = parrot(price=0.01, answer=500)
    with make("examples/number", model=model, max_cost=3.0) as env:
        env.reset()
        model_of(env).complete(HELLO)
        model_of(env).complete(HELLO, (), Sampling(max_tokens=100))
        assert [sampling.max_tokens for _, sampling in model.asked] == [295, 100]
        assert model_of(env).cost_left_usd == pytest.approx(2.8)
        assert model_of(env).tokens_left is None


def test_wall_time_cuts_a_call_off(tmp_path: Path) -> None:
    with make("examples/number", model=parrot(seconds=100), max_time=0.5, runs_dir=tmp_path) as env:
        env.reset()
        began = time.monotonic()
        with pytest.raises(BudgetExhausted, match="max_time"):
            model_of(env).complete(HELLO)
        assert time.monotonic() - began < 5
        assert env.step("echo too late")[3]
    [call] = events(env)
    assert "max_time" in call["error"]
    assert (call["prompt_tokens"], call["estimated"], call["cost_usd"]) == (5, True, None)
    assert (result(env).exit_reason, result(env).limit) == ("max_time", "max_time")
    assert result(env).cost_usd is None


def test_working_time_does_not_pass_while_the_model_answers() -> None:
    with make("examples/number", model=parrot(seconds=0.5), max_working_time=0.4) as env:
        env.reset()
        for _ in range(2):
            model_of(env).complete(HELLO)
        assert env.working_seconds_left is not None
        assert env.working_seconds_left > 0.1
        observation, _, _, truncated, info = env.step("sleep 100")
        assert observation.timed_out
        assert truncated
        assert (info["exit_reason"], info["limit"]) == ("max_time", "max_working_time")
    assert (result(env).exit_reason, result(env).limit) == ("max_time", "max_working_time")


def test_every_end_by_a_limit_names_it() -> None:
    with make("examples/number", max_steps=1) as env:
        env.reset()
        env.step("true")
    assert (result(env).exit_reason, result(env).limit) == ("max_steps", "max_steps")


def test_failures_of_the_model_are_raised_and_recorded(tmp_path: Path) -> None:
    with make("examples/number", model=parrot("fails,long,fine"), runs_dir=tmp_path) as env:
        env.reset()
        with pytest.raises(ModelError, match="out"):
            model_of(env).complete(HELLO)
        with pytest.raises(ContextTooLong):
            model_of(env).complete(HELLO)
        assert model_of(env).complete(HELLO).text == "fine"
        assert model_of(env).calls == 1
    failed, _, fine = events(env)
    assert failed["error"] == "The parrot is out."
    assert failed["text"] is None
    assert fine["new_messages"] == []
    assert fine["messages"] == [[0, 1]]


def test_forks_share_the_budget() -> None:
    model = parrot(price=0.01, answer=5)
    with make("examples/number", model=model, max_cost=0.35) as env:
        env.reset()
        model_of(env).complete(HELLO)
        with env.fork(env.snapshot()) as twin:
            model_of(twin).complete(HELLO)
            model_of(env).complete(HELLO)
            with pytest.raises(BudgetExhausted):
                model_of(twin).complete(HELLO)
            twin.step({"tool": "submit"})
            assert result(twin).cost_usd == pytest.approx(0.1)
        env.step({"tool": "submit"})
        assert result(env).cost_usd == pytest.approx(0.3)


@pytest.mark.parametrize(("limits", "longest"), [({"max_tokens": 100_000}, 4096), ({}, None)])
def test_where_something_is_limited_an_answer_of_unknown_length_is_too(limits: Any, longest: int | None) -> None:
    model = parrot()
    assert model.answer_tokens() is None
    with make("examples/number", model=model, **limits) as env:
        env.reset()
        model_of(env).complete(HELLO)
        assert [sampling.max_tokens for _, sampling in model.asked] == [longest]


async def test_calls_at_the_same_time_do_not_exceed_the_budget_together() -> None:
    model = parrot(price=0.01, answer=50, seconds=0.05)
    async with make_async("examples/number", model=model, max_cost=1.0) as env:
        await env.reset()
        tasks = [asyncio.ensure_future(model_of(env).complete(HELLO)) for _ in range(30)]
        done = await asyncio.gather(*tasks, return_exceptions=True)
        answered = [one for one in done if isinstance(one, ModelReply)]
        assert all(isinstance(one, ModelReply | BudgetExhausted) for one in done)
        # Of 0.10 each, as many as have place for an answer of 50 tokens.
        assert len(answered) == 5
        assert model_of(env).calls == 5
        await env.step({"tool": "submit"})
        assert result(env).cost_usd == pytest.approx(0.5)


async def test_waiting_at_the_same_time_counts_once() -> None:
    async with make_async("examples/number", model=parrot(seconds=0.3), max_working_time=60) as env:
        await env.reset()
        await asyncio.gather(*[model_of(env).complete(HELLO) for _ in range(4)])
        left = env.working_seconds_left
        assert left is not None
        assert 59 < left <= 60


async def test_a_call_that_is_cancelled_counts(tmp_path: Path) -> None:
    async with make_async("examples/number", model=parrot(seconds=100), runs_dir=tmp_path) as env:
        await env.reset()
        task = asyncio.ensure_future(model_of(env).complete(HELLO))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await env.step({"tool": "submit"})
    assert result(env).tokens.prompt == 5
    assert result(env).cost_usd is None
    assert events(env)[0]["error"] == "The call was interrupted."


def test_long_conversations_are_not_recorded_again_and_again() -> None:
    record = RecordedMessages()
    messages: list[dict[str, Any]] = []
    recorded = 0
    made_up = []
    for step in range(50):
        messages.append({"role": "user", "content": f"{step} " + "x" * 1000})
        if step >= 10:
            # Old observations are shortened, as agents do.
            messages[step - 10]["content"] = f"{step - 10} elided"
        ranges, new = record.record(record.snapshot(messages))
        recorded += len(json.dumps(new)) + len(json.dumps(ranges))
        made_up.append(({"type": "model", "new_messages": new, "messages": ranges}, json.loads(json.dumps(messages))))
    assert recorded < 50 * 1500
    decoded = list(recorded_conversations(event for event, _ in made_up))
    assert [sent for _, sent in decoded] == [sent for _, sent in made_up]


async def test_messages_are_recorded_as_they_were_sent(tmp_path: Path) -> None:
    async with make_async("examples/number", model=parrot(seconds=0.1), runs_dir=tmp_path) as env:
        await env.reset()
        messages = [{"role": "user", "content": "hello"}]
        tools = [{"name": "look", "description": "", "parameters": {}}]
        calls = [asyncio.create_task(model_of(env).complete(messages, tools))]
        await asyncio.sleep(0.01)
        messages[0]["content"] = "changed"
        tools[0]["name"] = "leap"
        # The second is sent before the first is recorded, and begins with another message.
        calls.append(asyncio.create_task(model_of(env).complete([*HELLO, *messages], tools)))
        await asyncio.gather(*calls)
        await env.step({"tool": "submit"})
    recorded = events(env)
    assert [sent for _, sent in recorded_conversations(recorded)] == [
        HELLO,
        [*HELLO, {"role": "user", "content": "changed"}],
    ]
    assert [[tool["name"] for tool in event["tools"]] for event in recorded] == [["look"], ["leap"]]
    assert [event["messages"] for event in recorded] == [[[0, 1]], [[0, 2]]]


def test_replies_become_messages() -> None:
    calls = (
        ModelToolCall(id="a", tool="bash", arguments={"command": "ls"}, written='{"command": "ls"}'),
        ModelToolCall(id="b", tool="bash", arguments=None, written="{command"),
    )
    message = ModelReply(text="", tool_calls=calls, extra={"thinking": "hm"}).as_message()
    assert message["content"] is None
    assert message["thinking"] == "hm"
    assert [call["function"]["arguments"] for call in message["tool_calls"]] == ['{"command": "ls"}', "{}"]
    assert ModelReply(text="").as_message() == {"role": "assistant", "content": ""}


def test_accounts_of_a_run(tmp_path: Path) -> None:
    model = parrot(price=0.5)
    with make("examples/number", model=model, runs_dir=tmp_path) as env:
        env.reset()
        model_of(env).complete(HELLO)
        with env.fork(env.snapshot()) as twin:
            model_of(twin).complete(HELLO)
    [run] = tmp_path.iterdir()
    usage, seconds = used_before(run, model)
    assert (usage.calls, usage.cost_usd, usage.prompt_tokens, usage.unknown) == (2, 10.0, 10, 0)
    assert 0 < seconds < 30
    # An attempt that was killed: no result, and a line that was not finished.
    [episode, *_] = (run / "episodes").iterdir()
    (episode / "attempts" / "1").mkdir(parents=True)
    lines = (episode / "trajectory.jsonl").read_text()
    (episode / "attempts" / "1" / "trajectory.jsonl").write_text(lines + '{"seq": 9, "t"')
    assert used_before(run, model)[0].calls == 3
    assert used_before(tmp_path / "none", None) == (Usage(), 0)


def test_the_budget_of_a_run_remembers() -> None:
    budget = Budget("max_run_", max_cost=1.0, spent=Usage(cost_usd=0.75, estimated_usd=0.25))
    error = budget.exhausted()
    assert error is not None
    assert error.limit == "max_run_cost"
    assert "1 of 1 USD" in str(error)
    assert Budget("max_run_", max_time=-1.0).exhausted() is not None
    assert Budget("max_run_", max_time=100.0).exhausted() is None


async def test_an_asynchronous_environment_can_be_typed() -> None:
    async with make_async("examples/number", model=parrot()) as env:
        assert isinstance(env, AsyncEnv)
        with pytest.raises(EpisodeOver):
            _ = env.model


def test_a_call_is_recorded_before_the_model_is_asked(tmp_path: Path) -> None:
    model = parrot(price=0.01, answer=20)
    with make("examples/number", model=model, max_cost=10.0, runs_dir=tmp_path) as env:
        env.reset()
        for _ in range(2):
            model_of(env).complete(HELLO)
        env.step({"tool": "submit"})
    begun = events(env, "model_call")
    answered = events(env)
    assert [one["number"] for one in begun] == [one["number"] for one in answered] == [1, 2]
    assert all(one["seq"] + 1 == two["seq"] for one, two in zip(begun, answered, strict=True))
    assert {name: begun[0][name] for name in ("request_tokens", "reserved_tokens", "reserved_usd")} == {
        "request_tokens": 5,
        "reserved_tokens": 25,
        "reserved_usd": 0.25,
    }


def test_accounts_count_calls_that_were_cut_off_with_their_runner(tmp_path: Path) -> None:
    model = parrot(price=0.5)
    episode = tmp_path / "episodes" / "one"
    episode.mkdir(parents=True)
    lines = [
        {"seq": 0, "t": 0.0, "type": "model_call", "number": 1, "request_tokens": 10},
        {"seq": 1, "t": 0.5, "type": "model_attempt", "number": 1, "prompt_tokens": 10, "completion_tokens": 2},
        {
            "seq": 2,
            "t": 1.0,
            "type": "model",
            "number": 1,
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "cost_usd": 3.0,
        },
        {"seq": 3, "t": 1.5, "type": "model_call", "number": 2, "request_tokens": 20},
        {"seq": 4, "t": 2.0, "type": "model", "number": 2, "prompt_tokens": None, "completion_tokens": None},
        {"seq": 5, "t": 2.5, "type": "model_call", "number": 3, "request_tokens": 40},
    ]
    (episode / "trajectory.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    usage, _ = used_before(tmp_path, model)
    assert usage == Usage(
        prompt_tokens=10 + 10 + 40,
        completion_tokens=2 + 5,
        cost_usd=3.0,
        estimated_usd=0.5 * 12 + 0.5 * 40,
        unknown=2,
        calls=3,
    )
    assert usage.total_cost_usd is None


def test_attempts_of_which_nobody_heard_count_by_their_time(tmp_path: Path) -> None:
    model = parrot("lost0.5,lost0,fine", seconds=0.1, answer=30)
    with make("examples/number", model=model, runs_dir=tmp_path) as env:
        env.reset()
        assert model_of(env).complete(HELLO).text == "fine"
        env.step({"tool": "submit"})
    # 200 tokens a second, of the attempt alone and not of the pause, up to the longest answer.
    tokens = [one["completion_tokens"] for one in events(env, "model_attempt")]
    assert all(20 <= count <= 30 for count in tokens)
    assert result(env).tokens.completion == sum(tokens) + 4


def test_failed_attempts_count(tmp_path: Path) -> None:
    model = parrot("cut0,cut0,fine", price=0.01, answer=20)
    with make("examples/number", model=model, max_cost=0.8, runs_dir=tmp_path) as env:
        env.reset()
        assert model_of(env).complete(HELLO).text == "fine"
        # Two attempts of 5 + 2 tokens, and 5 + 4 of the answer.
        assert model_of(env).cost_left_usd == pytest.approx(0.8 - 0.07 - 0.07 - 0.09)
        env.step({"tool": "submit"})
    assert result(env).tokens.prompt == 15
    assert result(env).tokens.completion == 2 + 2 + 4
    assert result(env).cost_usd is None
    assert [(one["number"], one["error"]) for one in events(env, "model_attempt")] == [
        (1, "The parrot was cut off.")
    ] * 2
    [call] = events(env)
    assert (call["text"], call["prompt_tokens"]) == ("fine", 5)
    [run] = tmp_path.iterdir()
    assert used_before(run, model)[0].prompt_tokens == 15


def test_a_further_attempt_is_within_the_budget(tmp_path: Path) -> None:
    model = parrot("cut0", price=0.01, answer=20)
    with make("examples/number", model=model, max_cost=0.5, runs_dir=tmp_path) as env:
        env.reset()
        with pytest.raises(BudgetExhausted, match="max_cost") as caught:
            model_of(env).complete(HELLO)
        assert caught.value.limit == "max_cost"
        env.step("true")
    # 7 tokens each; an answer of 20 and its request must fit into what is left of 50.
    assert len(model.asked) == 4
    assert (result(env).exit_reason, result(env).limit) == ("max_cost", "max_cost")
    [call] = events(env)
    assert "max_cost" in call["error"]
    assert call["prompt_tokens"] is None


def test_a_further_attempt_may_get_a_shorter_answer() -> None:
    model = parrot("cut0,fine", price=0.01, answer=500)
    with make("examples/number", model=model, max_cost=3.0) as env:
        env.reset()
        model_of(env).complete(HELLO)
        assert [sampling.max_tokens for _, sampling in model.asked] == [295, 288]


def test_nobody_waits_for_longer_than_the_episode_lasts() -> None:
    with make("examples/number", model=parrot("cut500"), max_time=100) as env:
        env.reset()
        began = time.monotonic()
        with pytest.raises(BudgetExhausted, match="before the 500 s after which"):
            model_of(env).complete(HELLO)
        assert time.monotonic() - began < 50
        env.step("true")
    assert (result(env).exit_reason, result(env).limit) == ("max_time", "max_time")


async def test_answers_are_shown_while_they_are_said() -> None:
    said: list[str] = []
    env = await make_env("examples/number", host=Host.of(ExamplePlugin()), model=parrot("hello"), on_text=said.append)
    async with env:
        await env.reset()
        await model_of(env).complete(HELLO)
        async with await env.fork(await env.snapshot()) as twin:
            await model_of(twin).complete(HELLO)
    assert said == ["hello", "hello"]
