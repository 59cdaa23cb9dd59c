"""`mlgym check`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mlgym_core.checks.findings import Checks, Finding

_MARKS = {"passed": "ok", "failed": "FAILED", "skipped": "skipped"}


@click.command("check")
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
@click.option("--variant", "variants", multiple=True, help="Variants of tasks; `mini` or else the first unless given.")
@click.option("--sandbox", default="auto", show_default=True, help="auto, or one of `mlgym sandboxes`.")
@click.option("-A", "agent_options", multiple=True, metavar="KEY=VALUE", help="An option of the agents; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def check_command(
    context: click.Context,
    names: tuple[str, ...],
    variants: tuple[str, ...],
    sandbox: str,
    agent_options: tuple[str, ...],
    as_json: bool,
) -> None:
    """Check that what a package registers is what the framework expects, and withstands attacks.

    NAME is a task, an agent, a tool, a metric, a sandbox, or a distribution, which stands for all that it registers.

    Of a task it looks at what it says of itself; prepares it twice and compares; looks for its private files wherever
    an agent could read; runs its baseline and grades it again; grades better and better submissions, if the task has
    an oracle, and malformed ones; tries to forge a score, and the attacks that the task itself names.

    An agent plays a tiny task with scripted models that work, wander, fail and hang. A tool gets wrong and hostile
    arguments and files, a metric right and wrong predictions, and a sandbox the suite of the test kit. The exit code is
    1 if anything failed.

    \b
    Examples:
      mlgym check vision/digits
      mlgym check mlgym-task-tabular --json
      mlgym check tabular/house-price --variant ames --variant kaggle
      mlgym check react bash rmse bwrap
    """
    import asyncio

    from mlgym_core.checks.selection import chosen_checks
    from mlgym_core.cli import host_of
    from mlgym_core.cli.run import pairs_of

    every = chosen_checks(
        host_of(context),
        names,
        variants=variants,
        sandbox=sandbox,
        options=pairs_of("-A", agent_options),
        notify=lambda message: click.echo(message, err=True),
    )
    # Closed only where all came to an end: closing waits for what goes on.
    runner = asyncio.Runner()
    try:
        findings, goes_on = runner.run(_check(every, quiet=as_json))
    except BaseException:
        runner.close()
        raise
    if as_json:
        from dataclasses import asdict

        click.echo(json.dumps([asdict(finding) for finding in findings]))
    failed = sum(finding.outcome == "failed" for finding in findings)
    if not as_json:
        skipped = sum(finding.outcome == "skipped" for finding in findings)
        click.echo(f"\n{len(findings) - failed - skipped} passed, {failed} failed, {skipped} skipped")
    if goes_on:
        click.echo("What was checked cannot be stopped; mlgym leaves it behind.", err=True)
        sys.stdout.flush()
        os._exit(1)
    runner.close()
    context.exit(1 if failed else 0)


async def _check(every: Iterable[Checks], *, quiet: bool) -> tuple[list[Finding], bool]:
    """Return all findings, and whether something goes on that cannot be stopped."""
    findings: list[Finding] = []
    goes_on = False
    for checks in every:
        if not quiet:
            variant = f" ({checks.variant})" if checks.variant is not None else ""
            click.echo(f"{checks.kind} {checks.id}{variant}")
        async for finding in checks.all():
            findings.append(finding)
            if not quiet:
                _show(finding)
        goes_on = goes_on or checks.goes_on
    return findings, goes_on


def _show(finding: Finding) -> None:
    click.echo(f"  {_MARKS[finding.outcome]:<8} {finding.check}: {finding.detail}")
    if finding.remedy:
        click.echo(f"           → {finding.remedy}")
