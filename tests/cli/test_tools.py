"""Tools of packages: installed as wheels, with options, secrets and grants."""

from __future__ import annotations

import json
import re
import subprocess
import zipfile
from pathlib import Path

import pytest
from uv import find_uv_bin

from tests.cli.test_run import SUBMIT, CommandLine, lines

README = Path(__file__).parents[2] / "plugins" / "mlgym-tools" / "README.md"
SOURCE = """
from pydantic import SecretStr

from mlgym_core import Tool, ToolContext, ToolResult, ToolSpec, hookimpl

@hookimpl
def mlgym_tools():
    yield ToolSpec("greet-all", "installed_example_plugin:Greet", "Greets")
    yield ToolSpec("outside", "installed_example_plugin:Outside", "Looks outside", default=True, grant="outdoors")
    yield ToolSpec("untyped", "installed_example_plugin:Untyped", "Is wrong")

class Greet(Tool):
    "A tool with options."

    def __init__(self, *, greeting: str, times: int = 1, big_key: SecretStr | None = None) -> None:
        self._text = " ".join([greeting] * times)

    async def run(self, context: ToolContext, name: str) -> ToolResult:
        "Greet somebody."
        return ToolResult(text=f"{self._text} {name}")

class Outside(Tool):
    async def run(self, context: ToolContext) -> ToolResult:
        "Look out."
        return ToolResult(text="rain")

class Untyped(Tool):
    def __init__(self, colour="red"):
        pass

    async def run(self, context: ToolContext) -> ToolResult:
        "Do nothing."
        return ToolResult(text="")
"""
GREETING = '{"tool": "greet-all", "arguments": {"name": "Ada"}}'
CANARY = "canary-81c2e0"


@pytest.fixture
def mlgym(tmp_path: Path) -> CommandLine:
    command_line = CommandLine(tmp_path)
    with (tmp_path / "site" / "installed_example_plugin.py").open("a") as file:
        file.write(SOURCE)
    return command_line


def observations(folder: str) -> list[str]:
    events = lines(Path(folder, "trajectory.jsonl").read_text())
    return [event["text"] for event in events if event["type"] == "observation"]


def test_a_wheel_of_ten_lines_is_installed_and_used(mlgym: CommandLine) -> None:
    [source] = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    wheel = mlgym.folder / "word_count-1.0-py3-none-any.whl"
    information = "word_count-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("word_count.py", source)
        archive.writestr(f"{information}/METADATA", "Metadata-Version: 2.1\nName: word-count\nVersion: 1.0\n")
        archive.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{information}/entry_points.txt", "[mlgym]\nword-count = word_count\n")
        archive.writestr(f"{information}/RECORD", "")
    command = [find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"]
    subprocess.run([*command, str(mlgym.folder / "site"), str(wheel)], check=True, timeout=120)
    listed = {row["id"]: row for row in json.loads(mlgym("tools", "--json").stdout)}
    assert listed["count_words"]["distribution"] == "word-count"
    script = mlgym.script(
        '"echo one two three > words"', '{"tool": "count_words", "arguments": {"path": "words"}}', SUBMIT
    )
    done = mlgym(
        *("run", "examples/number", "--agent", "script", "-A", script, "--json"),
        *("--tools", "bash,count_words,submit"),
    )
    assert done.returncode == 0, done.stderr
    assert observations(lines(done.stdout)[0]["dir"])[1] == "3"


def test_options_are_given_recorded_and_kept_by_resume(mlgym: CommandLine) -> None:
    script = mlgym.script(GREETING, SUBMIT)
    done = mlgym(
        *("run", "examples/number", "--agent", "script", "-A", script, "--tools", "greet-all,submit", "--json"),
        *("-T", "greet-all.greeting=Hello", "-T", "greet-all.times=2", "-T", f"greet-all.big-key={CANARY}"),
        *("--run-id", "r"),
    )
    assert done.returncode == 0, done.stderr
    [episode, _] = lines(done.stdout)
    assert observations(episode["dir"])[0] == "Hello Hello Ada"
    plan = json.loads((mlgym.folder / "runs" / "r" / "run.json").read_text())["plan"]
    assert plan["tool_options"] == {
        "greet-all.greeting": "Hello",
        "greet-all.times": "2",
        "greet-all.big_key": "[secret: not recorded]",
    }
    for path in (mlgym.folder / "runs").rglob("*"):
        assert not path.is_file() or CANARY not in path.read_text()
    Path(episode["dir"], "episode.json").unlink()
    assert "give -T greet-all.big_key=" in mlgym("resume", "r").stderr
    again = mlgym("resume", "r", "-T", f"greet-all.big_key={CANARY}", "--json")
    assert again.returncode == 0, again.stderr
    assert observations(lines(again.stdout)[0]["dir"])[0] == "Hello Hello Ada"
    assert "only options that were not recorded" in mlgym("resume", "r", "-T", "greet-all.times=3").stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--tools", "greet-all"], "greeting: Field required"),
        (["--tools", "greet-all", "-T", "greet-all.greting=x"], "no option 'greting'. Did you mean 'greeting'?"),
        (["--tools", "greet-all", "-T", "greet-all.greeting=x", "-T", "greet-all.times=no"], "times: Input"),
        (["-T", "greet-all.greeting=x"], "'greet-all' is not on offer. There are: bash,"),
        (["-T", "greet.greeting=x"], "Did you mean 'greet-all'"),
        (["-T", "greeting=x"], "write TOOL.KEY"),
        (["-T", "bash.colour=red"], "'bash' has no option 'colour'. It has: none."),
        (["-T", "secret"], "write -T TOOL.KEY=VALUE"),
        (["--tools", "untyped"], "'untyped' cannot be offered"),
        (["--tools", "bash,outside"], "needs the grant 'outdoors': add --grant outdoors"),
        (["--grant", "outdors"], "Did you mean 'outdoors'"),
        (["--tools", " , "], "--tools names no tool"),
    ],
)
def test_bad_usage_is_named_before_anything_is_played(mlgym: CommandLine, arguments: list[str], says: str) -> None:
    done = mlgym("run", "examples/number", "--agent", "baseline", *arguments)
    # That one is the package's fault.
    assert done.returncode == (1 if "untyped" in arguments else 2)
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (mlgym.folder / "runs").exists()


