"""The page of tasks: what each task of the workspace's packages declares of itself."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import get_args

from documentation.writing import UndocumentedError, cell, code, page, table
from mlgym_core import Anchors, Host, Resources, Task, TaskSpec
from mlgym_core.types import Split

INTRODUCTION = """
What each task declares of itself: `mlgym info TASK` says the same of one, and what agents are told. The README of a
task's package says how its numbers came about. ↑ is better when larger, ↓ when smaller. On the normalised scale, the
baseline is 0 and the reference 1. A *band* holds the baseline's own runs, as far as they were run.
"""
_TIMES = Path(__file__).with_name("times.toml")


def tasks_page(host: Host, distributions: Sequence[str]) -> str:
    """Return the page.

    Args:
        host: Knows the tasks.
        distributions: Whose tasks are on the page.

    Raises:
        UndocumentedError: if a task says nothing of what its readers must know.
    """
    times = tomllib.loads(_TIMES.read_text(encoding="utf-8"))
    specs = [spec for spec in host.tasks if host.tasks.entry(spec.id).distribution in distributions]
    rows = [_row(host, spec) for spec in specs]
    overview = table(("task", "package", "variants", "metric", "submission"), rows)
    sections = [text for spec in specs for text in _task(host.tasks.load(spec.id), spec, times.get(spec.id, {}))]
    return page("Tasks", INTRODUCTION, [overview, str(times["about"]), "", *sections])


def _row(host: Host, spec: TaskSpec) -> tuple[str, ...]:
    task = host.tasks.load(spec.id)(spec.variants[0])
    return (
        f"[`{spec.id}`](#{spec.id.replace('/', '')})",
        code(host.tasks.entry(spec.id).distribution),
        ", ".join(code(variant) for variant in spec.variants),
        _metric(spec, spec.primary_metric.name),
        ", ".join(code(file.path) for file in task.submission_files()),
    )


def _metric(spec: TaskSpec, name: str) -> str:
    [metric] = [metric for metric in spec.metrics if metric.name == name]
    return f"`{name}` {'↑' if metric.direction == 'maximize' else '↓'}"


def _task(kind: type[Task], spec: TaskSpec, times: Mapping[str, str]) -> Iterator[str]:
    first = kind(spec.variants[0])
    yield f"## {spec.id}\n"
    yield f"{spec.summary}.\n"
    yield _metrics(spec) + "\n"
    yield _limits(first, spec) + "\n"
    yield "**Scale**\n"
    headings = ("variant", "split", "metric", "baseline", "band", "reference")
    tasks = {variant: kind(variant) for variant in spec.variants}
    yield table(headings, [row for variant, task in tasks.items() for row in _scale(task, variant, spec)])
    yield "\n".join(f"- {line}" for line in _sources(tasks, spec)) + "\n"
    shown = {variant: times.get(variant, "not measured") for variant in spec.variants}
    yield "**The baseline's time**: " + ", ".join(f"`{name}` {time}" for name, time in shown.items()) + ".\n"
    yield "**Data**\n"
    yield _data(first)
    yield f"**Known contamination**: {_contamination(first)}\n"
    if attacks := first.attacks():
        yield "**Attacks that `mlgym check` tries besides those on every task**\n"
        yield table(("attack", "outcome"), [(cell(attack.name), attack.outcome) for attack in attacks])


def _metrics(spec: TaskSpec) -> str:
    others = [_metric(spec, metric.name) for metric in spec.metrics[1:]]
    text = f"**Metric**: {_metric(spec, spec.primary_metric.name)}" + (f", also {', '.join(others)}" if others else "")
    paper = spec.primary_metric_under("paper")
    return text + (f"; under the protocol `paper`, {_metric(spec, paper.name)}." if spec.paper_metric else ".")


def _limits(task: Task, spec: TaskSpec) -> str:
    files = ", ".join(
        f"`{file.path}` (up to {file.max_bytes:,} bytes{'' if file.required else ', optional'})"
        for file in task.submission_files()
    )
    packages = ", ".join(code(requirement) for requirement in spec.requirements) or "the standard library"
    resources = spec.resources or Resources()
    memory = "the sandbox's default" if resources.memory_bytes is None else f"{resources.memory_bytes / 2**30:g} GiB"
    gpus = f"; graphics processors: {resources.gpus}" if resources.gpus else ""
    network = "granted" if spec.network else "none"
    return (
        f"**Submission**: {files}. **Agents have**: {packages}; memory: {memory}{gpus}; network: {network}. "
        f"**Grading** takes at most {task.grading_seconds:g} s; an invalid submission returns {task.floor:g}."
    )


def _scale(task: Task, variant: str, spec: TaskSpec) -> Iterator[tuple[str, ...]]:
    for protocol in ("strict", "paper") if spec.paper_metric else ("strict",):
        name = spec.primary_metric_under(protocol).name
        shown = _metric(spec, name) + (" (`paper`)" if protocol == "paper" else "")
        for split in get_args(Split):
            anchors = task.paper_anchors(split) if protocol == "paper" else task.anchors(split)
            band = "not yet run" if anchors.band is None else "{:g} to {:g}".format(*anchors.band)
            reference = "–" if anchors.reference is None else f"{anchors.reference:.6g}"
            yield code(variant), split, shown, f"{anchors.baseline:.6g}", band, reference


def _sources(tasks: Mapping[str, Task], spec: TaskSpec) -> list[str]:
    """Return where the numbers come from, once for all variants that say the same."""
    said: dict[str, list[str]] = {}
    for variant, task in tasks.items():
        for name, anchors in (("", task.anchors("test")), (" (`paper`)", task.paper_anchors("test"))):
            if name and not spec.paper_metric:
                continue
            for what, source in _named_sources(anchors):
                if not source:
                    raise UndocumentedError(
                        f"where the {what} of `{spec.id}` ({variant}) comes from", "Give its source."
                    )
                said.setdefault(f"{what.capitalize()}{name}: {cell(source)}", []).append(variant)
    all_variants = list(tasks)
    return [
        text.rstrip(".") + ("." if who == all_variants else f" ({', '.join(code(variant) for variant in who)}).")
        for text, who in said.items()
    ]


def _named_sources(anchors: Anchors) -> list[tuple[str, str]]:
    found = [("baseline", anchors.baseline_source)]
    return found if anchors.reference is None else [*found, ("reference", anchors.reference_source)]


def _data(task: Task) -> str:
    if not task.datasets:
        return "None: what the task needs is made when it is prepared.\n"
    rows = [
        (
            code(dataset.name),
            cell(dataset.summary),
            cell(dataset.license),
            cell(f"{dataset.origin}. {dataset.citation}"),
            "; ".join(cell(source.description) for source in dataset.sources),
        )
        for dataset in task.datasets
    ]
    return table(("dataset", "what it is", "licence", "origin", "comes from, in this order"), rows)


def _contamination(task: Task) -> str:
    known = task.contamination() or ("" if task.answers_public else "nothing known, and no answers are public")
    public = "the test split's answers are public. " if task.answers_public else ""
    return cell((public + known).strip().rstrip(".")) + "."
