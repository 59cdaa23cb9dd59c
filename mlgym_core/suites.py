"""What a run or a preparation consists of when tasks and suites are named: tasks, their variants, their limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mlgym_core.errors import UnknownNameError, UsageError
from mlgym_core.host import Host
from mlgym_core.specs import PublishedScore, SuiteSpec


@dataclass(frozen=True)
class ChosenTasks:
    """Tasks as somebody has named them.

    Attributes:
        tasks: Their ids, each once.
        variants: The data variants that suites name, by task.
        limits: The limits that suites name, by task.
    """

    tasks: tuple[str, ...]
    variants: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, dict[str, float | None]] = field(default_factory=dict)


def chosen_tasks(host: Host, tasks: Iterable[str], suites: Sequence[str], variant: str | None = None) -> ChosenTasks:
    """Return the named tasks and those of the named suites.

    Args:
        variant: The data variant that holds for all of them, whatever suites say; None leaves it to these.

    Raises:
        UnknownNameError: if there is no suite of that name.
        UsageError: if tasks of a suite are not installed, lack the suite's variant, or are in two suites that disagree.
    """
    chosen = list(tasks)
    effective: dict[str, str] = {}
    variants: dict[str, str] = {}
    limits: dict[str, dict[str, float | None]] = {}
    for name in suites:
        suite = host.suites.spec(name)
        _check_installed(host, suite)
        chosen += suite.tasks
        for task in suite.tasks:
            wanted = suite.variants.get(task, host.tasks.spec(task).variants[0])
            if variant is None:
                _check_variant(host, suite, task, wanted)
                if effective.setdefault(task, wanted) != wanted:
                    raise UsageError(
                        f"The suites {' and '.join(suites)} want different variants of {task}: {effective[task]!r} and "
                        f"{wanted!r}. Run one after the other, or choose with --variant."
                    )
                if task in suite.variants:
                    variants[task] = wanted
            if limits.setdefault(task, dict(suite.limits)) != suite.limits:
                named = " and ".join(suites)
                raise UsageError(f"The suites {named} limit {task} differently: run one after the other.")
    return ChosenTasks(tuple(dict.fromkeys(chosen)), variants, limits)


def published_baselines(host: Host, suites: Iterable[str]) -> dict[str, PublishedScore]:
    """Return what was published by task, of those of the suites that are installed."""
    known = {suite.id: suite for suite in host.suites}
    return {
        task: published
        for name in suites
        if name in known
        for task, published in known[name].published_baselines.items()
    }


def _check_installed(host: Host, suite: SuiteSpec) -> None:
    missing = []
    for task in suite.tasks:
        try:
            host.tasks.spec(task)
        except UnknownNameError:
            missing.append(task)
    if not missing:
        return
    distributions = list(dict.fromkeys(suite.distributions[task] for task in missing if task in suite.distributions))
    remedy = f"pip install {' '.join(distributions)}" if distributions else "install the packages that provide them"
    raise UsageError(
        f"The suite {suite.id!r} has tasks that are not installed: {', '.join(missing)}. To have them: {remedy} "
        "(`mlgym plugins` says which plugins failed to load)."
    )


def _check_variant(host: Host, suite: SuiteSpec, task: str, variant: str) -> None:
    entry = host.tasks.entry(task)
    if variant not in entry.spec.variants:
        raise UsageError(
            f"The suite {suite.id!r} runs {task} in the variant {variant!r}, which {entry.distribution} "
            f"{entry.version} does not have. It has: {', '.join(entry.spec.variants)}. Another version may have it: "
            f"pip install --upgrade {entry.distribution}"
        )
