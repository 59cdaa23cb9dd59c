"""The agent `exec`: real sandboxes, real programs in them, LiteLLM's own code behind the endpoint."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mlgym_agents import plugin
from mlgym_core import EpisodeResult, Host, TaskMetric, TaskSpec, UsageError, hookimpl
from mlgym_core.runner import Run, RunPlan
from mlgym_core.testing import ScriptedAnswer, ScriptedModelServer
from mlgym_core.testing.model_server import Answer, Script, context_too_long, error_answer, server_error
from mlgym_model_litellm import plugin as litellm_plugin

SUPPORT = Path(__file__).parent / "support"
CANARY = "sk-canary-5d1f0a7c"
# For programs in the sandbox.
ASK = """\
import json, os, sys, urllib.request, urllib.error
def ask(body, path="/chat/completions", method="POST"):
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + path, data=data, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
def say(text="hello", **more):
    return ask({"model": "any", "messages": [{"role": "user", "content": text}], **more})
def tell(value):
    print("=>" + json.dumps(value), flush=True)
"""


class Tasks:
    """Registers the small task."""

    MLGYM_API = 1

    @hookimpl
    def mlgym_tasks(self) -> Iterator[TaskSpec]:
        """Yield it."""
        yield TaskSpec("small/number", "one_number:Number", "Write a number", metrics=(TaskMetric("value"),))


class Player:
    """Plays episodes in which a program in the sandbox does the work.

    Attributes:
        requests: The bodies that the model's server was sent in the last episode.
        events: What was recorded of it.
        folder: Where it was recorded.
    """

    def __init__(self, folder: Path, sandbox: str) -> None:
        self._folder = folder
        self._sandbox = sandbox
        self._host = Host.of(Tasks(), litellm_plugin, plugin)
        self._runs = 0
        self.requests: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.folder = folder

    async def __call__(
        self,
        script: Script,
        command: str,
        options: Mapping[str, str] | None = None,
        *,
        model: str | None = "openai/scripted",
        model_options: Mapping[str, str] | None = None,
        key: str | None = None,
        **limits: Any,
    ) -> EpisodeResult:
        self._runs += 1
        self.folder = self._folder / str(self._runs)
        with ScriptedModelServer(script, key=key) as server:
            of_model = {"base_url": server.url, "retries": "0", **(model_options or {})}
            run = Run.start(
                self._host,
                self.folder,
                RunPlan(
                    tasks=("small/number",),
                    agents=("exec",),
                    agent_options={"command": command, **(options or {})},
                    model=model,
                    model_options=of_model if model else {},
                    sandbox=self._sandbox,
                    attempts=1,
                    **limits,
                ),
            )
            [result] = [result async for result in run.play()]
        self.requests = [request.body for request in server.requests]
        [record] = self.folder.glob("episodes/*/trajectory.jsonl")
        self.events = [json.loads(line) for line in record.read_text().splitlines()]
        return result

    async def python(self, script: Script, program: str, **more: Any) -> EpisodeResult:
        """Play an episode with a Python program, which has `ask` and `say`."""
        return await self(script, f"cat > /tmp/p.py <<'END'\n{ASK}{program}\nEND\npython3 /tmp/p.py", **more)

    @property
    def output(self) -> str:
        """What the command printed."""
        [observation] = [event for event in self.events if event["type"] == "observation"]
        return str(observation["text"])

    @property
    def answers(self) -> list[Any]:
        """What the program told."""
        return [json.loads(line[2:]) for line in self.output.splitlines() if line.startswith("=>")]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the task is prepared once for all."""
    return tmp_path_factory.mktemp("cache")


def player(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, sandbox: str) -> Player:
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_BASE_URL", "_API_BASE")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MLGYM_CACHE_DIR", str(cache))
    monkeypatch.syspath_prepend(SUPPORT)
    return Player(folder, sandbox)