@pytest.mark.parametrize("tools", [[], ["--tools", "outside,submit"]])
def test_what_is_granted_is_on_offer_and_results_say_so(mlgym: CommandLine, tools: list[str]) -> None:
    run = ("run", "examples/number", "--agent", "script", "--json", "-A", mlgym.script('{"tool": "outside"}', SUBMIT))
    done = mlgym(*run, "--grant", "outdoors", *tools, "--run-id", "r")
    assert done.returncode == 0, done.stderr
    [episode, _] = lines(done.stdout)
    assert observations(episode["dir"])[0] == "rain"
    assert "outdoors" in episode["integrity"]["flags"]
    Path(episode["dir"], "episode.json").unlink()
    assert "outdoors" in lines(mlgym("resume", "r", "--json").stdout)[0]["integrity"]["flags"]
    if not tools:
        [episode, _] = lines(mlgym(*run).stdout)
        assert "There is no tool 'outside'" in observations(episode["dir"])[0]
        assert "outdoors" not in episode["integrity"]["flags"]


def test_episodes_of_a_run_share_notes_also_when_it_is_resumed(mlgym: CommandLine) -> None:
    write = '{"tool": "memory_write", "arguments": {"key": "k", "content": "the baseline is 0"}}'
    script = mlgym.script('{"tool": "memory_read"}', write, '{"tool": "memory_read"}', SUBMIT)
    done = mlgym(
        *("run", "examples/number", "--agent", "script", "-A", script, "--repeat", "2", "--json", "--run-id", "r"),
        *("--tools", "memory_write,memory_read,submit", "-T", "memory_write.scope=run"),
    )
    assert done.returncode == 0, done.stderr
    first, second, _ = lines(done.stdout)
    assert observations(first["dir"])[0] == "There are no notes yet."
    assert f"episode {first['episode_id']})\nthe baseline is 0" in observations(second["dir"])[0]
    assert f"episode {second['episode_id']})" in observations(second["dir"])[2]
    assert "shared_memory" in first["integrity"]["flags"]
    Path(first["dir"], "episode.json").unlink()
    [again, _] = lines(mlgym("resume", "r", "--json").stdout)
    assert f"episode {second['episode_id']})" in observations(again["dir"])[0]


def test_information_about_a_tool(mlgym: CommandLine) -> None:
    shown = mlgym("info", "greet-all").stdout
    for text in (
        "name  (str; required)",
        "-T greet-all.times  (int; default: 1)",
        "Greet somebody.",
        "examples 1.0",
    ):
        assert text in shown
    assert "only with --grant outdoors" in mlgym("info", "outside").stdout
    facts = json.loads(mlgym("info", "greet-all", "--json").stdout)
    assert facts["id"] == "greet-all"
    assert facts["grant"] is None
    assert [option["name"] for option in facts["options"]] == ["greeting", "times", "big_key"]
    [argument] = facts["arguments"]
    assert (argument["name"], argument["type"], argument["required"]) == ("name", "str", True)
    assert mlgym("info", "greet-al").returncode == 2
