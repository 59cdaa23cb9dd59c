"""Whole runs from the command line, through LiteLLM, against a server that answers as told."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mlgym_core.accounts import used_before
from mlgym_core.testing import ScriptedAnswer, ScriptedModelServer
from mlgym_core.testing.model_server import Answer, error_answer, rate_limit, server_error, wrong_key

CANARY = "sk-canary-3f9d27b1c0"
AGENT = """
from mlgym_core import Agent, AgentSpec, hookimpl

MLGYM_API = 1

@hookimpl
def mlgym_agents():
    yield AgentSpec("obedient", "obedient:Obedient", "Does what its model says", needs_model=True)

class Obedient(Agent):
    async def run(self, env):
        messages = [{"role": "user", "content": env.observation.text}]
        while not env.is_over:
            reply = await env.model.complete(messages, env.tools)
            messages.append(reply.as_message())
            for call in reply.tool_calls:
                text = "That is no JSON object."
                if call.arguments is not None and not env.is_over:
                    observation, *_ = await env.step({"tool": call.tool, "arguments": dict(call.arguments)})
                    text = observation.text
                messages.append({"role": "tool", "tool_call_id": call.id, "content": text})
            if not reply.tool_calls:
                messages.append({"role": "user", "content": "Call a tool."})
"""
PLAY = "from mlgym_core.cli import main; main()"
# Says all that it can find of its surroundings.
SPY = "env; cat /proc/self/environ /proc/1/environ /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'"


class Runs:
    """The command line in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        site = folder / "site"
        (site / "obedient-1.0.dist-info").mkdir(parents=True)
        (site / "obedient-1.0.dist-info" / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: obedient\nVersion: 1.0\n"
        )
        (site / "obedient-1.0.dist-info" / "entry_points.txt").write_text("[mlgym]\nobedient = obedient\n")
        (site / "obedient.py").write_text(AGENT)

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("MLGYM_") and not name.endswith(("_API_KEY", "_BASE_URL"))
        }
        own = {"PYTHONPATH": str(self.folder / "site"), "MLGYM_CACHE_DIR": str(self.folder / "cache")}
        return subprocess.run(
            [sys.executable, "-c", PLAY, *arguments],
            cwd=self.folder,
            env=inherited | own | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def begin(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the command line and return its process."""
        own = {"PYTHONPATH": str(self.folder / "site"), "MLGYM_CACHE_DIR": str(self.folder / "cache")}
        return subprocess.Popen(
            [sys.executable, "-c", PLAY, *arguments],
            cwd=self.folder,
            env=os.environ | own,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def play(
        self, server: ScriptedModelServer, *arguments: str, **environment: str
    ) -> tuple[subprocess.CompletedProcess[str], list[dict[str, Any]]]:
        """Play one episode of a game with the model of a server."""
        model = ("--model", "openai/scripted", "-M", f"base_url={server.url}", "-M", "retry_pause=0.01")
        done = self("run", "games/blotto", "--agent", "obedient", *model, "--json", *arguments, **environment)
        return done, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def call(tool: str, arguments: Mapping[str, Any] | str) -> ScriptedAnswer:
    return ScriptedAnswer(tools=[(tool, arguments)])


SUBMIT = call("submit", {})


def test_an_episode_without_a_key_and_with_every_kind_of_fault(runs: Runs, tmp_path: Path) -> None:
    answers: list[Answer] = [
        call("bash", {"command": "cat strategy.py"}),
        call("bash", "{broken"),
        call("no_such_tool", {}),
        call("bash", {"cmd": "ls"}),
        ScriptedAnswer(text=None),
        "I think that I am done.",
        rate_limit(after=0),
        server_error(),
        ScriptedAnswer(reset=True),
        ScriptedAnswer(text="cut", cut_after=10),
        ScriptedAnswer(body=b"oops"),
        ScriptedAnswer(tools=[("bash", {"command": "echo one"}), ("bash", {"command": "echo two"})], usage=None),
        call("validate", {}),
        SUBMIT,
    ]
    prices = tmp_path / "prices.json"
    prices.write_text('{"openai/scripted": {"prompt": 1, "completion": 2}}')
    with ScriptedModelServer(answers) as server:
        done, (episode, run) = runs.play(server, "-M", f"prices={prices}")
    assert done.returncode == 0, done.stderr
    assert (episode["status"], episode["exit_reason"]) == ("completed", "submitted")
    assert episode["model"] == "openai/scripted"
    # One answer came without usage figures.
    assert episode["cost_usd"] is None
    assert episode["tokens"]["prompt"] > 500
    assert len(server.requests) == len(answers)
    events = [json.loads(line) for line in Path(episode["dir"], "trajectory.jsonl").read_text().splitlines()]
    calls = [event for event in events if event["type"] == "model"]
    assert [one["call"] for one in calls] == list(range(1, 10))
    assert all(one["cost_usd"] > 0 for one in calls if not one["estimated"])
    assert sum(one["estimated"] for one in calls) == 1
    assert calls[1]["tool_calls"][0]["arguments"] is None
    assert run["completed"] == 1
    # One of them says that the server fails again and again.
    assert len(done.stderr.splitlines()) <= 5, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("stream", ["false", "true"])
def test_the_key_is_nowhere(runs: Runs, stream: str) -> None:
    answers: list[Answer] = [
        call("bash", {"command": SPY}),
        f"I know {CANARY}!",
        call("bash", '{"command": "echo \\u0073k-canary-3f9d27b1c0"}'),
        ScriptedAnswer(
            tools=[(f"tool-{CANARY}", {CANARY: [CANARY]})],
            fields={"reasoning_content": CANARY},
            answer_fields={"model": CANARY},
        ),
        call("bash", {"command": f"echo {CANARY}"}),
        call("bash", {"command": "echo $OPENAI_API_KEY $MY_KEY"}),
        error_answer(500, f"Failure with {CANARY}"),
        SUBMIT,
    ]
    options = ("-M", "api_key_variable=MY_KEY", "-M", f"stream={stream}", "-M", "cache=replies", "--run-id", "one")
    keys = {"MY_KEY": CANARY, "OPENAI_API_KEY": CANARY}
    with ScriptedModelServer(answers, key=CANARY) as server:
        done, (episode, _) = runs.play(server, *options, **keys)
    assert done.returncode == 0, done.stderr
    assert episode["exit_reason"] == "submitted"
    outputs = done.stdout + done.stderr
    # The provider refuses it, and repeats it.
    for fault in (wrong_key(CANARY), error_answer(400, f"Bad {CANARY}")):
        with ScriptedModelServer([fault] * 9) as server:
            failed, (episode, _) = runs.play(server, "-M", "api_key_variable=MY_KEY", **keys)
        assert failed.returncode == 1
        assert episode["status"] == "infrastructure_failure"
        outputs += failed.stdout + failed.stderr
    assert "refuses the key" in outputs
    assert "MY_KEY" in outputs
    assert CANARY not in outputs
    looked = 0
    for path in runs.folder.rglob("*"):
        if path.is_file():
            looked += 1
            assert CANARY.encode() not in path.read_bytes(), path
    assert looked > 20


def test_what_is_said_with_all_logs_on(runs: Runs) -> None:
    with ScriptedModelServer([error_answer(400, f"Bad {CANARY}")] * 9) as server:
        arguments = ("--model", "openai/x", "-M", f"base_url={server.url}", "-M", "api_key_variable=MY_KEY")
        done = runs("--debug", "-vv", "run", "games/blotto", "--agent", "obedient", *arguments, MY_KEY=CANARY)
    assert done.returncode == 1
    assert CANARY not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("anthropic/claude-x", "set the environment variable ANTHROPIC_API_KEY"),
        ("antropic/claude-x", "Did you mean 'anthropic'"),
    ],
)
def test_what_is_missing_ends_with_2(runs: Runs, model: str, says: str) -> None:
    done = runs("run", "games/blotto", "--agent", "obedient", "--model", model)
    assert done.returncode == 2
    assert says in done.stderr
    assert not (runs.folder / "runs").exists()


def test_a_budget_of_money(runs: Runs, tmp_path: Path) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text('{"openai/scripted": {"prompt": 100, "completion": 100}}')
    with ScriptedModelServer(lambda _: call("bash", {"command": "ls"})) as server:
        options = ("-M", f"prices={prices}", "-M", "answer_tokens=100", "--max-cost", "0.5")
        done, (episode, _) = runs.play(server, *options)
    assert done.returncode == 0, done.stderr
    assert (episode["status"], episode["exit_reason"], episode["limit"]) == ("completed", "max_cost", "max_cost")
    assert 0.2 < episode["cost_usd"] <= 0.5
    assert len(server.requests) > 1


def test_models_are_listed(runs: Runs) -> None:
    listed = {row["id"]: row for row in json.loads(runs("models", "--json").stdout)}
    assert listed["openai"]["distribution"] == "mlgym-model-litellm"
    assert {"anthropic", "gemini", "litellm", "hosted_vllm"} <= set(listed)


def test_a_runner_that_is_killed_while_it_asks_has_spent_that(runs: Runs) -> None:
    late = ScriptedAnswer(text="late", delay=100)
    with ScriptedModelServer([call("bash", {"command": "ls"}), late]) as server:
        model = ("--model", "openai/scripted", "-M", f"base_url={server.url}", "--max-tokens", "100000")
        process = runs.begin("run", "games/blotto", "--agent", "obedient", *model, "--run-id", "one")
        try:
            while len(server.requests) < 2:
                assert process.poll() is None
                time.sleep(0.05)
        finally:
            process.kill()
            process.wait()
    usage, _ = used_before(runs.folder / "runs" / "one", None)
    assert (usage.calls, usage.unknown) == (2, 2)
    # The second request holds the first one's answer, and what came of it.
    assert usage.prompt_tokens > 500
    resumed = runs("resume", "one", "--max-run-tokens", str(usage.prompt_tokens), "--json")
    [episode, _] = [json.loads(line) for line in resumed.stdout.splitlines()]
    assert (episode["status"], episode["limit"]) == ("interrupted", "max_run_tokens")


@pytest.mark.slow
def test_repeats_that_are_resumed_get_their_own_answers_from_the_cache(runs: Runs) -> None:
    answers = [call("bash", {"command": f"echo {number}"}) for number in range(2)]
    with ScriptedModelServer([answers[0], SUBMIT, answers[1], SUBMIT]) as server:
        options = ("-M", "cache=replies", "--repeat", "2", "--run-id", "one")
        done, [*_, run] = runs.play(server, *options)
        assert done.returncode == 0, done.stderr
        folders = sorted((Path(run["dir"]) / "episodes").iterdir(), key=lambda folder: folder.name.split("-")[3])
        for folder in folders[1:]:
            # As if it had not been finished.
            (folder / "episode.json").unlink()
        again = runs("resume", "one", "--json")
        assert again.returncode == 0, again.stderr
        assert len(server.requests) == 4
    texts = [
        event["arguments"].get("command")
        for folder in folders
        for event in map(json.loads, (folder / "trajectory.jsonl").read_text().splitlines())
        if event["type"] == "action"
    ]
    assert texts == ["echo 0", None, "echo 1", None]


def test_what_a_budget_cannot_know_is_said(runs: Runs) -> None:
    with ScriptedModelServer([SUBMIT]) as server:
        done, _ = runs.play(server, "--max-cost", "1")
    assert "The price of openai/scripted is unknown" in done.stderr
    assert "they get up to 4096 tokens each" in done.stderr


def test_options_that_do_not_exist_are_told_from_those_that_do(runs: Runs) -> None:
    done = runs("run", "games/blotto", "--agent", "obedient", "--model", "openai/x", "-M", "retrys=3")
    assert done.returncode == 2
    assert "Did you mean 'retries'" in done.stderr


def test_answers_are_shown_on_a_terminal_while_they_are_said(runs: Runs) -> None:
    said = "these words come slowly " + "and slowly " * 20
    with ScriptedModelServer([ScriptedAnswer(text=said, slow=0.0005), SUBMIT]) as server:
        model = ("--model", "openai/scripted", "-M", f"base_url={server.url}", "-M", "stream=true")
        main, terminal = os.openpty()
        process = subprocess.Popen(
            [sys.executable, "-c", PLAY, "run", "games/blotto", "--agent", "obedient", *model],
            cwd=runs.folder,
            env=os.environ | {"PYTHONPATH": str(runs.folder / "site"), "COLUMNS": "120", "TERM": "xterm"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=terminal,
        )
        os.close(terminal)
        shown = b""
        # The terminal breaks when nobody writes to it any more.
        with contextlib.suppress(OSError):
            while part := os.read(main, 65536):
                shown += part
        os.close(main)
        assert process.wait() == 0
    assert b"these words come" in shown


def test_a_provider_that_asks_to_wait_for_longer_than_the_episode_lasts(runs: Runs) -> None:
    with ScriptedModelServer([call("bash", {"command": "ls"}), rate_limit(after=800)]) as server:
        done, (episode, _) = runs.play(server, "--max-time", "600")
        assert len(server.requests) == 2
    assert done.returncode == 0, done.stderr
    assert (episode["status"], episode["exit_reason"], episode["limit"]) == ("completed", "max_time", "max_time")