@pytest.fixture
def play(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Player:
    return player(tmp_path, cache, monkeypatch, "bwrap")


async def test_an_episode(play: Player) -> None:
    program = """
status, text = say("How are you?", temperature=0.5, max_tokens=9, user="me")
tell([status, json.loads(text)])
os.system("echo 0.5 > answer.txt; mlgym-validate; mlgym-submit; sleep 100")
"""
    result = await play.python(["Fine."], program)
    assert result.error is None
    assert (result.status, result.exit_reason, result.final, result.steps) == ("completed", "submitted", 0.5, 2)
    assert (result.validations, result.best_validation) == (1, 0.5)
    assert result.tokens.completion > 0
    [[status, answer]] = play.answers
    assert status == 200
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "Fine."}
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"]
    [request] = play.requests
    assert request["messages"] == [{"role": "user", "content": "How are you?"}]
    assert (request["temperature"], request["max_tokens"]) == (0.5, 9)
    assert "value = 0.5" in play.output
    assert "Validations left: 19" in play.output
    assert [event["type"] for event in play.events].count("model") == 1


async def test_tools_and_streams(play: Player) -> None:
    program = """
tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
status, text = say("Look.", tools=[tool], stream=True, stream_options={"include_usage": True})
lines = [line.removeprefix("data: ") for line in text.splitlines() if line]
tell([status, lines[-1], [json.loads(line) for line in lines[:-1]]])
call = {"id": "call_0", "type": "function", "function": {"name": "look", "arguments": '{"at": "it"'}}
messages = [{"role": "developer", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Look."}]},
    {"role": "assistant", "content": "", "tool_calls": [call], "surprise": {"x": 1}},
    {"role": "tool", "tool_call_id": "call_0", "content": "a wall"}]
tell(ask({"messages": messages, "tools": [tool], "tool_choice": "auto"}))
tell(ask(None, "/models", "GET"))
tell(ask(None, "/models/openai/scripted", "GET"))
tell(ask(None, "/completions", "GET"))
"""
    result = await play.python([ScriptedAnswer(text="I look.", tools=[("look", {"at": "it"})]), "A wall."], program)
    assert (result.status, result.exit_reason, result.steps) == ("completed", "agent_exit", 2)
    [status, last, chunks], second, models, model, other = play.answers
    assert (status, last) == (200, "[DONE]")
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]
    assert "".join(delta.get("content") or "" for delta in deltas) == "I look."
    [call] = [one for delta in deltas for one in delta.get("tool_calls", ())]
    assert (call["index"], call["function"]) == (0, {"name": "look", "arguments": '{"at": "it"}'})
    assert chunks[-2]["choices"][0]["finish_reason"] == "tool_calls"
    assert chunks[-1]["usage"]["total_tokens"] > 0
    assert json.loads(second[1])["choices"][0]["message"]["content"] == "A wall."
    sent = play.requests[1]["messages"]
    assert [message["role"] for message in sent] == ["system", "user", "assistant", "tool"]
    assert sent[1]["content"] == "Look."
    assert "surprise" not in json.dumps(sent)
    assert sent[2]["tool_calls"][0]["function"]["arguments"] == "{}"
    assert json.loads(models[1])["data"][0]["id"] == json.loads(model[1])["id"] == "openai/scripted"
    assert other[0] == 404


async def test_what_the_program_is_given(play: Player) -> None:
    command = 'env; echo "TASK=$MLGYM_TASK"; cat "$MLGYM_TASK_FILE"; which mlgym-validate; pwd; mlgym-submit --help'
    result = await play([], command, max_time=600)
    assert (result.status, result.exit_reason, result.steps) == ("completed", "agent_exit", 0)
    for says in (
        "OPENAI_API_KEY=mlgym",
        "OPENAI_BASE_URL=http://127.0.0.1:",
        "MLGYM_MODEL=openai/scripted",
        "TASK=Write a number into answer.txt. {{ this }} is {% no template",
        "`value` of `answer.txt`",
        "/.mlgym/bin/mlgym-validate",
        "/workspace",
        "usage: mlgym-submit",
        "- 50 steps",
    ):
        assert says in play.output, says


