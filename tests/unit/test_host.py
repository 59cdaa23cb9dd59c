from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mlgym_core import (
    Agent,
    AgentSpec,
    ConflictError,
    EpisodeEvent,
    Host,
    PluginError,
    SuiteSpec,
    TaskMetric,
    TaskSpec,
    UnknownNameError,
    hookimpl,
)
from mlgym_core.builtin.baseline import BaselineAgent


class Base:
    """A plugin that registers nothing yet."""

    MLGYM_API: Any = 1


def agents(*specs: Any) -> object:
    """Return a plugin that registers these agents."""

    class Agents(Base):
        @hookimpl
        def mlgym_agents(self) -> Iterator[Any]:
            yield from specs

    return Agents()


def only_failure(plugin: object) -> tuple[str, str]:
    """Return stage and error of the one failure of a plugin, having seen that the core still works."""
    host = Host.of(plugin)
    assert host.agents.load("baseline") is BaselineAgent
    (failure,) = host.failures
    return failure.stage, failure.error


def test_the_core_registers_through_hooks() -> None:
    host = Host.of()
    assert [spec.id for spec in host.agents] == ["baseline", "human", "script", "tuner"]
    assert [spec.id for spec in host.tools] == ["bash", "edit_file", "read_file", "submit", "validate", "write_file"]
    assert all(spec.default for spec in host.tools)
    assert {spec.id: spec.preference for spec in host.sandboxes} == {"bwrap": 10, "process": None}
    assert [spec.id for spec in host.executors] == ["local"]
    assert host.failures == []


@pytest.mark.parametrize("kind", ["agent", "tool", "sandbox", "executor"])
def test_every_target_of_the_core_can_be_loaded(kind: str) -> None:
    registry: Any = Host.of().registry(kind)
    for spec in registry:
        assert registry.load(spec.id).__name__ == spec.target.partition(":")[2]


def test_specs_are_sorted_and_know_their_origin() -> None:
    host = Host.of(agents(AgentSpec("zebra", "z:Z", "Z"), AgentSpec("aardvark", "a:A", "A")))
    assert [spec.id for spec in host.agents] == ["aardvark", "baseline", "human", "script", "tuner", "zebra"]
    entry = host.agents.entry("zebra")
    assert (entry.plugin, entry.distribution, entry.conflict) == ("Agents", "Agents", ())
    assert host.agents.entry("baseline").distribution == "mlgym-core"
    assert host.agents.spec("zebra") is entry.spec


def test_a_plugin_may_register_in_any_domain() -> None:
    class Mixed(Base):
        @hookimpl
        def mlgym_tasks(self) -> Iterator[TaskSpec]:
            yield TaskSpec("games/chess", "chess:Chess", "Win", metrics=(TaskMetric("payoff"),))

        @hookimpl
        def mlgym_suites(self) -> list[SuiteSpec]:
            return [SuiteSpec("boards", "Board games", tasks=("games/chess",))]

    host = Host.of(Mixed())
    assert host.suites.spec("boards").tasks == tuple(spec.id for spec in host.tasks) == ("games/chess",)


def test_an_unknown_name_suggests_near_misses() -> None:
    with pytest.raises(UnknownNameError, match=r"no agent 'basline'.*'baseline'.*mlgym agents"):
        Host.of().agents.load("basline")


def test_equal_ids_conflict_whoever_registered_them_and_the_rest_works() -> None:
    host = Host.of(agents(AgentSpec("tuner", "mine:Mine", "Mine")))
    assert "tuner" not in [spec.id for spec in host.agents]
    (conflict,) = [entry.conflict for entry in host.agents.entries() if entry.conflict]
    assert conflict == ("mlgym-core 0.1.0 (plugin 'core')", "Agents in-process (plugin 'Agents')")
    with pytest.raises(ConflictError, match=r"mlgym-core 0\.1\.0 .*Agents in-process"):
        host.agents.load("tuner")
    assert host.agents.load("baseline") is BaselineAgent


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("no_such_module:Mine", "ModuleNotFoundError"),
        ("mlgym_core.errors:NoSuchClass", "NoSuchClass"),
        ("mlgym_core.errors:MlgymError", "does not derive from mlgym_core.Agent"),
        ("mlgym_core.ids:slug", "does not derive from mlgym_core.Agent"),
    ],
)
def test_a_target_that_is_no_such_class_names_its_distribution(target: str, message: str) -> None:
    host = Host.of(agents(AgentSpec("mine", target, "Mine")))
    assert host.failures == [], "targets are imported on use only"
    with pytest.raises(PluginError, match=f"'mine' of Agents in-process.*{message}"):
        host.agents.load("mine")


