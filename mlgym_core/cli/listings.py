"""The listings: what is installed, without importing it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from mlgym_core.cli import host_of

if TYPE_CHECKING:
    from mlgym_core.host import Host
    from mlgym_core.registry import Entry

Row = dict[str, Any]


def _base(entry: Entry[Any]) -> Row:
    return {
        "id": entry.spec.id,
        "summary": entry.spec.summary,
        "distribution": entry.distribution,
        "version": entry.version,
        "conflict": list(entry.conflict) or None,
    }


def task_row(entry: Entry[Any]) -> Row:
    spec = entry.spec
    metrics = [
        {"name": metric.name, "direction": metric.direction, "primary": metric is spec.primary_metric}
        for metric in spec.metrics
    ]
    details = {"domain": spec.domain, "tags": list(spec.tags), "variants": list(spec.variants), "metrics": metrics}
    return _base(entry) | details


def tool_row(entry: Entry[Any]) -> Row:
    return _base(entry) | {"default": entry.spec.default, "grant": entry.spec.grant}


def _agent(entry: Entry[Any]) -> Row:
    return _base(entry) | {"needs_model": entry.spec.needs_model, "default": entry.spec.default}


def _metric(entry: Entry[Any]) -> Row:
    return _base(entry) | {"direction": entry.spec.direction}


def suite_row(entry: Entry[Any]) -> Row:
    spec = entry.spec
    details = {"tasks": list(spec.tasks), "variants": dict(spec.variants), "limits": dict(spec.limits)}
    return _base(entry) | details


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of equally many cells in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _report_problems(host: Host) -> None:
    for failure in host.failures:
        origin = f"{failure.name!r} of {failure.distribution} {failure.version}"
        click.echo(f"Plugin {origin} failed at stage {failure.stage}: {failure.error}", err=True)


def _listing(kind: str, plural: str, row: Callable[[Entry[Any]], Row], hint: str) -> click.Command:
    examples = f"\b\nExamples:\n  mlgym {plural}\n  mlgym {plural} --json\n  mlgym --no-plugins {plural}"

    @click.command(plural, help=f"List the installed {plural}, without importing them.\n\n{examples}")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @click.pass_context
    def command(context: click.Context, as_json: bool) -> None:
        host = host_of(context)
        entries = host.registry(kind).entries()
        if as_json:
            click.echo(json.dumps([row(entry) for entry in entries]))
        elif entries:
            shown = [(entry.spec.id, entry.spec.summary, f"{entry.distribution} {entry.version}") for entry in entries]
            print_table([("ID", "SUMMARY", "FROM"), *shown])
        else:
            click.echo(f"No {plural} are installed. {hint}")
        for entry in entries:
            if entry.conflict:
                click.echo(f"{entry.spec.id} cannot be used: {' and '.join(entry.conflict)} provide it.", err=True)
        _report_problems(host)

    return command


_ANY_PACKAGE = "Install a package that provides some (pip install PACKAGE); `mlgym plugins` shows what was loaded."
tasks_command = _listing("task", "tasks", task_row, "Install some: pip install mlgym-task-games")
agents_command = _listing("agent", "agents", _agent, _ANY_PACKAGE)
tools_command = _listing("tool", "tools", tool_row, _ANY_PACKAGE)
metrics_command = _listing("metric", "metrics", _metric, _ANY_PACKAGE)
sandboxes_command = _listing("sandbox", "sandboxes", _base, _ANY_PACKAGE)
models_command = _listing("model", "models", _base, _ANY_PACKAGE)
executors_command = _listing("executor", "executors", _base, _ANY_PACKAGE)
suites_command = _listing("suite", "suites", suite_row, _ANY_PACKAGE)


@click.command("plugins")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def plugins_command(context: click.Context, as_json: bool) -> None:
    """List the plugins that were loaded and those that failed.

    MLGYM_PLUGINS=a,b loads only these, MLGYM_DISABLE=a leaves one out, `mlgym --no-plugins` leaves out all but the
    core's own.

    \b
    Examples:
      mlgym plugins
      mlgym plugins --json
      MLGYM_DISABLE=games mlgym plugins
    """
    host = host_of(context)
    loaded = [
        {
            "name": plugin.name,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "api": plugin.api,
            "specs": [f"{spec.kind}:{spec.id}" for spec in plugin.specs],
        }
        for plugin in host.plugins
    ]
    if as_json:
        click.echo(json.dumps({"loaded": loaded, "failed": [asdict(failure) for failure in host.failures]}))
        return
    rows = [(plugin.name, f"{plugin.distribution} {plugin.version}", str(len(plugin.specs))) for plugin in host.plugins]
    print_table([("PLUGIN", "FROM", "REGISTERED"), *rows])
    for failure in host.failures:
        origin = f"{failure.name} ({failure.distribution} {failure.version})"
        click.echo(f"FAILED  {origin} at stage {failure.stage}: {failure.error}")
