"""`mlgym grade`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mlgym_core.host import Host
    from mlgym_core.types import Protocol, Score, Split


@click.command("grade")
@click.argument("task")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--split",
    default="test",
    show_default=True,
    type=click.Choice(["validation", "test"]),
    help="Which rows or draws to grade on.",
)
@click.option("--variant", help="Data variant; the task's first unless given.")
@click.option(
    "--protocol",
    default="strict",
    show_default=True,
    type=click.Choice(["strict", "paper"]),
    help="Whose rules: ours, or those of 2025, with the metric that counted then.",
)
@click.option("--seed", default=0, show_default=True, help="Seed that everything random in grading derives from.")
@click.option("--sandbox", default="auto", show_default=True, help="auto, or one of `mlgym sandboxes`.")
@click.option("--json", "as_json", is_flag=True, help="Print the score as JSON.")
@click.pass_context
def grade_command(
    context: click.Context,
    task: str,
    folder: Path,
    split: Split,
    variant: str | None,
    protocol: Protocol,
    seed: int,
    sandbox: str,
    as_json: bool,
) -> None:
    """Grade a finished submission folder, outside an episode.

    DIR holds the files that the task asks for (see `mlgym info TASK`). The exit code is 3 if they are not a valid
    submission.

    \b
    Examples:
      mlgym grade games/blotto my-strategy/
      mlgym grade games/blotto my-strategy/ --split validation --seed 7 --json
    """
    import asyncio

    from mlgym_core.cli import host_of

    score = asyncio.run(_grade(host_of(context), task, folder, split, variant, protocol, seed, sandbox))
    if as_json:
        click.echo(score.model_dump_json())
    elif not score.valid:
        click.echo(f"Invalid submission: {score.reason}", err=True)
    else:
        click.echo(f"{score.task} ({score.variant}), {score.split} split")
        for name, value in score.metrics.items():
            click.echo(f"  {name:<12} {value:.6g}")
        reference = "" if score.reference is None else f", reference {score.reference:.6g}"
        click.echo(f"  {'normalised':<12} {score.normalized:+.4f}   (baseline {score.baseline:.6g}{reference})")
    context.exit(0 if score.valid else 3)


async def _grade(
    host: Host,
    task: str,
    folder: Path,
    split: Split,
    variant: str | None,
    protocol: Protocol,
    seed: int,
    sandbox: str,
) -> Score:
    from mlgym_core.episode import invalid_score
    from mlgym_core.errors import InvalidSubmission
    from mlgym_core.grading.grader import GradingOrder, grade_submission
    from mlgym_core.preparation import prepare_task
    from mlgym_core.sandbox.scratch import remove_scratch, scratch_folder
    from mlgym_core.sandbox.selection import choose_sandbox, needs_of
    from mlgym_core.sandbox.submission_files import copy_submission

    prepared = prepare_task(host, task, variant, lambda message: click.echo(message, err=True))
    _, sandbox_class = choose_sandbox(host, sandbox, needs_of(prepared.spec))
    submission = scratch_folder("submission")
    try:
        copy_submission(folder, prepared.task.submission_files(), submission)
        return await grade_submission(prepared, submission, sandbox_class, GradingOrder(split, protocol, seed))
    except InvalidSubmission as problem:
        return invalid_score(prepared, split, protocol, str(problem))
    finally:
        remove_scratch(submission)