def test_a_loaded_class_is_the_one_that_the_target_names() -> None:
    host = Host.of(agents(AgentSpec("mine", "mlgym_core.builtin.baseline:BaselineAgent", "Mine")))
    assert issubclass(host.agents.load("mine"), Agent)


@pytest.mark.parametrize("api", [None, 2, -1, "1", True, 1.0])
def test_another_version_of_the_hooks_is_a_failure(api: Any) -> None:
    plugin = Base()
    plugin.MLGYM_API = api
    stage, error = only_failure(plugin)
    assert stage == "api"
    assert repr(api) in error
    assert "0 and 1" in error


def test_the_previous_version_of_the_hooks_works() -> None:
    plugin = Base()
    plugin.MLGYM_API = 0
    assert Host.of(plugin).failures == []


def test_a_hook_that_no_spec_declares_is_a_failure() -> None:
    class Misspelt(Base):
        @hookimpl
        def mlgym_task(self) -> list[TaskSpec]:
            return []

    stage, error = only_failure(Misspelt())
    assert stage == "hooks"
    assert "mlgym_task" in error


def test_a_hook_with_an_unknown_argument_is_a_failure() -> None:
    class Demanding(Base):
        @hookimpl
        def mlgym_tasks(self, colour: str) -> list[TaskSpec]:
            return []

    stage, error = only_failure(Demanding())
    assert stage == "hooks"
    assert "colour" in error


@pytest.mark.parametrize("wrong", ["chess", 3, SuiteSpec("boards", "Board games")])
def test_a_hook_that_yields_something_else_is_a_failure(wrong: object) -> None:
    stage, error = only_failure(agents(wrong))
    assert stage == "specs"
    assert "mlgym_agents" in error
    assert "not a AgentSpec" in error


@pytest.mark.parametrize("wrong", ["chess", 3, AgentSpec("mine", "mine:Mine", "Mine")])
def test_a_hook_that_returns_no_specs_at_all_is_a_failure(wrong: object) -> None:
    class Returning(Base):
        @hookimpl
        def mlgym_agents(self) -> Any:
            return wrong

    assert only_failure(Returning())[0] == "specs"


class Unprintable(BaseException):
    """An exception of the unpleasant kind."""

    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize("error", [RuntimeError("two\nlines"), SystemExit(3), Unprintable()], ids=repr)
def test_a_hook_that_raises_costs_its_own_specs_only(error: BaseException) -> None:
    class Half(Base):
        @hookimpl
        def mlgym_agents(self) -> Iterator[AgentSpec]:
            yield AgentSpec("mine", "mine:Mine", "Mine")
            raise error

        @hookimpl
        def mlgym_suites(self) -> Iterator[SuiteSpec]:
            yield SuiteSpec("boards", "Board games")

    host = Host.of(Half(), agents(AgentSpec("other", "other:Other", "Other")))
    (failure,) = host.failures
    assert failure.stage == "specs"
    assert failure.error.startswith(f"mlgym_agents: {type(error).__name__}")
    assert "\n" not in failure.error
    assert [spec.id for spec in host.agents] == ["baseline", "human", "other", "script", "tuner"]
    assert [spec.id for spec in host.suites] == ["boards"]


def test_an_interrupt_is_not_a_failure_of_the_plugin() -> None:
    class Interrupted(Base):
        @hookimpl
        def mlgym_agents(self) -> list[AgentSpec]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Host.of(Interrupted())


def test_what_a_plugin_prints_does_not_reach_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    class Talkative(Base):
        @hookimpl
        def mlgym_agents(self) -> list[AgentSpec]:
            print("hello")
            return []

    Host.of(Talkative())
    assert capsys.readouterr() == ("", "hello\n")


def test_observers_are_called_apart() -> None:
    seen: list[EpisodeEvent] = []

    class Watching(Base):
        @hookimpl
        def mlgym_episode_events(self, event: EpisodeEvent) -> None:
            seen.append(event)

    class Raising(Base):
        @hookimpl
        def mlgym_episode_events(self, event: EpisodeEvent) -> None:
            raise RuntimeError("broken")

    host = Host.of(Watching(), Raising())
    observers = dict(host.observers())
    assert list(observers) == ["Watching", "Raising"], "the core does not observe"
    event = EpisodeEvent("episode", 0, 0.0, "reset", {})
    observers["Watching"](event)
    assert seen == [event]
    with pytest.raises(RuntimeError, match="broken"):
        observers["Raising"](event)
