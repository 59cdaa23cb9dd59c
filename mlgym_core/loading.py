"""From entry points to plugins, one at a time, so that a broken one breaks nothing else.

pluggy's own loader drops the second of two distributions with the same entry-point name and stops at the first error;
here each entry point is looked at for itself, and what goes wrong becomes data.
"""

from __future__ import annotations

import contextlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from types import ModuleType
from typing import Any

import pluggy
from importlib_metadata import distributions

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
_FAILURES_SHOWN = 3
"""In the message about a name that does not exist."""
_ACCEPTED_VERSIONS = (hookspecs.API_VERSION - 1, hookspecs.API_VERSION)


@dataclass(frozen=True)
class PluginFailure:
    """A plugin that could not be used, or not completely.

    Attributes:
        name: The plugin's name, or that of the metadata folder if not even the name can be read.
        stage: `metadata` (of the installed distribution), `import`, `api`, `hooks` (an unknown hook, or one that cannot
            be called) or `specs` (a hook that raised, or yielded something else than it should).
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


def installed_plugins() -> tuple[list[PluginSource], list[PluginFailure]]:
    """Return the installed plugins, sorted by name and distribution, and those whose metadata are broken.

    Nothing is imported.
    """
    sources: list[PluginSource] = []
    failures: list[PluginFailure] = []
    seen: set[str] = set()
    for distribution in distributions():
        try:
            if f"[{ENTRY_POINT_GROUP}]" not in (distribution.read_text("entry_points.txt") or ""):
                continue
            name, version = distribution.metadata["Name"], distribution.version
            if not name or not version:
                raise ValueError("its metadata have no name or no version")
            entry_points = distribution.entry_points.select(group=ENTRY_POINT_GROUP)
        except Exception as error:  # noqa: BLE001 - metadata are broken in many ways
            # The folder is all that is known of it, and what has to be mended or removed.
            folder = PurePath(str(getattr(distribution, "_path", "unknown"))).name
            failures.append(PluginFailure(folder, folder, "unknown", "metadata", one_line(error)))
            continue
        # The same distribution may be found in two places of the path; Python uses the first.
        key = normalized_name(name)
        if key not in seen:
            seen.add(key)
            sources += [PluginSource(entry_point.name, name, version, entry_point.load) for entry_point in entry_points]
    return sorted(sources, key=lambda source: (source.name, source.distribution)), failures


def normalized_name(distribution: str) -> str:
    """Return the name of a distribution as package indexes compare them: see PEP 503."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def load_plugin(source: PluginSource) -> tuple[Plugin | None, list[PluginFailure]]:
    """Import a plugin and collect what it registers; never raises on the plugin's account.

    A hook that fails registers nothing; the plugin's other hooks count.
    """
    failures: list[PluginFailure] = []

    def fail(stage: str, message: str) -> None:
        failures.append(PluginFailure(source.name, source.distribution, source.version, stage, message))

    @contextlib.contextmanager
    def attempt(stage: str, prefix: str = "") -> Iterator[None]:
        try:
            # Standard output belongs to what the command prints, JSON perhaps.
            with contextlib.redirect_stdout(sys.stderr):
                yield
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a stranger's code raises anything, SystemExit included
            fail(stage, prefix + one_line(error))

    implementation: object = None
    with attempt("import"):
        implementation = source.load()
    if failures:
        return None, failures
    api: object = None
    with attempt("api"):
        api = getattr(implementation, "MLGYM_API", None)
        if type(api) is not int or api not in _ACCEPTED_VERSIONS:
            accepted = " and ".join(map(str, _ACCEPTED_VERSIONS))
            fail("api", f"MLGYM_API is {api!r}; this version of mlgym-core works with {accepted}")
    if failures:
        return None, failures
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    with attempt("hooks"):
        manager.register(implementation, name=source.name)
        manager.check_pending()
    if failures:
        return None, failures
    specs: list[AnySpec] = []
    for hook, kind in SPEC_HOOKS.items():
        with attempt("specs", f"{hook}: "):
            specs += list(_collect(getattr(manager.hook, hook), kind))
    observing = getattr(manager.hook, _OBSERVER_HOOK)
    observer = _Observer(observing) if observing.get_hookimpls() else None
    assert isinstance(api, int)
    return Plugin(source.name, source.distribution, source.version, api, tuple(specs), observer), failures


def one_line(error: BaseException) -> str:
    """Return the type and message of an exception that a stranger's code raised, in one line."""
    try:
        message = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - even this is a stranger's code
        message = "(its message cannot be shown)"
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def said_of_failures(failures: Sequence[PluginFailure]) -> str:
    """Return in a sentence which plugins could not be loaded, for those who miss what one of them would register.

    Empty if there are none.
    """
    if not failures:
        return ""
    shown = "; ".join(
        f"{failure.name!r} of {failure.distribution} ({failure.error})" for failure in failures[:_FAILURES_SHOWN]
    )
    more = f"; and {len(failures) - _FAILURES_SHOWN} more" if len(failures) > _FAILURES_SHOWN else ""
    return f"Perhaps a plugin that could not be loaded has it: {shown}{more}. `mlgym plugins` lists them."


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
