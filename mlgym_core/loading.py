"""From entry points to plugins, one at a time, so that a broken one breaks nothing else.

pluggy's own loader drops the second of two distributions with the same entry-point name and stops at the first error;
here each entry point is looked at for itself, and what goes wrong becomes data.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pluggy
from importlib_metadata import EntryPoint, distributions

from mlgym_core import hookspecs
from mlgym_core.specs import (
    AgentSpec,
    AnySpec,
    ExecutorSpec,
    MetricSpec,
    ModelSpec,
    SandboxSpec,
    SuiteSpec,
    TaskSpec,
    ToolSpec,
)

ENTRY_POINT_GROUP = "mlgym"
SPEC_HOOKS: dict[str, type[AnySpec]] = {
    "mlgym_tasks": TaskSpec,
    "mlgym_agents": AgentSpec,
    "mlgym_tools": ToolSpec,
    "mlgym_metrics": MetricSpec,
    "mlgym_sandboxes": SandboxSpec,
    "mlgym_models": ModelSpec,
    "mlgym_executors": ExecutorSpec,
    "mlgym_suites": SuiteSpec,
}
"""Which hook yields which kind of spec."""
_OBSERVER_HOOK = "mlgym_episode_events"


@dataclass(frozen=True)
class PluginFailure:
    """A plugin that could not be used, or not completely.

    Attributes:
        stage: `import`, `api`, `hooks` (an unknown hook, or one that cannot be called) or `specs`.
        error: What went wrong, in one line.
    """

    name: str
    distribution: str
    version: str
    stage: str
    error: str


@dataclass(frozen=True)
class PluginSource:
    """A plugin before it is imported."""

    name: str
    distribution: str
    version: str
    load: Callable[[], object] = field(repr=False)


@dataclass(frozen=True)
class Plugin:
    """A plugin that was imported.

    Attributes:
        api: The version of the hooks that it was written for.
        specs: What it registered.
        observer: Its `mlgym_episode_events`, if it has one.
    """

    name: str
    distribution: str
    version: str
    api: int
    specs: tuple[AnySpec, ...]
    observer: Callable[..., object] | None = None


def installed_plugins() -> list[PluginSource]:
    """Return the installed plugins, sorted by name and distribution, without importing any."""
    sources: dict[tuple[str, str], PluginSource] = {}
    for distribution in distributions():
        for entry_point in distribution.entry_points:
            if entry_point.group == ENTRY_POINT_GROUP:
                name = distribution.metadata["Name"] or "unknown"
                # The same distribution may be found in two places of the path; Python uses the first.
                sources.setdefault((entry_point.name, name.lower()), _source(entry_point, name, distribution.version))
    return [source for _, source in sorted(sources.items(), key=lambda item: item[0])]


def _source(entry_point: EntryPoint, distribution: str, version: str) -> PluginSource:
    return PluginSource(entry_point.name, distribution, version or "unknown", entry_point.load)


def load_plugin(source: PluginSource) -> tuple[Plugin | None, list[PluginFailure]]:
    """Import a plugin and collect what it registers; never raises on the plugin's account."""
    failures: list[PluginFailure] = []

    def fail(stage: str, error: object) -> None:
        text = " ".join(str(error).split()) or type(error).__name__
        message = f"{type(error).__name__}: {text}" if isinstance(error, BaseException) else text
        failures.append(PluginFailure(source.name, source.distribution, source.version, stage, message))

    try:
        implementation = source.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - importing runs a stranger's code
        fail("import", error)
        return None, failures
    api = getattr(implementation, "MLGYM_API", None)
    if not isinstance(api, int) or not hookspecs.API_VERSION - 1 <= api <= hookspecs.API_VERSION:
        fail("api", f"MLGYM_API is {api!r}; this version of mlgym-core works with {_accepted_versions()}")
        return None, failures
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(implementation, name=source.name)
        manager.check_pending()
    except Exception as error:  # noqa: BLE001 - pluggy raises several kinds
        fail("hooks", error)
        return None, failures
    specs: list[AnySpec] = []
    for hook, kind in SPEC_HOOKS.items():
        try:
            specs += _collect(getattr(manager.hook, hook), kind)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - hooks are a stranger's code
            fail("specs", f"{hook}: {type(error).__name__}: {error}")
    observing = getattr(manager.hook, _OBSERVER_HOOK)
    observer = _Observer(observing) if observing.get_hookimpls() else None
    plugin = Plugin(source.name, source.distribution, source.version, api, tuple(specs), observer)
    return plugin, failures


def _accepted_versions() -> str:
    return " and ".join(str(version) for version in (hookspecs.API_VERSION - 1, hookspecs.API_VERSION) if version > 0)


def _collect(hook: pluggy.HookCaller, kind: type[AnySpec]) -> Iterator[Any]:
    for registered in hook():
        if registered is None:
            continue
        if isinstance(registered, str) or not hasattr(registered, "__iter__"):
            raise TypeError(f"returned {registered!r}; yield {kind.__name__} objects")
        for spec in registered:
            if not isinstance(spec, kind):
                raise TypeError(f"yielded {spec!r}, which is not a {kind.__name__}")
            yield spec


class _Observer:
    """Calls a plugin's observer hook by its declared argument."""

    def __init__(self, hook: pluggy.HookCaller) -> None:
        self._hook = hook

    def __call__(self, event: object) -> None:
        self._hook(event=event)


def module_source(module: ModuleType | object, name: str | None = None) -> PluginSource:
    """Return a plugin that is at hand as a module or object, for tests and programs that need no entry point."""
    chosen = name or getattr(module, "__name__", None) or type(module).__name__
    plugin_name = chosen.rpartition(".")[2] if inspect.ismodule(module) else chosen
    return PluginSource(plugin_name, chosen, "in-process", lambda: module)
