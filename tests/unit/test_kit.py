"""The kit for plugin authors: what conforms passes, nothing can be left out silently, and the fixtures work."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from mlgym_core import AgentSpec, Host, hookimpl
from mlgym_core.testing import (
    SAMPLE_TASK,
    AgentConformance,
    MetricConformance,
    SamplePlugin,
    SandboxConformance,
    TaskConformance,
    ToolConformance,
)

pytest_plugins = ["mlgym_core.testing.fixtures"]


class TestSampleTask(TaskConformance):
    """The sample task is itself what a task should be."""

    task = SAMPLE_TASK
    plugins = (SamplePlugin(),)


class TestTuner(AgentConformance):
    """An agent of the core."""

    agent = "tuner"


class TestReadFile(ToolConformance):
    """A tool of the core."""

    tool = "read_file"


class TestRootMeanSquaredError(MetricConformance):
    """A metric of the core."""

    metric = "rmse"


class Mixin:
    """Brings a test that does nothing."""

    def test_it_plays(self, findings: Any) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("bases", "attributes", "says"),
    [
        ((TaskConformance,), {"test_forgery_wins_nothing": None}, "replaces test_forgery_wins_nothing"),
        ((Mixin, AgentConformance), {}, "replaces test_it_plays"),
        ((SandboxConformance,), {"test_exit_codes": lambda self: None}, "replaces test_exit_codes"),
        ((ToolConformance,), {"findings": {}}, "replaces findings"),
        ((MetricConformance,), {"_judge": staticmethod(lambda findings, check: None)}, "replaces _judge"),
        ((TaskConformance,), {"_expect_known_gaps": None}, "replaces _expect_known_gaps"),
        ((TaskConformance,), {"known_gaps": {"test_nothing": "because"}}, "test_nothing, which are no tests"),
        ((TaskConformance,), {"known_gaps": {"test_forgery_wins_nothing": " "}}, "no reason"),
        ((TaskConformance,), {"__test__": False}, "hides its tests"),
        ((TaskConformance,), {"__init__": lambda self: None}, "hides its tests"),
        ((TaskConformance,), {"pytestmark": pytest.mark.skip}, "marked `skip`"),
        ((TaskConformance,), {"pytestmark": [pytest.mark.slow, pytest.mark.xfail]}, "marked `xfail`"),
    ],
)
def test_suites_cannot_be_thinned_out(bases: tuple[type, ...], attributes: dict[str, Any], says: str) -> None:
    with pytest.raises(TypeError, match=says):
        type(bases[-1])("TestThin", bases, attributes)


def test_suites_cannot_be_thinned_out_later() -> None:
    derived: Any = type("TestWhole", (TaskConformance,), {"task": "x/y"})
    original: Any = TaskConformance
    for suite in (derived, original):
        with pytest.raises(TypeError, match="replaces"):
            suite.test_forgery_wins_nothing = None
        with pytest.raises(TypeError, match="removes"):
            del suite.test_forgery_wins_nothing
        with pytest.raises(TypeError, match="marked `skip`"):
            pytest.mark.skip(suite)
    pytest.mark.slow(derived)


def test_processes_that_share_the_tests_do_not_share_a_suite() -> None:
    derived: Any = type("TestMarked", (TestTuner,), {"pytestmark": pytest.mark.slow})
    alone = [mark.args[0] for mark in TestTuner.pytestmark if mark.name == "xdist_group"]
    assert len(alone) == 1
    assert [mark.name for mark in derived.pytestmark] == ["slow", "xdist_group"]
    assert derived.pytestmark[-1].args[0] != alone[0]


@pytest.mark.slow
def test_what_fails_fails_and_gaps_are_expected(pytester_run: Any) -> None:
    outcome = pytester_run(
        """
        from mlgym_core import AgentSpec, hookimpl
        from mlgym_core.testing import AgentConformance

        class Plugin:
            MLGYM_API = 1
            @hookimpl
            def mlgym_agents(self):
                yield AgentSpec("lazy", "lazy_agents:Lazy", "s", needs_model=True)

        class TestLazy(AgentConformance):
            agent = "lazy"
            plugins = (Plugin(),)
            sandbox = "process"

        class TestKnown(AgentConformance):
            agent = "lazy"
            plugins = (Plugin(),)
            sandbox = "process"
            known_gaps = {"test_its_options_are_documented": "later", "test_it_plays": "but it does"}
        """,
        lazy_agents="""
        from mlgym_core import Agent

        class Lazy(Agent):
            def __init__(self, *, mood: str = "calm") -> None:
                self.mood = mood

            async def run(self, env):
                try:
                    await env.model.complete([{"role": "user", "content": "Hello"}])
                except Exception:
                    pass
                await env.step({"tool": "submit"})
        """,
    )
    assert outcome["test_its_options_are_documented"] == ["failed", "skipped"]
    # A gap that is none any more fails, too.
    assert outcome["test_it_plays"] == ["passed", "failed"]
    # Whoever swallows the provider's failure makes a score of it.
    assert outcome["test_a_failing_model_is_no_score"] == ["failed", "failed"]
    assert outcome["test_it_can_be_interrupted"] == ["passed", "passed"]


@pytest.fixture
def pytester_run(tmp_path: Path) -> Any:
    """Return `run(test file, **modules)`: the outcomes of its tests by name, from a pytest of its own."""
    import os
    import subprocess
    import sys
    import textwrap
    from xml.etree import ElementTree

    def run(source: str, **modules: str) -> dict[str, list[str]]:
        for name, text in modules.items():
            (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        (tmp_path / "test_it.py").write_text(textwrap.dedent(source))
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "-q", "-o"]
        done = subprocess.run(
            [*command, "asyncio_mode=auto", f"--rootdir={tmp_path}", "--junitxml=report.xml", "test_it.py"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (tmp_path / "report.xml").is_file(), done.stdout + done.stderr
        outcomes: dict[str, list[str]] = {}
        for case in ElementTree.parse(tmp_path / "report.xml").iter("testcase"):
            found = next((kind for kind in ("failure", "error", "skipped") if case.find(kind) is not None), "passed")
            outcomes.setdefault(str(case.get("name")), []).append({"failure": "failed"}.get(found, found))
        return outcomes

    return run


# ------------------------------------------------------------------------------------------------ fixtures


class Agents:
    """Registers an agent that is not there."""

    MLGYM_API = 1

    @hookimpl
    def mlgym_agents(self) -> Any:
        """Yield it."""
        yield AgentSpec("absent", "absent:Agent", "s")


def test_make_host(make_host: Any) -> None:
    host: Host = make_host(Agents())
    assert [host.agents.spec("absent").summary, host.tasks.spec(SAMPLE_TASK).domain] == ["s", "sample"]
    with pytest.raises(pytest.fail.Exception, match="MLGYM_API"):
        make_host(object())


async def test_a_scripted_agent_plays_in_each_sandbox(each_sandbox: str, make_host: Any, play_script: Any) -> None:
    actions = ["echo 0.7 > answer.txt", {"tool": "validate"}, {"tool": "submit"}]
    result = await play_script(make_host(), SAMPLE_TASK, actions, sandbox=each_sandbox)
    assert (result.status, result.score.value, result.sandbox) == ("completed", 0.95, each_sandbox)


def test_the_model_server(model_server: Any) -> None:
    server = model_server(["Hello"])
    body = json.dumps({"model": "x", "messages": [{"role": "user", "content": "Hi"}]}).encode()
    request = urllib.request.Request(
        f"{server.url}/chat/completions", body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer)["choices"][0]["message"]["content"] == "Hello"
    assert server.requests[0].body["model"] == "x"


def test_the_cache_is_the_tests_own(own_cache: Path) -> None:
    from mlgym_core.settings import cache_dir

    assert cache_dir() == own_cache.resolve()
