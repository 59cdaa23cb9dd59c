"""`mlgym check`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mlgym_core.checks.findings import Finding
    from mlgym_core.host import Host

_MARKS = {"passed": "ok", "failed": "FAILED", "skipped": "skipped"}


@click.command("check")
@click.argument("names", metavar="TASK|DISTRIBUTION…", nargs=-1, required=True)
@click.option("--variant", "variants", multiple=True, help="Variants to check; `mini` or else the first unless given.")
@click.option("--sandbox", default="auto", show_default=True, help="auto, or one of `mlgym sandboxes`.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def check_command(
    context: click.Context, names: tuple[str, ...], variants: tuple[str, ...], sandbox: str, as_json: bool
) -> None:
    """Check that tasks are what the framework expects of one, and that they withstand attacks.

    Looks at what a task says of itself; prepares it twice and compares; looks for its private files wherever an agent
    could read; runs its baseline and grades it again; grades malformed submissions; tries to forge a score, and the
    attacks that the task itself names. A distribution stands for all of its tasks. The exit code is 1 if anything
    failed.

    \b
    Examples:
      mlgym check vision/digits
      mlgym check mlgym-task-tabular --json
      mlgym check tabular/house-price --variant ames --variant kaggle
    """
    import asyncio

    from mlgym_core.cli import host_of

    findings = asyncio.run(_check(host_of(context), names, variants, sandbox, quiet=as_json))
    if as_json:
        from dataclasses import asdict

        click.echo(json.dumps([asdict(finding) for finding in findings]))
    failed = sum(finding.outcome == "failed" for finding in findings)
    if not as_json:
        skipped = sum(finding.outcome == "skipped" for finding in findings)
        click.echo(f"\n{len(findings) - failed - skipped} passed, {failed} failed, {skipped} skipped")
    context.exit(1 if failed else 0)


async def _check(
    host: Host, names: tuple[str, ...], variants: tuple[str, ...], sandbox: str, *, quiet: bool
) -> list[Finding]:
    from mlgym_core.checks.tasks import TaskChecks
    from mlgym_core.errors import UsageError

    findings = []
    for task in [task for name in names for task in _tasks(host, name)]:
        known = host.tasks.spec(task).variants
        for variant in variants or ("mini" if "mini" in known else known[0],):
            if variant not in known:
                raise UsageError(f"Task {task!r} has no variant {variant!r}. It has: {', '.join(known)}.")
            if not quiet:
                click.echo(f"{task} ({variant})")
            checks = TaskChecks(host, task, variant, sandbox, lambda message: click.echo(message, err=True))
            async for finding in checks.all():
                findings.append(finding)
                if not quiet:
                    _show(finding)
    return findings


def _show(finding: Finding) -> None:
    click.echo(f"  {_MARKS[finding.outcome]:<8} {finding.check}: {finding.detail}")
    if finding.remedy:
        click.echo(f"           → {finding.remedy}")


def _tasks(host: Host, name: str) -> list[str]:
    """Return the ids that a task's or a distribution's name stands for."""
    from mlgym_core.errors import UnknownNameError

    if "/" in name:
        return [host.tasks.spec(name).id]
    tasks = [entry.spec.id for entry in host.tasks.entries() if entry.distribution == name]
    if not tasks:
        distributions = sorted({entry.distribution for entry in host.tasks.entries()})
        raise UnknownNameError("distribution with tasks", name, distributions, "Name a task as domain/name.")
    return tasks
