"""The host: all plugins that are installed and wanted, and everything they registered."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable
from typing import Any

from mlgym_core.builtin import plugin as builtin_plugin
from mlgym_core.interfaces import Agent, Executor, Metric, Model, Sandbox, Task, Tool
from mlgym_core.loading import (
    Plugin,
    PluginFailure,
    PluginSource,
    installed_plugins,
    load_plugin,
    module_source,
)
from mlgym_core.registry import ClassRegistry, Entry, Registry
from mlgym_core.settings import DISABLE_VARIABLE, PLUGINS_VARIABLE, names_from_environment
from mlgym_core.specs import (
    AgentSpec,
    ExecutorSpec,
    MetricSpec,
    ModelSpec,
    SandboxSpec,
    SuiteSpec,
    TaskSpec,
    ToolSpec,
)

CORE_PLUGIN = "core"


class Host:
    """Everything that is installed, by kind and id.

    Attributes:
        plugins: The plugins that were loaded.
        failures: What went wrong with others.
    """

    def __init__(self, sources: Iterable[PluginSource], failures: Iterable[PluginFailure] = ()) -> None:
        self.failures: list[PluginFailure] = list(failures)
        missing = self.failures
        self.tasks: ClassRegistry[TaskSpec, Task] = ClassRegistry("task", "tasks", Task, missing)  # type: ignore[type-abstract]
        self.agents: ClassRegistry[AgentSpec, Agent] = ClassRegistry("agent", "agents", Agent, missing)  # type: ignore[type-abstract]
        self.tools: ClassRegistry[ToolSpec, Tool] = ClassRegistry("tool", "tools", Tool, missing)
        self.metrics: ClassRegistry[MetricSpec, Metric] = ClassRegistry("metric", "metrics", Metric, missing)  # type: ignore[type-abstract]
        self.sandboxes: ClassRegistry[SandboxSpec, Sandbox] = ClassRegistry("sandbox", "sandboxes", Sandbox, missing)  # type: ignore[type-abstract]
        self.models: ClassRegistry[ModelSpec, Model] = ClassRegistry("model", "models", Model, missing)  # type: ignore[type-abstract]
        self.executors: ClassRegistry[ExecutorSpec, Executor] = ClassRegistry(
            "executor",
            "executors",
            Executor,  # type: ignore[type-abstract]
            missing,
        )
        self.suites: Registry[SuiteSpec] = Registry("suite", "suites", missing)
        self.plugins: list[Plugin] = []
        for source in sources:
            plugin, problems = load_plugin(source)
            self.failures += problems
            if plugin is not None:
                self._add(plugin)

    def registry(self, kind: str) -> Registry[Any]:
        """Return the registry of a kind of spec (`task`, `agent`, …)."""
        plural = f"{kind}es" if kind == "sandbox" else f"{kind}s"
        registry: Registry[Any] = getattr(self, plural)
        return registry

    def _add(self, plugin: Plugin) -> None:
        self.plugins.append(plugin)
        for spec in plugin.specs:
            self.registry(spec.kind).add(Entry(spec, plugin.name, plugin.distribution, plugin.version))

    def extended(self, *plugins: object) -> Host:
        """Return a host with all that this one has, and these modules or objects besides."""
        other = Host([module_source(plugin) for plugin in plugins], self.failures)
        for plugin in self.plugins:
            other._add(plugin)
        return other

    def observers(self) -> list[tuple[str, Any]]:
        """Return the name and the `mlgym_episode_events` of each plugin that observes episodes."""
        return [(plugin.name, plugin.observer) for plugin in self.plugins if plugin.observer is not None]

    @classmethod
    def of(cls, *plugins: object) -> Host:
        """Return a host with the core's own plugin and these modules or objects, whatever is installed."""
        return cls([_core_source(), *(module_source(plugin) for plugin in plugins)])

    @classmethod
    def installed(cls, *, only_core: bool = False) -> Host:
        """Return a host with the plugins that are installed and not left out.

        `MLGYM_PLUGINS` names those to load (the core's own is always loaded), `MLGYM_DISABLE` those to leave out.

        Args:
            only_core: Load the core's own plugin only.
        """
        found, broken = installed_plugins()
        sources = [source for source in found if source.name != CORE_PLUGIN or not _is_core(source)]
        names = {source.name for source in sources} | {failure.name for failure in broken}
        wanted = frozenset[str]() if only_core else names_from_environment(PLUGINS_VARIABLE)
        unwanted = names_from_environment(DISABLE_VARIABLE) or frozenset()
        for variable, mentioned in ((PLUGINS_VARIABLE, wanted), (DISABLE_VARIABLE, unwanted)):
            for name in sorted((mentioned or frozenset()) - names - {CORE_PLUGIN}):
                print(f"{variable} names {name!r}, but no installed plugin has that name.", file=sys.stderr)
        chosen = (names if wanted is None else wanted) - unwanted
        return cls(
            [_core_source(), *(source for source in sources if source.name in chosen)],
            [failure for failure in broken if failure.name in chosen],
        )


def _is_core(source: PluginSource) -> bool:
    return source.distribution == "mlgym-core"


def _core_source() -> PluginSource:
    # Known without its metadata, so that it works from a bare checkout, too.
    from mlgym_core import __version__

    return PluginSource(CORE_PLUGIN, "mlgym-core", __version__, lambda: builtin_plugin)


@functools.cache
def default_host() -> Host:
    """Return the host of this process, with what is installed."""
    return Host.installed()