async def test_the_key_is_not_in_the_sandbox(play: Player, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPTED_KEY", CANARY)
    program = """
tell(say())
tell(say())
found = "".join(open(f"/proc/{pid}/environ", errors="replace").read() for pid in os.listdir("/proc")
    if pid.isdigit() and os.access(f"/proc/{pid}/environ", os.R_OK))
print(found.replace(chr(0), chr(10)))
os.system("grep -rsl sk-cana[r]y / --exclude-dir=proc --exclude-dir=sys --exclude-dir=usr")
"""
    answers: list[Answer] = ["fine", error_answer(400, f"What is {CANARY}?")]
    result = await play.python(answers, program, model_options={"api_key_variable": "SCRIPTED_KEY"}, key=CANARY)
    assert (result.status, result.steps) == ("completed", 2)
    assert [status for status, _ in play.answers] == [200, 400]
    assert "What is" in play.answers[1][1]
    for path in play.folder.rglob("*"):
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path


GOOD: dict[str, Any] = {"messages": [{"role": "user", "content": "x"}]}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
DEEP = '{"type":"function","function":{"name":"f","parameters":' + '{"a":' * 40 + "1" + "}" * 40 + "}}"
BAD_REQUESTS: dict[str, bytes | dict[str, Any]] = {
    "nothing": b"",
    "no JSON": b"{",
    "no text": b"\xff\xfe\x00",
    "a list": b"[]",
    "NaN": b'{"messages": [], "temperature": NaN}',
    "infinity": b'{"messages": [{"role": "user", "content": "x"}], "temperature": 1e999}',
    "a long number": b'{"messages": ' + b"9" * 5000 + b"}",
    "very deep": b"[" * 500_000,
    "deep objects": b'{"messages": ' + b'{"a":' * 100_000,
    "many values": b'{"messages": [' + b"0," * 1_500_000 + b"0]}",
    "a deep schema": f'{{"messages":[{{"role":"user","content":"x"}}],"tools":[{DEEP}]}}'.encode(),
    "half a pair": b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
    "half a pair in a schema": b'{"messages": [{"role": "user", "content": "x"}], "tools": [{"type": "function", '
    b'"function": {"name": "f", "parameters": {"\\udc00": 1}}}]}',
    "infinity in a schema": b'{"messages": [{"role": "user", "content": "x"}], "tools": [{"type": "function", '
    b'"function": {"name": "f", "parameters": {"a": 1e999}}}]}',
    "no messages": {},
    "empty": {"messages": []},
    "null": {"messages": [None]},
    "no user": {"messages": [{"role": "system", "content": "x"}]},
    "another role": {"messages": [{"role": "root", "content": "x"}]},
    "a role that is a list": {"messages": [{"role": ["user"], "content": "x"}]},
    "no content": {"messages": [{"role": "user"}]},
    "a number": {"messages": [{"role": "user", "content": 1}]},
    "an address": {
        "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}]
    },
    "no call": {"messages": [{"role": "tool", "tool_call_id": "a", "content": "x"}]},
    "no result": {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [CALL]}]},
    "calls twice": {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [CALL, CALL]}]},
    "calls that are none": {"messages": [{"role": "assistant", "tool_calls": "x"}]},
    "a tool without a name": GOOD | {"tools": [{"type": "function", "function": {}}]},
    "another kind of tool": GOOD | {"tools": [{"type": "web_search"}]},
    "a schema that is none": GOOD | {"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]},
    "two answers": GOOD | {"n": 2},
    "true answers": GOOD | {"n": True},
    "a forced call": GOOD | {"tool_choice": "required"},
    "old functions": GOOD | {"functions": [{"name": "f"}]},
    "probabilities": GOOD | {"logprobs": True},
    "a schema for answers": GOOD | {"response_format": {"type": "json_object"}},
    "a dear service": GOOD | {"service_tier": "priority"},
    "much effort": GOOD | {"reasoning_effort": "high"},
    "hot": GOOD | {"temperature": 9},
    "a temperature in words": GOOD | {"temperature": "hot"},
    "no tokens": GOOD | {"max_tokens": 0},
    "too many tokens": GOOD | {"max_tokens": 10**400},
    "a part of a token": GOOD | {"max_tokens": 1.5},
    "stops": GOOD | {"stop": [1]},
    "a seed in words": GOOD | {"seed": "x"},
    "stream options": GOOD | {"stream_options": 1},
}


