"""What `mlgym check NAME` checks: a task, an agent, a tool, a metric, a sandbox, or all that a distribution has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mlgym_core.checks.findings import CheckedKind, Checks
from mlgym_core.checks.plugins import PluginChecks
from mlgym_core.errors import UnknownNameError, UsageError
from mlgym_core.host import Host
from mlgym_core.ids import near_misses
from mlgym_core.loading import PluginFailure, normalized_name, said_of_failures
from mlgym_core.registry import Entry

CHECKED_KINDS: tuple[CheckedKind, ...] = ("task", "agent", "tool", "metric", "sandbox")
"""Kinds of things that are registered. A plugin that could not be loaded is checked by the name of its distribution."""


def chosen_checks(
    host: Host,
    names: Sequence[str],
    *,
    kinds: Sequence[CheckedKind] = CHECKED_KINDS,
    variants: Sequence[str] = (),
    sandbox: str = "auto",
    options: Mapping[str, str] | None = None,
    notify: Callable[[str], None] = lambda _: None,
) -> Iterator[Checks]:
    """Yield the checks of everything that names stand for.

    Args:
        names: Ids, and names of distributions.
        kinds: Only things of these kinds.
        variants: Of tasks; `mini`, or else the first, unless given.
        sandbox: `auto`, or the id of a sandbox, for what is run.
        options: Options of agents.
        notify: Told in a sentence before a long wait.

    Raises:
        UsageError: if there is no such name or variant.
    """
    # All names first: nobody wants to hear after an hour that the last one was wrong.
    failures = dict.fromkeys(failure for name in names for failure in _failures(host, name))
    chosen = dict.fromkeys(pair for name in names for pair in _things(host, name) if pair[0] in kinds)
    every = [(kind, name, variant) for kind, name in chosen for variant in _variants(host, kind, name, variants)]
    for failure in failures:
        yield PluginChecks(failure)
    for kind, name, variant in every:
        yield _checks(host, kind, name, variant, sandbox, options or {}, notify)


def _failures(host: Host, name: str) -> list[PluginFailure]:
    """Return what went wrong with the plugins of a distribution."""
    return [failure for failure in host.failures if _same_distribution(failure.distribution, name)]


def _same_distribution(first: str, second: str) -> bool:
    """Whether two names are those of one distribution, as package indexes compare them."""
    return normalized_name(first) == normalized_name(second)


def _things(host: Host, name: str) -> list[tuple[CheckedKind, str]]:
    """Return kind and id of all that a name stands for."""
    if "/" in name:
        return [("task", host.tasks.spec(name).id)]
    entries = list(_entries(host))
    # An id, or else a distribution; ids of two kinds may be equal.
    found = [kind for kind, entry in entries if entry.spec.id == name]
    if found:
        return [(kind, host.registry(kind).spec(name).id) for kind in found]
    of_distribution = [(kind, entry.spec.id) for kind, entry in entries if _same_distribution(entry.distribution, name)]
    if of_distribution or _failures(host, name):
        return of_distribution
    known = dict.fromkeys(word for _, entry in entries for word in (entry.spec.id, entry.distribution))
    raise UnknownNameError(
        "task, agent, tool, metric, sandbox or distribution",
        name,
        near_misses(name, known),
        "`mlgym plugins` lists the distributions, `mlgym tasks` and its like what they have. "
        f"{said_of_failures(host.failures)}".rstrip(),
    )


def _entries(host: Host) -> Iterator[tuple[CheckedKind, Entry[Any]]]:
    for kind in CHECKED_KINDS:
        for entry in host.registry(kind).entries():
            yield kind, entry


def _variants(host: Host, kind: CheckedKind, name: str, wanted: Sequence[str]) -> Sequence[str | None]:
    if kind != "task":
        return (None,)
    known = host.tasks.spec(name).variants
    for variant in wanted:
        if variant not in known:
            raise UsageError(f"Task {name!r} has no variant {variant!r}. It has: {', '.join(known)}.")
    return wanted or ("mini" if "mini" in known else known[0],)


def _checks(
    host: Host,
    kind: CheckedKind,
    name: str,
    variant: str | None,
    sandbox: str,
    options: Mapping[str, str],
    notify: Callable[[str], None],
) -> Checks:
    # Each imports what it needs, and no more.
    if kind == "task":
        from mlgym_core.checks.tasks import TaskChecks

        assert variant is not None
        return TaskChecks(host, name, variant, sandbox, notify)
    if kind == "agent":
        from mlgym_core.checks.agents import AgentChecks

        return AgentChecks(host, name, sandbox, options)
    if kind == "tool":
        from mlgym_core.checks.tools import ToolChecks

        return ToolChecks(host, name, sandbox)
    if kind == "metric":
        from mlgym_core.checks.metrics import MetricChecks

        return MetricChecks(host, name)
    from mlgym_core.checks.sandboxes import SandboxChecks

    return SandboxChecks(host, name)
