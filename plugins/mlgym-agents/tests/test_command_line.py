"""The agents from the command line: prompts in both forms, secrets, and runs that are ended and resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mlgym_core.sandbox.spawning import with_interrupts
from mlgym_core.testing import ScriptedAnswer, ScriptedModelServer

SUPPORT = Path(__file__).parent / "support"
CANARY = "sk-canary-5b1e77"
PLUGIN = """
from mlgym_core import TaskMetric, TaskSpec, hookimpl

MLGYM_API = 1

@hookimpl
def mlgym_tasks():
    yield TaskSpec("small/number", "one_number:Number", "Write a number", metrics=(TaskMetric("value"),))
"""
# Says all that it can find of its surroundings.
SPY = "cat notes.txt; env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'"


class CommandLine:
    """The command line in a folder of its own, with the small task."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        metadata = folder / "site" / "small-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: small\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text("[mlgym]\nsmall = small_plugin\n")
        (folder / "site" / "small_plugin.py").write_text(PLUGIN)
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("MLGYM_") and not name.endswith(("_API_KEY", "_BASE_URL"))
        }
        paths = [str(folder / "site"), str(SUPPORT)]
        self._environment |= {"PYTHONPATH": os.pathsep.join(paths), "MLGYM_CACHE_DIR": str(cache), "MY_KEY": CANARY}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `mlgym` and return at once."""
        command = [sys.executable, "-c", "from mlgym_core.cli import main; main()", *arguments]
        return subprocess.Popen(
            with_interrupts(command),
            cwd=self.folder,
            env=self._environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Run `mlgym` to its end, and return its exit code and what it printed."""
        process = self.start(*arguments)
        output, error = process.communicate(timeout=200)
        return process.returncode, output, error


@pytest.fixture
def mlgym(tmp_path: Path, cache: Path) -> CommandLine:
    return CommandLine(tmp_path, cache)


def arguments(server: ScriptedModelServer, agent: str) -> list[str]:
    model = ["--model", "openai/scripted", "-M", f"base_url={server.url}", "-M", "api_key_variable=MY_KEY"]
    return ["run", "small/number", "--agent", agent, *model, "--json"]


def command(agent: str, text: str) -> ScriptedAnswer:
    """Return an answer that has the agent run a command, and makes a valid submission."""
    if agent == "react":
        return ScriptedAnswer(tools=[("bash", {"command": text})])
    if agent == "thought-action":
        return ScriptedAnswer(text=f"I look.\n```\n{text}\n```")
    return ScriptedAnswer(text=f"A plan.\nFILE: answer.txt\n```\n0.5\n```\nRUN:\n```\n{text}\n```")


def submission(agent: str) -> ScriptedAnswer:
    if agent == "react":
        return ScriptedAnswer(tools=[("submit", {})])
    # What is no solution ends a tree search.
    return ScriptedAnswer(text="Done.\n```\nsubmit\n```")


AGENTS = ("react", "thought-action", "tree-search")


@pytest.mark.parametrize("agent", AGENTS)
def test_the_prompt_is_shown_in_both_forms(mlgym: CommandLine, agent: str) -> None:
    with ScriptedModelServer([submission(agent)] * 9) as server:
        code, shown, error = mlgym(*arguments(server, agent), "--show-prompt")
        assert code == 0, error
        assert not server.requests
        _, text, _ = mlgym(
            *(argument for argument in arguments(server, agent) if argument != "--json"), "--show-prompt"
        )
        assert mlgym(*arguments(server, agent))[0] == 0
    document = json.loads(shown)
    sent = server.requests[0].body
    assert sent["messages"] == document["messages"]
    assert [tool["function"] for tool in sent.get("tools", ())] == document["tools"]
    for message in sent["messages"]:
        assert f"--- {message['role']}\n{message['content']}\n" in text
    assert ("--- tool bash" in text) == (agent == "react")