async def test_nonsense_is_answered_and_never_asked(play: Player, tmp_path: Path) -> None:
    # The files are named by numbers: the sandbox gets them through the command.
    bodies = {
        name: body if isinstance(body, bytes) else json.dumps(body).encode() for name, body in BAD_REQUESTS.items()
    }
    small = {name: body.decode("latin-1") for name, body in bodies.items() if len(body) < 10_000}
    large = {
        "very deep": "'[' * 500_000",
        "deep objects": """'{"messages": ' + '{"a":' * 100_000""",
        "many values": """'{"messages": [' + '0,' * 1_500_000 + '0]}'""",
        "too large": "'x' * (17 << 20)",
    }
    assert set(small) | set(large) == set(bodies) | {"too large"}
    program = f"bodies = {small!r}\n" + "".join(f"bodies[{name!r}] = {text}\n" for name, text in large.items())
    program += """
for name, body in bodies.items():
    status, text = ask(body.encode("latin-1"))
    tell([name, status, json.loads(text)["error"]["message"]])
tell(say()[0])
"""
    result = await play.python(["fine"], program)
    assert (result.status, result.exit_reason, result.steps) == ("completed", "agent_exit", 1)
    *refused, last = play.answers
    assert last == 200
    assert len(refused) == len(bodies) + 1
    assert {(name, status) for name, status, _ in refused if status != 400} == {("too large", 413)}
    assert all(message for _, _, message in refused)
    assert len(play.requests) == 1


async def test_steps_are_calls_of_the_model(play: Player) -> None:
    program = """
for number in range(100):
    status, text = say(str(number))
    tell([status, text])
    if status != 200:
        os.system("echo 0.25 > answer.txt")
        import time
        time.sleep(1000)
"""
    result = await play.python(lambda _: "ok", program, max_steps=3)
    assert (result.status, result.exit_reason, result.limit) == ("completed", "max_steps", "max_steps")
    assert (result.steps, len(play.requests)) == (3, 3)
    assert [status for status, _ in play.answers] == [200, 200, 200, 402]
    assert json.loads(play.answers[-1][1])["error"]["code"] == "max_steps"
    assert "The command was ended" in play.output


@pytest.mark.parametrize("limit", ["max_cost", "max_tokens", "max_run_cost"])
async def test_a_budget_ends_the_episode(play: Player, tmp_path: Path, limit: str) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text('{"openai/scripted": {"prompt": 100, "completion": 100}}')
    model_options = {"prices": str(prices), "answer_tokens": "100"}
    limits: dict[str, Any] = {limit: 5000 if limit == "max_tokens" else 0.2}
    program = """
os.system("echo 0.5 > answer.txt")
while True:
    say("x" * 2000)
"""
    result = await play.python(lambda _: "ok", program, model_options=model_options, **limits)
    assert (result.status, result.limit, result.final) == ("completed", limit, 0.5)
    assert 1 < len(play.requests) < 50


async def test_calls_that_a_program_leaves_behind_are_paid_for(play: Player) -> None:
    program = """
import threading, time
for _ in range(4):
    threading.Thread(target=say, kwargs={"max_tokens": 100}, daemon=True).start()
time.sleep(3)
os._exit(0)
"""
    # Providers go on with an answer that nobody waits for.
    answers = [ScriptedAnswer(text="word " * 100, delay=30.0)] * 4
    result = await play.python(answers, program, max_tokens=100_000)
    assert (result.status, result.exit_reason, result.cost_usd) == ("completed", "agent_exit", None)
    begun = [event for event in play.events if event["type"] == "model_call"]
    assert result.tokens.prompt == sum(event["request_tokens"] for event in begun)
    assert 0 < result.tokens.completion <= 100 * len(begun)


async def test_a_run_without_money_is_not_the_baselines(play: Player, tmp_path: Path) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text('{"openai/scripted": {"prompt": 100, "completion": 100}}')
    result = await play.python([], "say()", model_options={"prices": str(prices)}, max_run_cost=0.000001)
    assert (result.status, result.limit, len(play.requests)) == ("interrupted", "max_run_cost", 0)


async def test_failures_that_are_the_requests(play: Player) -> None:
    # The last one: the server breaks on what it is sent, but answers the simplest question.
    answers: list[Answer] = [
        "fine",
        error_answer(400, "no such thing"),
        error_answer(422, "no"),
        context_too_long(),
        server_error(),
        "OK",
    ]
    program = "for number in range(5):\n    tell(say(str(number)))"
    result = await play.python(answers, program)
    assert (result.status, result.exit_reason, result.steps) == ("completed", "agent_exit", 5)
    assert [status for status, _ in play.answers] == [200, 400, 400, 400, 400]
    assert "no such thing" in play.answers[1][1]
    assert "context_length_exceeded" in play.answers[3][1]
    assert "failed on this request" in play.answers[4][1]


