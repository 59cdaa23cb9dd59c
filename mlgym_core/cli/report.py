"""`mlgym report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlgym_core.cli.result_rows import ResultRow
    from mlgym_core.recorded_runs import RecordedRun


@click.command("report")
@click.argument("runs", metavar="RUN…", nargs=-1, required=True)
@click.option(
    "--runs-dir",
    default="runs",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where runs lie.",
)
@click.option(
    "--format",
    "form",
    default="text",
    show_default=True,
    type=click.Choice(["text", "markdown", "json"]),
    help="text: for people at a terminal. markdown: to be pasted into a page. json: for programs.",
)
@click.pass_context
def report_command(context: click.Context, runs: tuple[str, ...], runs_dir: Path, form: str) -> None:
    """Show the results of recorded runs in one table, with what the episodes used.

    RUN is a run's id or its folder. Beside each score stand the published baseline, where the run was one of suites
    that name it, and ours. Nothing is played, and runs that go on are shown as far as they have come.

    \b
    Examples:
      mlgym report run-20260131-142501-3f2a
      mlgym report run-20260131-142501-3f2a --format markdown > table.md
      mlgym report first-run second-run --format json
    """
    from mlgym_core.cli import host_of
    from mlgym_core.cli.result_rows import result_rows
    from mlgym_core.recorded_runs import read_run
    from mlgym_core.suites import published_baselines

    recorded = [read_run(Path(run) if Path(run, "run.json").exists() else runs_dir / run) for run in runs]
    host = host_of(context)
    rows = [row for run in recorded for row in result_rows(run.results, published_baselines(host, run.plan.suites))]
    if form == "json":
        _print_json(recorded, rows)
    elif form == "markdown":
        _print_markdown(recorded, rows)
    else:
        _print_text(recorded, rows)


def _print_json(runs: Sequence[RecordedRun], rows: Sequence[ResultRow]) -> None:
    import json

    documents = [run.facts() | {"unfinished": list(run.unfinished)} for run in runs]
    click.echo(json.dumps({"runs": documents, "table": [row.as_json() for row in rows]}))


def _print_markdown(runs: Sequence[RecordedRun], rows: Sequence[ResultRow]) -> None:
    from mlgym_core.cli.result_rows import markdown_table

    if rows:
        click.echo(markdown_table(rows) + "\n")
    for run in runs:
        click.echo(_about(run) + "\n")


def _print_text(runs: Sequence[RecordedRun], rows: Sequence[ResultRow]) -> None:
    from rich.console import Console

    from mlgym_core.cli.progress import suite_table
    from mlgym_core.cli.result_rows import notes_of

    if rows:
        console = Console()
        console = console if console.is_terminal else Console(width=160)
        console.print(suite_table(rows, console.width))
        click.echo()
    for note in notes_of(rows):
        click.echo(note)
    for run in runs:
        click.echo(_about(run))


def _about(run: RecordedRun) -> str:
    """Return a paragraph on when, where and by whom a run was played, and what it used."""
    facts = run.facts()
    machine: dict[str, Any] = facts["machine"]
    where = f"{machine.get('processors', '?')} × {machine.get('processor', 'a processor that was not recorded')}"
    if memory := machine.get("memory_bytes"):
        where += f", {memory / 2**30:.0f} GiB of memory"
    played = ", ".join(facts["suites"]) or ", ".join(facts["tasks"])
    parts = [
        f"{facts['run_id']}: {played}, played by {', '.join(facts['agents'])}"
        + (f" with {facts['model']}" if facts["model"] else ""),
        f"protocol {facts['protocol']}, seed {facts['seed']}, {facts['parallel']} at a time",
        f"begun {facts['started_at']} on {where}, mlgym {facts['mlgym']}, Python {facts['python']}",
        f"{facts['wall_s'] / 60:.1f} minutes in which episodes went on",
    ]
    used = facts["processor_s"]
    parts.append("processor time unknown" if used is None else f"{used / 60:.1f} minutes of the agents' processor time")
    if run.unfinished:
        parts.append(f"not finished: {len(run.unfinished)} of {len(run.unfinished) + len(run.results)} episodes")
    return "; ".join(parts) + "."