@pytest.mark.slow
@pytest.mark.parametrize("agent", AGENTS)
def test_there_is_no_key_to_reveal(mlgym: CommandLine, agent: str) -> None:
    answers = [command(agent, SPY), command(agent, "echo $MY_KEY $OPENAI_API_KEY"), *[submission(agent)] * 5]
    with ScriptedModelServer(answers, key=CANARY) as server:
        code, output, error = mlgym(*arguments(server, agent), "--run-id", "r")
    assert code == 0, error
    result = json.loads(output.splitlines()[0])
    # What is asked for in a file is done by nobody.
    assert result["final"] == (0.5 if agent == "tree-search" else 0.0)
    assert CANARY not in output + error
    assert CANARY not in json.dumps([request.body for request in server.requests])
    for path in mlgym.folder.rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path


class Stalling:
    """Answers that come to a halt in one phase of an episode, until `go_on`."""

    def __init__(self, agent: str, phase: str) -> None:
        self.reached = threading.Event()
        self.go_on = False
        self._agent = agent
        self._phase = phase
        self._count = 0

    def __call__(self, body: Mapping[str, Any]) -> ScriptedAnswer:
        if len(body["messages"]) == 2 and "A plan." not in json.dumps(body):
            self._count = 0
        self._count += 1
        if self._count == 1:
            return command(self._agent, "echo 0.5 > answer.txt")
        if self._count == 2 and not self.go_on:
            self.reached.set()
            if self._phase == "model":
                return ScriptedAnswer(text="Late.", delay=60)
            return command(self._agent, "sleep 600")
        return submission(self._agent)


def stopped(process: subprocess.Popen[str], how: signal.Signals) -> Iterator[str]:
    process.send_signal(how)
    yield from process.communicate(timeout=100)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("phase", ["model", "command"])
@pytest.mark.parametrize("agent", AGENTS)
def test_a_run_that_was_ended_is_resumed(mlgym: CommandLine, agent: str, phase: str, how: signal.Signals) -> None:
    script = Stalling(agent, phase)
    with ScriptedModelServer(script) as server:
        process = mlgym.start(*arguments(server, agent), "--run-id", "r")
        assert script.reached.wait(120)
        if phase == "command":
            # Until the command has begun: its action is recorded before.
            [path] = (mlgym.folder / "runs" / "r").glob("episodes/*/trajectory.jsonl")
            while "sleep 600" not in "".join(
                line for line in path.read_text().splitlines() if '"type": "action"' in line
            ):
                assert process.poll() is None
                time.sleep(0.05)
        *_, error = stopped(process, how)
        assert process.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL), error
        plan = json.loads((mlgym.folder / "runs" / "r" / "run.json").read_text())["plan"]
        script.go_on = True
        code, output, error = mlgym("resume", "r", "--json")
    assert code == 0, error
    result = json.loads(output.splitlines()[0])
    assert (result["status"], result["exit_reason"], result["final"]) == ("completed", "submitted", 0.5)
    assert json.loads((mlgym.folder / "runs" / "r" / "run.json").read_text())["plan"] == plan
    [episode] = (mlgym.folder / "runs" / "r" / "episodes").iterdir()
    assert (episode / "attempts" / "1" / "trajectory.jsonl").exists()


def test_info_tells_the_options(mlgym: CommandLine) -> None:
    code, text, _ = mlgym("info", "tree-search")
    assert code == 0
    assert "debug_depth  (int; default: 3)" in text
    assert "How many repairs in a row" in text
    facts = json.loads(mlgym("info", "thought-action", "--json")[1])
    assert facts["limits"] == {"max_steps": 50, "max_cost": 4.0}
    assert "search_dir" in facts["tools"]
    by_name = {option["name"]: option for option in facts["options"]}
    assert by_name["top_p"]["default"] == 0.95
    assert all(option["description"] for option in facts["options"])


def test_options_that_are_none(mlgym: CommandLine) -> None:
    with ScriptedModelServer() as server:
        code, _, error = mlgym(*arguments(server, "tree-search"), "-A", "draft=2")
        assert code == 2
        assert "Did you mean 'drafts'" in error
        code, _, error = mlgym(*arguments(server, "react"), "-M", "retry=2")
    assert code == 2
    assert "Did you mean 'retries'" in error


def test_the_tools_are_not_installed(mlgym: CommandLine) -> None:
    with ScriptedModelServer() as server:
        os_environment = mlgym._environment
        os_environment["MLGYM_DISABLE"] = "tools"
        code, _, error = mlgym(*arguments(server, "thought-action"))
    assert code == 2
    assert "pip install mlgym-tools" in error