@pytest.mark.parametrize("answers", [[server_error()] * 2, [error_answer(400, "bad option")] * 2])
async def test_failures_that_are_the_providers(play: Player, answers: list[ScriptedAnswer]) -> None:
    result = await play.python(answers, "tell(say())\nimport time\ntime.sleep(1000)")
    assert (result.status, result.exit_reason) == ("infrastructure_failure", "error")
    assert len(play.requests) == 2
    assert play.answers[0][0] == 400


async def test_validations_at_the_same_time(play: Player) -> None:
    command = "for i in 1 2 3 4 5; do mlgym-validate & done; wait; echo 0.5 > answer.txt; (mlgym-validate &); true"
    result = await play([], command, max_validations=3)
    assert (result.status, result.exit_reason, result.final) == ("completed", "agent_exit", 0.5)
    assert (result.validations, result.steps) == (3, 3)
    assert play.output.count("Validation score") == 3
    assert play.output.count("No validation is left") == 2


async def test_tools_that_are_not_on_offer(play: Player) -> None:
    program = """
import urllib.request, urllib.error
for name in ("validate", "submit"):
    try:
        urllib.request.urlopen(urllib.request.Request(os.environ["MLGYM_URL"] + "/" + name, method="POST"))
    except urllib.error.HTTPError as error:
        tell(error.code)
os.system("which mlgym-submit || echo none")
"""
    result = await play.python([], program, tools=("bash",))
    assert (result.status, result.exit_reason, result.validations) == ("completed", "agent_exit", 0)
    assert play.answers == [409, 409]
    assert "none" in play.output


async def test_a_command_that_takes_too_long(play: Player, caplog: pytest.LogCaptureFixture) -> None:
    result = await play([], "echo 0.5 > answer.txt; sleep 1000", {"timeout": "2"})
    assert (result.status, result.exit_reason, result.final) == ("completed", "agent_exit", 0.5)
    assert "still running after 2 s" in play.output
    assert "Give it more time with --max-time or -A timeout=SECONDS" in caplog.text


@pytest.mark.parametrize("limit", ["max_time", "max_working_time"])
async def test_time_ends_the_episode(play: Player, limit: str) -> None:
    limits: dict[str, Any] = {limit: 4.0}
    result = await play([], "echo 0.5 > answer.txt; sleep 1000", **limits)
    assert (result.status, result.exit_reason, result.limit, result.final) == ("completed", "max_time", limit, 0.5)


@pytest.mark.parametrize("limit", ["max_time", "max_working_time"])
async def test_time_that_does_not_suffice_to_begin_is_no_failure(play: Player, limit: str) -> None:
    limits: dict[str, Any] = {limit: 1e-6}
    result = await play([], "sleep 1000", **limits)
    assert (result.status, result.exit_reason, result.limit, result.final) == ("completed", "max_time", limit, 0.0)


async def test_waiting_for_the_model_is_no_working_time(play: Player) -> None:
    result = await play.python([ScriptedAnswer(text="late", delay=6.0)], "tell(say())", max_working_time=5.0)
    assert (result.status, result.exit_reason) == ("completed", "agent_exit")
    assert play.answers[0][0] == 200


@pytest.mark.parametrize(
    "command", ["echo 0.5 > answer.txt; kill -9 $$", "echo 0.5 > answer.txt; kill -9 -1", "exit 3"]
)
async def test_programs_that_end_everything(play: Player, command: str) -> None:
    result = await play([], command)
    assert (result.status, result.exit_reason) == ("completed", "agent_exit")
    assert result.final == (0.5 if "echo" in command else 0.0)


async def test_a_status_is_told(play: Player, caplog: pytest.LogCaptureFixture) -> None:
    await play([], "no-such-agent --now", model=None)
    assert "no-such-agent" in caplog.text
    assert "127" in caplog.text


