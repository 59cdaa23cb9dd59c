"""`mlgym info`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from mlgym_core.cli import host_of
from mlgym_core.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from mlgym_core.host import Host


@click.command("info")
@click.argument("name")
@click.option("--variant", help="Data variant; the task's first unless given.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def info_command(context: click.Context, name: str, variant: str | None, as_json: bool) -> None:
    """Show everything about one task, suite, agent, tool or provider of models.

    Of a task: what agents are told, metrics, scale, files, origin. Of a suite: its tasks, with variants and published
    baselines, and its limits. Of the others: what they do, and their options with types and defaults.

    \b
    Examples:
      mlgym info games/blotto
      mlgym info games/blotto --variant full --json
      mlgym info mlgym-bench-v0-mini
      mlgym info react
      mlgym info bash
    """
    host = host_of(context)
    if "/" not in name and (kinds := _kinds_of(host, name)):
        if variant is not None:
            raise UsageError(f"--variant is for tasks, and {name!r} is none.")
        _show_others(host, name, kinds, as_json=as_json)
        return
    facts = _facts(host, name, variant)
    if as_json:
        click.echo(json.dumps(facts))
        return
    click.echo(f"{facts['id']}  (version {facts['task_version']}, variant {facts['variant']})\n{facts['summary']}\n")
    click.echo(f"  from            {facts['distribution']} {facts['version']}")
    click.echo(f"  variants        {', '.join(facts['variants'])}")
    for metric in facts["metrics"]:
        primary = "  (primary)" if metric["primary"] else ""
        if metric["name"] == facts["paper_metric"] and not primary:
            primary = "  (primary under protocol paper)"
        click.echo(f"  metric          {metric['name']}, {metric['direction']}{primary}")
    for split, anchors in facts["anchors"].items():
        reference = "none" if anchors["reference"] is None else f"{anchors['reference']:.6g}"
        click.echo(f"  {split:<15} baseline {anchors['baseline']:.6g}, reference {reference}")
    anchors = facts["anchors"]["test"]
    band = "not yet run" if anchors["band"] is None else "{:g} to {:g}".format(*anchors["band"])
    click.echo(f"  baseline runs   {band}")
    for name in ("baseline", "reference"):
        if anchors[f"{name}_source"]:
            click.echo(f"  {name:<15} {anchors[f'{name}_source']}")
    for dataset in facts["datasets"]:
        click.echo(f"  data            {dataset['name']}: {dataset['summary']}; {dataset['license']}")
        click.echo(f"                  {dataset['origin']}; {dataset['citation']}")
    for file in facts["submission_files"]:
        need = "required" if file["required"] else "optional"
        click.echo(f"  submission      {file['path']} ({need}, up to {file['max_bytes']:,} bytes)")
    click.echo(f"  requirements    {', '.join(facts['requirements']) or 'none'}")
    resources = {name: value for name, value in (facts["resources"] or {}).items() if value}
    limits = ", ".join(f"{name} {value:,}" for name, value in resources.items()) or "the sandbox's defaults"
    click.echo(f"  limits          {limits}; network {'granted' if facts['network'] else 'none'}")
    click.echo(
        f"  grading         at most {facts['grading_seconds']:g} s; invalid submissions return {facts['floor']:g}"
    )
    public = "The test split's answers are public. " if facts["answers_public"] else ""
    click.echo(f"  contamination   {public}{facts['contamination'] or ('' if public else 'nothing known')}".rstrip())
    click.echo(f"\nWhat agents are told:\n\n{facts['description'].strip()}")


def _kinds_of(host: Host, name: str) -> list[str]:
    """Return of which kinds there is something with this name.

    Raises:
        UnknownNameError: if there is none, but something like it.
    """
    from mlgym_core.cli.describing import KINDS
    from mlgym_core.ids import near_misses
    from mlgym_core.loading import said_of_failures

    known = {kind: _ids(host, kind) for kind in (*KINDS, "suite")}
    kinds = [kind for kind, names in known.items() if name in names]
    every = [*_ids(host, "task"), *(one for names in known.values() for one in names)]
    if not kinds:
        remedy = (
            "`mlgym tasks`, `mlgym suites`, `mlgym agents`, `mlgym tools` and `mlgym models` list what is installed. "
            f"{said_of_failures(host.failures)}"
        ).rstrip()
        raise UnknownNameError("task, suite, agent, tool or provider of models", name, near_misses(name, every), remedy)
    return kinds


def _ids(host: Host, kind: str) -> list[str]:
    return [entry.spec.id for entry in host.registry(kind).entries()]


def _show_others(host: Host, name: str, kinds: list[str], *, as_json: bool) -> None:
    from mlgym_core.cli.describing import facts_of, facts_of_suite, show, show_suite

    for kind in kinds:
        facts = facts_of_suite(host, name) if kind == "suite" else facts_of(host, kind, name)
        if as_json:
            click.echo(json.dumps(facts))
        elif kind == "suite":
            show_suite(facts)
        else:
            show(facts)


def _facts(host: Host, task_id: str, variant: str | None) -> dict[str, Any]:
    from dataclasses import asdict
    from typing import get_args

    from mlgym_core.cli.listings import task_row
    from mlgym_core.types import Split

    provider = task_id.partition("/")[0]
    if provider in _ids(host, "model") and task_id not in _ids(host, "task"):
        remedy = f"`mlgym info {provider}` shows the options of models of this provider."
        raise UnknownNameError("task", task_id, remedy=remedy)
    entry = host.tasks.entry(task_id)
    spec = entry.spec
    chosen = variant or spec.variants[0]
    if chosen not in spec.variants:
        raise UsageError(f"Task {task_id!r} has no variant {chosen!r}. It has: {', '.join(spec.variants)}.")
    task = host.tasks.load(task_id)(chosen)
    return task_row(entry) | {
        "task_version": spec.version,
        "variant": chosen,
        "description": task.description(),
        "anchors": {split: asdict(task.anchors(split)) for split in get_args(Split)},
        "paper_metric": spec.primary_metric_under("paper").name,
        "paper_anchors": {split: asdict(task.paper_anchors(split)) for split in get_args(Split)},
        "submission_files": [asdict(file) for file in task.submission_files()],
        "requirements": list(spec.requirements),
        "grader_requirements": list(spec.grader_requirements),
        "network": spec.network,
        "resources": None if spec.resources is None else asdict(spec.resources),
        "grading_seconds": task.grading_seconds,
        "floor": task.floor,
        "baseline_script": task.baseline_script,
        "datasets": [
            {key: getattr(dataset, key) for key in ("name", "summary", "license", "origin", "citation")}
            for dataset in task.datasets
        ],
        "answers_public": task.answers_public,
        "contamination": task.contamination(),
    }
