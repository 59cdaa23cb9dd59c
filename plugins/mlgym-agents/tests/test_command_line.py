"""The agents from the command line: prompts in both forms, secrets, and runs that are ended and resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
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
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("MLGYM_") and not name.endswith(("_API_KEY", "_BASE_URL"))
        }
        paths = [str(folder / "site"), str(SUPPORT)]
        self.environment |= {"PYTHONPATH": os.pathsep.join(paths), "MLGYM_CACHE_DIR": str(cache), "MY_KEY": CANARY}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `mlgym` and return at once."""
        command = [sys.executable, "-c", "from mlgym_core.cli import main; main()", *arguments]
        return subprocess.Popen(
            with_interrupts(command),
            cwd=self.folder,
            env=self.environment,
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


AGENTS = ("react", "thought-action", "tree-search")


def arguments(server: ScriptedModelServer, *agents: str) -> list[str]:
    model = ["--model", "openai/scripted", "-M", f"base_url={server.url}", "-M", "api_key_variable=MY_KEY"]
    return ["run", "small/number", *(part for agent in agents for part in ("--agent", agent)), *model, "--json"]


def agent_of(body: Mapping[str, Any]) -> str:
    """Return which agent a request is of."""
    if "tools" in body:
        return "react"
    return "tree-search" if "FILE:" in body["messages"][0]["content"] else "thought-action"


def command(agent: str, text: str) -> ScriptedAnswer:
    """Return an answer that has the agent run a command; that of a tree search also makes a submission."""
    if agent == "react":
        return ScriptedAnswer(tools=[("bash", {"command": text})])
    if agent == "thought-action":
        return ScriptedAnswer(text=f"I look.\n```\n{text}\n```")
    return ScriptedAnswer(text=f"A plan.\nFILE: answer.txt\n```\n0.5\n```\nRUN:\n```\n{text}\n```")


def submission(agent: str) -> ScriptedAnswer:
    if agent == "react":
        return ScriptedAnswer(tools=[("submit", {})])
    # What is no solution, however often it is asked for, ends a tree search.
    return ScriptedAnswer(text="Done.\n```\nsubmit\n```")


class Script:
    """Answers to each agent in turn: commands, and then the submission.

    Args:
        commands: The commands.
        stalls: Whether the second answer never comes (`model`), or is a command that does not end (`command`).

    Attributes:
        first: The first request of each agent.
        stalled: The agents that have come to a halt.
    """

    def __init__(self, *commands: str, stalls: str | None = None) -> None:
        self.first: dict[str, Mapping[str, Any]] = {}
        self.stalled: set[str] = set()
        self.stalls = stalls
        self._commands = commands
        self._counts = dict.fromkeys(AGENTS, 0)

    def __call__(self, body: Mapping[str, Any]) -> ScriptedAnswer:
        agent = agent_of(body)
        self.first.setdefault(agent, body)
        count = self._counts[agent]
        self._counts[agent] += 1
        if count == 1 and self.stalls is not None:
            self.stalled.add(agent)
            return ScriptedAnswer(text="Late.", delay=60) if self.stalls == "model" else command(agent, "sleep 600")
        return command(agent, self._commands[count]) if count < len(self._commands) else submission(agent)

    def begin_anew(self) -> None:
        """Answer as from the beginning, and come to no halt."""
        self.stalls = None
        self._counts = dict.fromkeys(AGENTS, 0)


def test_the_prompt_is_shown_in_both_forms(mlgym: CommandLine) -> None:
    script = Script()
    with ScriptedModelServer(script) as server:
        code, shown, error = mlgym(*arguments(server, *AGENTS), "--show-prompt")
        assert code == 0, error
        assert not server.requests
        _, text, _ = mlgym(*arguments(server, *AGENTS)[:-1], "--show-prompt")
        assert mlgym(*arguments(server, *AGENTS), "--parallel", "3")[0] == 0
    documents = {document["agent"]: document for document in map(json.loads, shown.splitlines())}
    assert set(documents) == set(script.first) == set(AGENTS)
    for agent, sent in script.first.items():
        assert sent["messages"] == documents[agent]["messages"]
        assert [tool["function"] for tool in sent.get("tools", ())] == documents[agent]["tools"]
        [part] = [part for part in text.split("=== ") if part.startswith(f"small/number, {agent}\n")]
        for message in sent["messages"]:
            assert f"--- {message['role']}\n{message['content']}\n" in part
        assert ("--- tool bash" in part) == (agent == "react")


def test_there_is_no_key_to_reveal(mlgym: CommandLine) -> None:
    script = Script(SPY, "echo $MY_KEY $OPENAI_API_KEY")
    with ScriptedModelServer(script, key=CANARY) as server:
        code, output, error = mlgym(*arguments(server, *AGENTS), "--run-id", "r", "--parallel", "3")
    assert code == 0, error
    for result in map(json.loads, output.splitlines()[:-1]):
        # What is asked for in a file is done by nobody.
        assert result["final"] == (0.5 if result["agent"] == "tree-search" else 0.0)
        assert result["exit_reason"] == "submitted"
    assert CANARY not in output + error
    sent = json.dumps([request.body for request in server.requests])
    assert "PATH=" in sent
    assert CANARY not in sent
    for path in mlgym.folder.rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("phase", ["model", "command"])
def test_a_run_that_was_ended_is_resumed(mlgym: CommandLine, phase: str, how: signal.Signals) -> None:
    script = Script("echo 0.5 > answer.txt", stalls=phase)
    folder = mlgym.folder / "runs" / "r"

    def commands_that_do_not_end() -> int:
        lines = [line for path in folder.glob("episodes/*/trajectory.jsonl") for line in path.read_text().splitlines()]
        return sum('"type": "action"' in line and "sleep 600" in line for line in lines)

    with ScriptedModelServer(script) as server:
        process = mlgym.start(*arguments(server, *AGENTS), "--run-id", "r", "--parallel", "3")
        while len(script.stalled) < 3 or (phase == "command" and commands_that_do_not_end() < 3):
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        process.send_signal(how)
        _, error = process.communicate(timeout=100)
        assert process.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL), error
        plan = json.loads((folder / "run.json").read_text())["plan"]
        script.begin_anew()
        code, output, error = mlgym("resume", "r", "--json")
    assert code == 0, error
    results = [json.loads(line) for line in output.splitlines()[:-1]]
    assert {result["agent"] for result in results} == set(AGENTS)
    for result in results:
        assert (result["status"], result["exit_reason"], result["final"]) == ("completed", "submitted", 0.5)
        assert Path(result["dir"], "attempts", "1", "trajectory.jsonl").exists()
    assert json.loads((folder / "run.json").read_text())["plan"] == plan


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
        mlgym.environment["MLGYM_DISABLE"] = "tools"
        code, _, error = mlgym(*arguments(server, "thought-action"))
    assert code == 2
    assert "pip install mlgym-tools" in error