async def test_others_share_the_endpoint_and_do_not_take_it(play: Player) -> None:
    program = """
import socket, subprocess, urllib.parse
address = urllib.parse.urlsplit(os.environ["OPENAI_BASE_URL"])
for reuse in (0, 1):
    thief = socket.socket()
    thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuse)
    try:
        thief.bind(("127.0.0.1", address.port))
        thief.listen()
        tell("taken")
    except OSError:
        tell("refused")
idle = []
for number in range(1000):
    one = socket.socket()
    one.setblocking(False)
    one.connect_ex(("127.0.0.1", address.port))
    idle.append(one)
for one in idle:
    one.close()
tell(say()[0])
os.environ["OPENAI_BASE_URL"] = f"http://127.0.0.1:{address.port}/guess/v1"
tell(say()[0])
"""
    result = await play.python(["fine"], program)
    assert (result.status, result.steps) == ("completed", 1)
    assert play.answers == ["refused", "refused", 200, 404]


async def test_a_program_that_does_not_learn_is_ended(play: Player, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlgym_agents.exec.endpoint._MOST_REFUSALS", 5)
    result = await play.python([], "while True:\n    ask(b'')")
    assert (result.status, result.exit_reason, result.steps) == ("completed", "agent_exit", 0)


async def test_without_a_sandbox(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play = player(tmp_path, cache, monkeypatch, "process")
    result = await play(["fine"], "echo 0.5 > answer.txt; mlgym-validate; mlgym-submit; sleep 1000")
    assert (result.status, result.exit_reason, result.final) == ("completed", "submitted", 0.5)
    assert result.integrity.flags == ("unisolated",)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"command": " "}, "command is empty"),
        ({"timeout": "-1"}, "timeout is -1"),
        ({"timeout": "nan"}, "timeout is nan"),
        ({"comand": "x"}, "comand"),
    ],
)
async def test_options_that_do_not_fit(play: Player, options: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        await play([], "true", options)


MINI = """\
export MSWEA_CONFIGURED=true MSWEA_COST_TRACKING=ignore_errors LITELLM_LOCAL_MODEL_COST_MAP=True
mini --yolo --exit-immediately --cost-limit 0 --model "openai/$MLGYM_MODEL" --task "$MLGYM_TASK" --output ~/mini.json
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_mini_swe_agent(play: Player) -> None:
    def bash(command: str) -> ScriptedAnswer:
        return ScriptedAnswer(text="I act.", tools=[("bash", {"command": command})])

    answers = [
        bash("cat answer.txt; python3 -c 'import litellm' 2>&1 | tail -1"),
        bash("echo 0.75 > answer.txt && mlgym-validate"),
        bash("mlgym-submit"),
    ]
    result = await play(answers, MINI, {"requirements": "mini-swe-agent==2.4.6"})
    assert result.error is None
    assert (result.status, result.exit_reason, result.final) == ("completed", "submitted", 0.75), play.output
    assert (result.steps, result.validations, len(play.requests)) == (4, 1, 3)
    outputs = [message["content"] for message in play.requests[-1]["messages"] if message["role"] == "tool"]
    # What the agent's own program is made of is not seen by what it starts.
    assert "ModuleNotFoundError" in outputs[0]
    assert "value = 0.75" in outputs[1]
    assert "Write a number into answer.txt." in json.dumps(play.requests[0]["messages"])


async def test_the_text_of_the_task_is_shown_and_can_be_replaced(play: Player, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    source = "{% extends 'exec_task.md.jinja' %}{% block limits %}Hurry, {{ task.id }}.{% endblock %}"
    (prompts / "exec_task.md.jinja").write_text(source)
    plan = RunPlan(
        tasks=("small/number",),
        agents=("exec",),
        agent_options={"command": "true", "prompts": str(prompts), "requirements": "no-such-package-at-all==1"},
        sandbox="bwrap",
    )
    # Nothing is installed for it.
    [(_, [message], _)] = [opening async for opening in Run(play._host, tmp_path, plan).openings()]
    assert message["role"] == "user"
    assert message["content"].startswith("Write a number into answer.txt.")
    assert message["content"].endswith("Hurry, small/number.")
    await play([], 'cat "$MLGYM_TASK_FILE"', {"prompts": str(prompts)}, model=None)
    assert play.output.strip() == message["content"]
