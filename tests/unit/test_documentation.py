"""The documentation says what the code does: nothing is left out, links lead somewhere, examples run."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from mlgym_agents import react, thought_action
from mlgym_agents.exec import agent as exec_agent
from mlgym_agents.react import ReactAgent
from mlgym_agents.thought_action import ThoughtActionAgent
from mlgym_agents.tree import agent as tree_search
from mlgym_agents.tree.agent import TreeSearchAgent
from mlgym_agents.tree.nodes import Node, Tree
from mlgym_core import Agent, EpisodeResult, Host, Observation, hookspecs, specs
from mlgym_core.cli import COMMANDS
from mlgym_core.errors import MlgymError
from mlgym_core.journal import Journal
from mlgym_core.making import EnvOptions
from mlgym_model_litellm.model import LiteLLMModel

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text()


def python_blocks(path: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text()):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target


def test_every_page_is_in_the_index() -> None:
    for path in (ROOT / "docs").glob("*.md"):
        assert path.name == "index.md" or f"({path.name})" in page("index")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_its_place(command: str) -> None:
    assert f"`mlgym {command}" in page("commands")


def test_every_hook_and_field_has_its_place() -> None:
    text = page("hooks")
    for name in vars(hookspecs):
        if name.startswith("mlgym_"):
            assert f"`{name}" in text
    for name, kind in vars(specs).items():
        if name.endswith("Spec") and name not in ("Spec", "AnySpec"):
            [row] = [line for line in text.splitlines() if f"`{name}(" in line]
            for field in dataclasses.fields(kind):
                assert re.search(rf"\b{field.name}\b", row), (name, field.name)


def test_every_event_and_result_field_has_its_place() -> None:
    text = page("record")
    source = (ROOT / "mlgym_core" / "journal.py").read_text()
    kinds = re.findall(r'self\._append\(\s*"(\w+)"', source)
    assert len(kinds) == 13
    for kind in kinds:
        assert f"| `{kind}` |" in text
    for name, field in EpisodeResult.model_fields.items():
        assert f"`{field.alias or name}" in text


def test_every_option_observation_field_and_error_has_its_place() -> None:
    text = page("python")
    for name in [*EnvOptions.__annotations__, *Observation.model_fields]:
        assert f"`{name}`" in text, name
    kinds, waiting = [], [MlgymError]
    while waiting:
        kinds.append(waiting.pop())
        waiting += kinds[-1].__subclasses__()
    for kind in kinds:
        if kind.__module__ == "mlgym_core.errors":
            assert f"`{kind.__name__}`" in text


def test_the_plugin_of_the_readme_works(monkeypatch: pytest.MonkeyPatch) -> None:
    [source] = [block for block in python_blocks(ROOT / "README.md") if "MLGYM_API" in block]
    assert len(source.strip().splitlines()) <= 15
    module = types.ModuleType("hasty_agent")
    exec(compile(source, "README.md", "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, "hasty_agent", module)
    host = Host.of(module)
    assert host.failures == []
    assert host.agents.load("hasty") is module.HastyAgent


def test_the_plugin_of_the_hooks_page_works() -> None:
    [source] = python_blocks(ROOT / "docs" / "hooks.md")
    module = types.ModuleType("example")
    exec(compile(source, "hooks.md", "exec"), module.__dict__)
    host = Host.of(module)
    assert host.failures == []
    assert host.suites.spec("my-games").tasks == ("games/blotto",)


def test_the_task_of_the_data_page_can_be_defined() -> None:
    task, grade, attacks = python_blocks(ROOT / "docs" / "data.md")
    namespace: dict[str, object] = {}
    for source in (task, grade, attacks):
        exec(compile(source, "data.md", "exec"), namespace)
    assert [attack.outcome for attack in namespace["ATTACKS"]] == ["stopped", "flagged"]  # type: ignore[attr-defined]


@pytest.mark.slow
def test_the_example_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    [source] = [block for block in python_blocks(ROOT / "README.md") if "mlgym.make" in block]
    namespace: dict[str, object] = {}
    exec(compile(source, "README.md", "exec"), namespace)
    result = namespace["env"].result  # type: ignore[attr-defined]
    assert result.status == "completed"


def test_the_examples_of_the_models_page_work() -> None:
    agent, provider, server = python_blocks(ROOT / "docs" / "models.md")
    namespace: dict[str, object] = {}
    for source in (agent, server):
        exec(compile(source, "models.md", "exec"), namespace)
    module = types.ModuleType("my_models")
    exec(compile(provider, "models.md", "exec"), module.__dict__)
    host = Host.of(module)
    assert host.failures == []
    assert host.models.spec("echo").summary == "Repeats what it is told"


def test_every_option_of_litellm_models_and_field_of_a_call_has_its_place() -> None:
    text = page("models")
    for name in list(inspect.signature(LiteLLMModel.__init__).parameters)[3:]:
        assert f"`{name}`" in text, name
    fields: set[str] = set()
    journal = Journal("x", None, [("test", lambda event: fields.update(event.fields))])
    nothing: dict[str, Any] = {"new_messages": [], "messages": [], "tools": None, "sampling": {}, "error": None}
    journal.model(number=1, call=1, model="x", reply=None, seconds=0.0, **nothing)
    journal.model_call(number=1, request_tokens=1, reserved_tokens=1, reserved_usd=None)
    journal.model_attempt(number=1, prompt_tokens=1, completion_tokens=0, error="")
    for name in fields:
        assert f"`{name}`" in page("record"), name


@pytest.mark.parametrize(
    ("agent", "prompts"),
    [
        (ReactAgent, react.PROMPTS),
        (ThoughtActionAgent, thought_action.PROMPTS),
        (TreeSearchAgent, tree_search.PROMPTS),
    ],
)
def test_every_option_and_prompt_of_agents_has_its_place(
    agent: type[Agent], prompts: dict[str, tuple[str, ...]]
) -> None:
    text = page("agents")
    for name in list(inspect.signature(agent.__init__).parameters)[1:]:
        assert f"| `{name}` |" in text, name
    for prompt, variables in prompts.items():
        [row] = [line for line in text.splitlines() if line.startswith("|") and f"`{prompt}.md.jinja`" in line]
        assert set(re.findall(r"`(\w+)`", row.split("|")[2])) == set(variables)


def test_the_policy_of_the_agents_page_works() -> None:
    [_, source] = python_blocks(ROOT / "docs" / "agents.md")
    namespace: dict[str, Any] = {}
    exec(compile(source, "agents.md", "exec"), namespace)
    snapshot: Any = None
    tree = Tree(Node(number=0, kind="start", snapshot=snapshot), "maximize")
    policy = namespace["Wide"](drafts=1, debug_depth=1, seed=0)
    assert policy.choose(tree).kind == "draft"
    tree.add(Node(number=1, kind="draft", parent=tree.start, score=1.0, snapshot=snapshot))
    assert policy.choose(tree).parent is tree.best
    for kind in (Tree, Node):
        public = {name for name in vars(kind) if not name.startswith("_")} | set(getattr(kind, "__annotations__", ()))
        for name in public - {"add", "is_better", "all_files", "snapshot"}:
            assert f"`{name}`" in page("agents"), name


def test_every_option_and_variable_of_exec_has_its_place() -> None:
    text = page("exec")
    options = list(inspect.signature(exec_agent.ExecAgent.__init__).parameters)[1:]
    for name in [*options, *exec_agent.PROMPTS["exec_task"]]:
        assert f"`{name}`" in text, name
    source = (ROOT / "plugins/mlgym-agents/src/mlgym_agents/exec/installation.py").read_text()
    variables = set(re.findall(r'"((?:MLGYM|OPENAI)_[A-Z_]+)"|export (MLGYM_[A-Z_]+)=', source))
    for name in {part for parts in variables for part in parts if part}:
        assert f"`{name}`" in text, name
