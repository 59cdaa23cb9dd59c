"""Agents that bring tools and limits of their own, and what `mlgym info` says of what is not a task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_run import CommandLine, lines

SOURCE = """
from mlgym_core import Agent, AgentSpec, hookimpl

@hookimpl
def mlgym_agents():
    yield AgentSpec("busy", "installed_example_plugin:Busy", "Never ends", tools=("bash", "submit"), {more}
                    limits={"max_steps": {steps}, "max_validations": 1})

class Busy(Agent):
    \"\"\"Works for ever.

    Args:
        words: How many words it says
            at a time.
    \"\"\"

    def __init__(self, words: int = 2, *, tune: str | None = None) -> None:
        pass

    async def opening(self, env):
        observation, *_ = await env.step("cat answer.txt")
        return [{"role": "user", "content": f"It is {observation.text}."}]

    async def run(self, env):
        while not env.is_over:
            await env.step("echo 0.5 > answer.txt; sleep {pause}")
"""


class Busy(CommandLine):
    """A command line with an agent that never ends."""

    def install(self, steps: object, more: str = "", pause: float = 0.0) -> None:
        source = SOURCE.replace("{steps}", str(steps)).replace("{more}", more).replace("{pause}", str(pause))
        path = self.folder / "site" / "installed_example_plugin.py"
        path.write_text(path.read_text().partition("\nfrom mlgym_core import Agent,")[0] + source)

    def play(self, *arguments: str) -> dict[str, Any]:
        done = self("run", "examples/number", "--agent", "busy", "--json", *arguments)
        assert done.returncode == 0, done.stderr
        return lines(done.stdout)[0]


@pytest.fixture
def mlgym(tmp_path: Path) -> Busy:
    command_line = Busy(tmp_path)
    command_line.install(2)
    return command_line


def test_limits_of_an_agents_own(mlgym: Busy) -> None:
    result = mlgym.play("--run-id", "r")
    assert (result["status"], result["limit"], result["steps"]) == ("completed", "max_steps", 2)
    plan = json.loads((mlgym.folder / "runs" / "r" / "run.json").read_text())["plan"]
    assert plan["limits_of_agents"] == {"busy": {"max_steps": 2, "max_validations": 1}}
    assert plan["tools_of_agents"] == {"busy": ["bash", "submit"]}
    # What the user says wins, wherever it is said, and even if it is what holds for other agents.
    assert mlgym.play("--max-steps", "3")["steps"] == 3
    assert mlgym.play("--max-steps", "50")["steps"] == 50
    (mlgym.folder / "mlgym.toml").write_text("[run]\nmax-steps = 4\n")
    assert mlgym.play()["steps"] == 4


def test_limits_are_the_same_when_a_run_is_resumed(mlgym: Busy) -> None:
    arguments = ("run", "examples/number", "--agent", "busy", "--json", "--run-id", "r", "--max-run-time", "0.001")
    mlgym(*arguments)
    mlgym.install(5)
    done = mlgym("resume", "r", "--json", "--max-run-time", "100")
    assert lines(done.stdout)[0]["steps"] == 2


def test_other_agents_have_the_limits_of_the_run(mlgym: Busy) -> None:
    option = mlgym.script(*['"true"'] * 4)
    done = mlgym("run", "examples/number", "--agent", "busy", "--agent", "script", "-A", option, "--json")
    assert [result["steps"] for result in lines(done.stdout)[:2]] == [2, 4]


def test_tools_of_an_agents_own(mlgym: Busy) -> None:
    def shown(*arguments: str) -> dict[str, Any]:
        done = mlgym("run", "examples/number", "--agent", "busy", "--show-prompt", "--json", *arguments)
        assert done.returncode == 0, done.stderr
        return lines(done.stdout)[0]

    assert [tool["name"] for tool in shown()["tools"]] == ["bash", "submit"]
    assert shown()["messages"] == [{"role": "user", "content": "It is 0."}]
    assert [tool["name"] for tool in shown("--tools", "bash,validate")["tools"]] == ["bash", "validate"]


@pytest.mark.parametrize(
    ("more", "says"),
    [("", "Install a package that provides it"), ('tools_from="my-tools",', "pip install my-tools")],
)
def test_tools_that_are_not_installed(mlgym: Busy, more: str, says: str) -> None:
    mlgym.install(2, more)
    path = mlgym.folder / "site" / "installed_example_plugin.py"
    path.write_text(path.read_text().replace('"bash", "submit"', '"bash", "look"'))
    done = mlgym("run", "examples/number", "--agent", "busy")
    assert done.returncode == 2
    assert "'look', which is not installed" in done.stderr
    assert says in done.stderr
    assert mlgym.play("--tools", "bash")["steps"] == 2


def test_limits_that_cannot_be_meant(mlgym: Busy) -> None:
    mlgym.install(-1)
    done = mlgym("run", "examples/number", "--agent", "busy")
    assert done.returncode == 2
    assert "max_steps is -1" in done.stderr


def test_near_misses_of_options(mlgym: Busy) -> None:
    done = mlgym("run", "examples/number", "--agent", "busy", "-A", "wrods=3")
    assert done.returncode == 2
    assert "Did you mean 'words'? Known: tune, words" in done.stderr


def test_info_of_what_is_not_a_task(mlgym: Busy) -> None:
    text = mlgym("info", "busy").stdout
    for says in (
        "agent busy: Never ends",
        "tools    bash, submit",
        "limits   max_steps 2, max_validations 1",
        "  words  (int; default: 2)\n    How many words it says at a time.",
        "  tune  (str; optional)",
    ):
        assert says in text, says
    assert "Args:" not in text
    [facts] = lines(mlgym("info", "bash", "--json").stdout)
    assert facts["kind"] == "tool"
    assert [(option["name"], option["required"]) for option in facts["options"]] == [("command", True)]
    assert "none" in mlgym("info", "submit").stdout
    assert "none" in mlgym("info", "baseline").stdout
    done = mlgym("info", "busi")
    assert done.returncode == 2
    assert "Did you mean 'busy'" in done.stderr
