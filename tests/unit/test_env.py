"""The gym: reset, step, close; limits, rewards, protocols; both faces."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from example_plugin import ExamplePlugin

from mlgym_core import EpisodeEvent, EpisodeOver, Host, Observation, UsageError, hookimpl, make, make_async

pytestmark = pytest.mark.usefixtures("installed_examples")

VALIDATE = {"tool": "validate"}
SUBMIT = {"tool": "submit"}


def number(value: object) -> dict[str, Any]:
    return {"tool": "write_file", "arguments": {"path": "answer.txt", "content": str(value)}}


def test_an_episode_from_reset_to_score(sandbox_name: str) -> None:
    with make("examples/number", sandbox=sandbox_name, seed=3, max_steps=20) as env:
        observation, info = env.reset()
        assert observation.text == "Write a number into answer.txt."
        assert observation.steps_left == 20
        assert info["seed"] == 3
        assert info["sandbox"] == sandbox_name
        observation, reward, terminated, truncated, info = env.step(
            "cat answer.txt; exit_code() { return 4; }; exit_code"
        )
        assert (observation.text, observation.exit_code) == ("0", 4)
        assert (reward, terminated, truncated, info) == (0.0, False, False, {})
        env.step(number(0.5))
        observation, reward, *_ = env.step(VALIDATE)
        assert reward == pytest.approx(0.5)
        assert observation.score is not None
        assert observation.score.split == "validation"
        assert observation.score.value == pytest.approx(0.5)
        assert "value = 0.5" in observation.text
        observation, reward, terminated, truncated, info = env.step(SUBMIT)
        assert terminated
        assert not truncated
        assert info["score"].split == "test"
        assert info["score"].value == pytest.approx(0.75)
        assert reward == pytest.approx(0.25)
        result = env.result
        assert result is not None
        assert result.status == "completed"
        assert result.exit_reason == "submitted"
        assert result.final == pytest.approx(0.75)
        assert result.return_ == pytest.approx(0.75)
        assert result.best_validation == pytest.approx(0.5)
        assert result.steps == 4
        assert result.integrity.flags == (() if sandbox_name == "bwrap" else ("unisolated",))
        with pytest.raises(EpisodeOver):
            env.step("true")


def test_reset_gives_a_fresh_workspace(sandbox_name: str) -> None:
    with make("examples/number", sandbox=sandbox_name) as env:
        env.reset()
        env.step("echo 1 > answer.txt; touch extra; x=5")
        env.reset(seed=9)
        observation, *_ = env.step("cat answer.txt; ls; echo [$x]")
        assert observation.text == "0answer.txt\n[]\n"
        assert env.seed == 9


@pytest.mark.parametrize("reward", ["improvement", "final"])
def test_rewards_add_up_to_the_final_score(reward: Any) -> None:
    with make("examples/number", reward=reward) as env:
        env.reset()
        rewards = [env.step(action)[1] for value in (0.2, 0.9, 0.4) for action in (number(value), VALIDATE)]
        rewards.append(env.step(SUBMIT)[1])
        assert sum(rewards) == pytest.approx(0.65)
        assert rewards[:-1] == pytest.approx([0, 0.2, 0, 0.7, 0, 0] if reward == "improvement" else [0] * 6)


def test_an_invalid_submission_is_an_outcome_with_a_reason() -> None:
    with make("examples/number") as env:
        env.reset()
        env.step(number("no number"))
        observation, reward, *_ = env.step(VALIDATE)
        assert reward == 0
        assert "which is not a number" in observation.text
        _, reward, terminated, _, info = env.step(SUBMIT)
        assert terminated
        assert reward == pytest.approx(-0.1)
        assert not info["score"].valid
        assert env.result is not None
        assert env.result.status == "invalid_submission"
        assert env.result.return_ == pytest.approx(-0.1)
        assert env.result.final is None


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("rm answer.txt", "no answer.txt"),
        ("rm answer.txt; ln -s /etc/passwd answer.txt", "symbolic link"),
        ("rm answer.txt; mkdir answer.txt", "not a regular file"),
        ("rm answer.txt; mkfifo answer.txt", "not a regular file"),
        ("seq 1000 > answer.txt", "too large"),
        ("cd ..; rm -rf workspace/*", "no answer.txt"),
    ],
)
def test_files_that_cannot_be_a_submission(command: str, reason: str) -> None:
    with make("examples/number") as env:
        env.reset()
        env.step(command)
        observation, *_ = env.step(VALIDATE)
        assert reason in observation.text
        info = env.step(SUBMIT)[4]
        assert reason in info["score"].reason


def test_the_step_limit_grades_what_is_there() -> None:
    with make("examples/number", max_steps=2) as env:
        env.reset()
        assert env.step(number(0.5))[2:4] == (False, False)
        _, reward, terminated, truncated, info = env.step("true")
        assert (terminated, truncated) == (False, True)
        assert info["exit_reason"] == "max_steps"
        assert reward == pytest.approx(0.75)


def test_the_time_limit_ends_the_action_and_the_episode() -> None:
    with make("examples/number", max_time=0.8) as env:
        env.reset()
        observation, _, _, truncated, info = env.step("sleep 1000")
        assert observation.timed_out
        assert truncated
        assert info["exit_reason"] == "max_time"


def test_the_action_limit_ends_the_action_only() -> None:
    with make("examples/number", action_timeout=0.5) as env:
        env.reset()
        observation, _, terminated, truncated, _ = env.step("echo before; sleep 1000")
        assert observation.timed_out
        assert observation.exit_code is None
        assert observation.text.startswith("before\n[The command was still running after 0.5 s")
        assert not terminated
        assert not truncated
        assert env.step("echo here")[0].text == "here\n"


def test_validations_are_metered_and_the_episode_goes_on() -> None:
    with make("examples/number", max_validations=2) as env:
        env.reset()
        env.step(VALIDATE)
        assert "Validations left: 0" in env.step(VALIDATE)[0].text
        observation, reward, *_ = env.step(VALIDATE)
        assert observation.error
        assert observation.score is None
        assert "No validation is left" in observation.text
        assert reward == 0
        env.step(SUBMIT)
        assert env.result is not None
        assert env.result.validations == 2


def test_protocol_paper_validates_on_the_test_split_without_limit() -> None:
    with make("examples/number", protocol="paper", max_validations=1) as env:
        env.reset()
        env.step(number(0.5))
        assert [env.step(VALIDATE)[1] for _ in range(3)] == [0, 0, 0]
        observation = env.observation
        assert observation.score is not None
        assert observation.score.split == "test"
        assert observation.score.value == pytest.approx(0.75)
        env.step(number(0.1))
        env.step(SUBMIT)
        assert env.result is not None
        assert env.result.best_validation == pytest.approx(0.75)
        assert env.result.final == pytest.approx(0.35)


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ("broken", "a bug in the grader"),
        ("infinite", "not a finite number"),
        ("forgetful", "primary metric"),
        ("hanging", "did not finish"),
        ("greedy", "submission_processes"),
        ("careless", "did not have kept: {'another'}"),
    ],
)
def test_a_grader_that_breaks_is_no_score(task: str, says: str) -> None:
    with make(f"examples/{task}") as env:
        env.reset()
        observation, reward, terminated, truncated, info = env.step(SUBMIT)
        assert info["mask"] is True
        assert (reward, terminated, truncated) == (0.0, False, True)
        assert says in info["error"]
        assert env.result is not None
        assert env.result.status == "infrastructure_failure"
        assert env.result.return_ is None
        assert env.result.score is None
        assert observation.error


def test_submitted_programs_get_copies_over_the_wire(sandbox_name: str) -> None:
    with make("examples/programs", sandbox=sandbox_name) as env:
        env.reset()
        env.step(SUBMIT)
        assert env.result is not None
        assert env.result.error is None
        assert env.result.final == 2


def test_submitted_programs_keep_values_and_get_a_fresh_copy_in_each_call(sandbox_name: str) -> None:
    with make("examples/keeping", sandbox=sandbox_name) as env:
        env.reset()
        env.step(SUBMIT)
        assert env.result is not None
        assert env.result.error is None
        assert env.result.final == 12


def test_scores_do_not_depend_on_who_plays_but_on_seed_and_split() -> None:
    def draws(seed: int) -> tuple[float, float]:
        with make("examples/number", seed=seed) as env:
            env.reset()
            validation = env.step(VALIDATE)[0].score
            test = env.step(SUBMIT)[4]["score"]
            assert validation is not None
            return validation.metrics["seed"], test.metrics["seed"]

    first = draws(1)
    assert first == draws(1)
    assert first[0] != first[1]
    assert first != draws(2)


def test_the_file_tools() -> None:
    with make("examples/number") as env:
        env.reset()

        def call(tool: str, **arguments: object) -> Observation:
            return env.step({"tool": tool, "arguments": arguments})[0]

        content = "\n".join(f"line {index}" for index in range(1, 31)) + "\n"
        assert "Wrote" in call("write_file", path="a/b/ü '$x'.txt", content=content).text
        assert call("read_file", path="a/b/ü '$x'.txt").text == content
        part = call("read_file", path="a/b/ü '$x'.txt", first_line=3, lines=2).text
        assert part == "line 3\nline 4\n[lines 3 to 4 of 30]"
        assert "occurs 12 times" in call("edit_file", path="a/b/ü '$x'.txt", old="line 1", new="x").text.replace(
            "11", "12"
        )
        assert "line 30" in call("edit_file", path="a/b/ü '$x'.txt", old="line 30\n", new="last").text or True
        assert env.step("tail -n 1 a/b/*.txt")[0].text == "last"
        assert "does not occur" in call("edit_file", path="answer.txt", old="nothing", new="x").text
        assert call("edit_file", path="answer.txt", old="", new="x").error
        assert "No such file" in call("read_file", path="missing").text
        assert "Is a directory" in call("read_file", path="a").text
        assert call("write_file", path="/etc/passwd", content="x").error
        env.step("cd a; printf '\\xff\\x00abc' > ../binary")
        assert call("read_file", path="../binary").text == "\\xff\x00abc"
        call("edit_file", path="../binary", old="abc", new="def")
        assert env.step("od -An -tx1 ../binary")[0].text.split() == ["ff", "00", "64", "65", "66"]
        assert call("read_file", path="").error


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ({"tool": "bsh", "arguments": {}}, "There is no tool 'bsh'"),
        ({"tool": "bash", "arguments": {}}, "command: Field required"),
        ({"tool": "bash", "arguments": {"command": 5}}, "command: Input should be a valid string"),
        ({"tool": "validate", "arguments": {"split": "test"}}, "split: Extra inputs"),
    ],
)
def test_calls_that_do_not_fit_cost_a_step_and_say_why(call: dict[str, Any], says: str) -> None:
    with make("examples/number") as env:
        env.reset()
        observation, reward, terminated, truncated, _ = env.step(call)
        assert observation.error
        assert says in observation.text
        assert (reward, terminated, truncated) == (0, False, False)
        assert observation.steps_left == 49


@pytest.mark.parametrize("action", [5, None, {"arguments": {}}, {"tool": 5}, {"tool": "bash", "argument": {}}, ["ls"]])
def test_things_that_are_no_action_are_refused(action: Any) -> None:
    with make("examples/number") as env:
        env.reset()
        with pytest.raises(UsageError, match="is not an action"):
            env.step(action)
        assert env.step("echo here")[0].text == "here\n"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"protocol": "papr"}, "strict or paper"),
        ({"reward": "none"}, "improvement or final"),
        ({"variant": "huge"}, "It has: full"),
        ({"sandbox": "bwrp"}, "Did you mean 'bwrap'"),
        ({"max_steps": 0}, "max_steps"),
        ({"max_time": -1}, "max_time"),
        ({"tools": ["bash", "sumbit"]}, "Did you mean 'submit'"),
        ({"colour": "red"}, "no option colour"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        make("examples/number", **options)


def test_unknown_tasks_are_named_with_near_misses() -> None:
    with pytest.raises(UsageError, match="Did you mean 'examples/number'"):
        make("examples/numbr")


def test_only_the_tools_that_were_asked_for() -> None:
    with make("examples/number", tools=["bash", "submit"]) as env:
        env.reset()
        assert [tool["name"] for tool in env.tools] == ["bash", "submit"]
        assert env.step(VALIDATE)[0].error
        schema = env.tools[0]
        assert schema["parameters"]["required"] == ["command"]
        assert schema["description"].startswith("Run a command in a bash shell")


def test_step_needs_reset() -> None:
    with make("examples/number") as env, pytest.raises(EpisodeOver, match="reset"):
        env.step("true")


def test_closing_twice_and_early_is_fine() -> None:
    env = make("examples/number")
    env.reset()
    env.step("sleep 1000 &")
    env.close()
    env.close()
    assert env.result is not None
    assert env.result.status == "interrupted"


def test_episodes_are_recorded(tmp_path: Path) -> None:
    with make("examples/number", runs_dir=tmp_path) as env:
        env.reset()
        env.step("echo hello")
        env.step(VALIDATE)
        env.step(SUBMIT)
        result = env.result
    assert result is not None
    assert result.dir is not None
    folder = Path(result.dir)
    assert folder.parent.parent.parent == tmp_path
    assert json.loads((folder / "episode.json").read_text()) == json.loads(result.model_dump_json())
    events = [json.loads(line) for line in (folder / "trajectory.jsonl").read_text().splitlines()]
    assert [event["seq"] for event in events] == list(range(len(events)))
    kinds = "reset action observation action validation observation action submission observation score end"
    assert [event["type"] for event in events] == kinds.split()
    assert events[2]["text"] == "hello\n"
    assert events[-1]["return"] == result.return_
    assert (folder / "submission" / "answer.txt").read_text() == "0"


def test_records_are_json_whatever_agents_say(tmp_path: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON.")

    with make("examples/number", runs_dir=tmp_path) as env:
        env.reset()
        env.step({"tool": "bash", "arguments": {"command": float("nan"), "more": [-float("inf"), 0.5]}})
    (file,) = tmp_path.rglob("trajectory.jsonl")
    events = [json.loads(line, parse_constant=refuse) for line in file.read_text().splitlines()]
    assert events[1]["arguments"] == {"command": "NaN", "more": ["-Infinity", 0.5]}


def test_two_environments_are_apart(sandbox_name: str) -> None:
    with make("examples/number", sandbox=sandbox_name) as one, make("examples/number", sandbox=sandbox_name) as other:
        one.reset()
        other.reset()
        one.step("echo 7 > answer.txt; echo secret > ~/secret; x=5")
        assert other.step("cat answer.txt; cat ~/secret 2> /dev/null; echo [$x]")[0].text == "0[]\n"


async def test_the_asynchronous_face() -> None:
    async with make_async("examples/number") as env:
        await env.reset()
        first = asyncio.create_task(env.step("sleep 0.3; echo first"))
        await asyncio.sleep(0.1)
        with pytest.raises(UsageError, match="one action at a time"):
            await env.step("echo second")
        assert (await first)[0].text == "first\n"


async def test_the_synchronous_face_inside_a_running_loop() -> None:
    with make("examples/number") as env:
        env.reset()
        assert env.step("echo here")[0].text == "here\n"


def test_after_a_fork() -> None:
    with make("examples/number") as env:
        env.reset()
        env.step("echo parent > who")
        child = os.fork()
        if child == 0:
            status = 1
            try:
                try:
                    env.step("true")
                except EpisodeOver:
                    env.reset()
                    fine = env.step("cat who; echo child")[0].text.endswith("child\n")
                    env.close()
                    status = 0 if fine else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert env.step("cat who")[0].text == "parent\n"


def test_observers_see_every_event_and_cannot_break_an_episode(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []

    class Watcher:
        MLGYM_API = 1

        @hookimpl
        def mlgym_episode_events(self, event: EpisodeEvent) -> None:
            seen.append(event.type)

    class Grumbler:
        MLGYM_API = 1

        @hookimpl
        def mlgym_episode_events(self, event: EpisodeEvent) -> None:
            raise RuntimeError("I object")

    monkeypatch.setattr("mlgym_core.making.default_host", lambda: Host.of(ExamplePlugin(), Watcher(), Grumbler()))
    with make("examples/number") as env:
        env.reset()
        env.step("true")
        env.step(SUBMIT)
    assert seen == ["reset", "action", "observation", "action", "submission", "observation", "score", "end"]
    assert capsys.readouterr().err.count("I object") == 1
