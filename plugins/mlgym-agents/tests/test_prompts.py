"""Prompts of the users', and whether what is shown is what is sent, for all agents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from agents_support import Player, call

from mlgym_agents import prompting, react, thought_action
from mlgym_agents.exec import agent as exec_agent
from mlgym_agents.remaining import _money
from mlgym_agents.tree import agent as tree_agent
from mlgym_core import UsageError
from mlgym_core.testing import ScriptedAnswer

AGENTS = ("react", "thought-action", "tree-search")
SYSTEMS = {"react": "react_system", "thought-action": "thought_action_system", "tree-search": "tree_system"}


@pytest.fixture(params=AGENTS)
def playing(request: pytest.FixtureRequest, play: Player) -> Player:
    play.agent = request.param
    return play


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "prompts"
    made.mkdir()
    return made


async def test_the_prompt_that_is_shown_is_the_one_that_is_sent(playing: Player) -> None:
    messages, tools = await playing.opening({"temperature": "0.5"})
    await playing(["Hm."] * 10, {"temperature": "0.5"})
    first = playing.requests[0]
    assert first["messages"] == messages
    assert [tool["function"]["name"] for tool in first.get("tools", ())] == tools
    assert bool(tools) == (playing.agent == "react")


async def test_the_same_holds_with_limits_of_the_run(playing: Player) -> None:
    limits: dict[str, Any] = {
        "max_run_cost": 0.00001,
        "max_run_tokens": 200_000,
        "max_run_time": 3600.0,
        "max_time": 7200.0,
    }
    messages, _ = await playing.opening({}, **limits)
    await playing(["Hm."] * 10, **limits)
    assert playing.requests[0]["messages"] == messages
    text = "\n".join(message["content"] for message in messages)
    for left in ("60 min", "0.00001 USD", "200,000 tokens", "20 validations"):
        assert left in text


@pytest.mark.parametrize(
    ("agent", "writes"),
    [
        ("react", call("write_file", {"path": "answer.txt", "content": "0.5"})),
        ("thought-action", ScriptedAnswer(text="I write.\n```\nwrite_file answer.txt 0.5\n```")),
    ],
)
async def test_nothing_is_told_of_tools_that_are_not_on_offer(
    play: Player, agent: str, writes: ScriptedAnswer
) -> None:  # fmt: skip
    play.agent = agent
    result = await play([writes, *["Hm."] * 5], tools=("write_file", "submit"))
    assert result.steps == 1
    # The opening, an output and a reminder.
    assert len(play.requests) > 2
    asked = json.dumps(play.requests[-1])
    for missing in ("validations", "ls -l", "cat >"):
        assert missing not in asked


@pytest.mark.parametrize(
    ("dollars", "written"),
    [(2.0, "2.00"), (0.1, "0.10"), (0.05, "0.05"), (1e-5, "0.00001"), (1e-6, "0.000001"), (1e-7, "less than 0.000001")],
)
def test_money_is_written_as_people_do(dollars: float, written: str) -> None:
    assert _money(dollars) == f"{written} USD"


async def test_the_same_holds_where_the_context_is_small(playing: Player) -> None:
    options = {"context_tokens": "1500", "max_tokens": "300"}
    messages, _ = await playing.opening(options)
    await playing(["Hm."] * 10, options)
    assert playing.requests[0]["messages"] == messages


async def test_a_prompt_of_the_users(playing: Player, folder: Path) -> None:
    name = SYSTEMS[playing.agent]
    (folder / f"{name}.md.jinja").write_text(
        f'{{% extends "{name}.md.jinja" %}}{{% block role %}}You are a cook of {{{{ task.id }}}}.\n{{% endblock %}}'
    )
    (folder / ".editor-backup").write_text("{{ nothing")
    messages, _ = await playing.opening({"prompts": str(folder)})
    await playing(["Hm."] * 10, {"prompts": str(folder)})
    system = playing.requests[0]["messages"][0]["content"]
    assert system.startswith("You are a cook of small/number.\n")
    assert "## What counts" in system
    assert "researcher" not in system
    assert messages[0]["content"] == system


async def test_reminders_of_the_users(playing: Player, folder: Path) -> None:
    for name in ("react_reminder", "thought_action_reminder", "tree_reminder"):
        (folder / f"{name}.md.jinja").write_text("Pull yourself together!")
    await playing(["Hm."] * 10, {"prompts": str(folder)})
    assert playing.messages[3]["content"].startswith("Pull yourself together!")


@pytest.mark.parametrize(
    ("name", "source", "says"),
    [
        (None, "", "is empty"),
        ("{system}.md.jinja", "{{% if %}}", "Line 1"),
        ("{system}.md.jinja", "{{{{ tsak.id }}}}", "uses tsak. Did you mean 'task'"),
        ("{system}.md.jinja", "{{{{ secret }}}}", "uses secret. There are only: .*task"),
        ("{system}.jinja", "x", "replaces no prompt. Did you mean '{system}.md.jinja'"),
        ("notes.txt", "x", "replaces no prompt"),
    ],
)
async def test_prompts_that_are_none(playing: Player, folder: Path, name: str | None, source: str, says: str) -> None:
    system = SYSTEMS[playing.agent]
    if name is not None:
        (folder / name.format(system=system)).write_text(source.format())
    with pytest.raises(UsageError, match=says.format(system=system)):
        await playing([], {"prompts": str(folder)})


async def test_a_folder_that_is_none(playing: Player, folder: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        await playing([], {"prompts": str(folder / "nowhere")})
    (folder / "file").write_text("x")
    with pytest.raises(UsageError, match="cannot be read"):
        await playing([], {"prompts": str(folder / "file")})


async def test_a_prompt_cannot_run_code(playing: Player, folder: Path) -> None:
    (folder / f"{SYSTEMS[playing.agent]}.md.jinja").write_text("{{ task.__class__.__mro__ }}")
    with pytest.raises(UsageError, match="unsafe"):
        await playing([], {"prompts": str(folder)})


@pytest.mark.parametrize(
    ("agent", "name", "source", "says"),
    [
        ("react", "react_system", "{{ task.nonsense }}", "nonsense"),
        ("react", "react_system", "{{ 1 / 0 }}", "division by zero"),
        ("react", "react_system", "{% include 'nothing.md.jinja' %}", "there is no 'nothing.md.jinja'"),
        ("react", "react_system", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
        ("react", "react_reminder", "{% if not cut_off %}{{ tools.nonsense }}{% endif %}", "nonsense"),
        ("react", "react_reminder", "{% if cut_off %}{{ tools.nonsense }}{% endif %}", "nonsense"),
        ("thought-action", "thought_action_reminder", "{{ problem.nonsense }}", "nonsense"),
        ("thought-action", "thought_action_system", "{{ tools[0].nonsense }}", "nonsense"),
        ("tree-search", "tree_improve", "{{ parent.nonsense }}", "nonsense"),
        ("tree-search", "tree_debug", "{{ nodes[0].nonsense }}", "nonsense"),
        ("exec", "exec_task", "{{ limits.nonsense }}", "nonsense"),
    ],
)
async def test_prompts_that_break_are_refused_before_anything_is_played(
    play: Player, folder: Path, agent: str, name: str, source: str, says: str
) -> None:
    play.agent = agent
    (folder / f"{name}.md.jinja").write_text(source)
    command = {"command": "true"} if agent == "exec" else {}
    with pytest.raises(UsageError, match=f"{name}.* cannot be rendered: .*{says}"):
        await play(["Hm."] * 10, {"prompts": str(folder), **command})
    assert not play.run_folder.exists()


async def test_all_prompts_of_the_package_pass_the_trial(folder: Path) -> None:
    for path in (Path(prompting.__file__).parent / "prompts").iterdir():
        (folder / path.name).write_text(path.read_text())
    for agent_class in (react.ReactAgent, thought_action.ThoughtActionAgent, tree_agent.TreeSearchAgent):
        agent_class(prompts=str(folder))
    exec_agent.ExecAgent(command="true", prompts=str(folder))


def test_every_prompt_belongs_to_an_agent() -> None:
    declared = {*react.PROMPTS, *thought_action.PROMPTS, *tree_agent.PROMPTS, *exec_agent.PROMPTS}
    files = {path.name for path in (Path(prompting.__file__).parent / "prompts").iterdir()}
    assert files == {f"{name}{prompting.ENDING}" for name in declared}
