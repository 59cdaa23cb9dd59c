"""`mlgym prepare`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mlgym_core.host import Host


@click.command("prepare")
@click.argument("tasks", metavar="TASK…", nargs=-1)
@click.option("--suite", "suites", multiple=True, help="Prepare the tasks of a suite (see `mlgym suites`).")
@click.option("--variant", help="Data variant; unless given, what their suites name, or each task's first.")
@click.option("--sandbox", default="auto", show_default=True, help="auto, or one of `mlgym sandboxes`.")
@click.pass_context
def prepare_command(
    context: click.Context, tasks: tuple[str, ...], suites: tuple[str, ...], variant: str | None, sandbox: str
) -> None:
    """Make tasks ready ahead of a run: their files, the packages of their sandboxes, and container images.

    All of it is kept, so that later runs start at once and need no network (MLGYM_OFFLINE=1 then forbids it).
    Of several tasks, one that cannot be prepared keeps none of the others from it.

    \b
    Examples:
      mlgym prepare games/blotto
      mlgym prepare games/blotto games/battle-of-sexes --sandbox docker
      mlgym prepare --suite mlgym-bench-v0-mini
    """
    import asyncio

    from mlgym_core.cli import host_of
    from mlgym_core.errors import MlgymError, UsageError
    from mlgym_core.suites import chosen_tasks

    host = host_of(context)
    chosen = chosen_tasks(host, tasks, suites, variant)
    if not chosen.tasks:
        raise UsageError("Name at least one task or a --suite. `mlgym tasks` lists what is installed.")
    for task in chosen.tasks:
        host.tasks.spec(task)
    failed = []
    for task in chosen.tasks:
        try:
            asyncio.run(_prepare(host, task, variant or chosen.variants.get(task), sandbox))
        except MlgymError as error:
            if len(chosen.tasks) == 1:
                raise
            failed.append(task)
            click.echo(f"{task} cannot be prepared: {error}", err=True)
    if failed:
        click.echo(f"{len(failed)} of {len(chosen.tasks)} tasks are not ready: {', '.join(failed)}", err=True)
        context.exit(1)


async def _prepare(host: Host, task: str, variant: str | None, sandbox: str) -> None:
    from mlgym_core.errors import InfrastructureError
    from mlgym_core.preparation import prepare_task
    from mlgym_core.sandbox.pipes import run_process
    from mlgym_core.sandbox.selection import choose_sandbox, needs_of
    from mlgym_core.workplace import Workplace

    name, sandbox_class = choose_sandbox(host, sandbox, needs_of(host.tasks.spec(task)))
    prepared = prepare_task(host, task, variant, lambda message: click.echo(message, err=True))
    workplace = Workplace(prepared, sandbox_class)
    try:
        # What a sandbox needs besides, such as an image, is made when one starts.
        done = await run_process(
            workplace.sandbox, [*workplace.sandbox.python, "-c", "print('ready')"], output_limit=100, seconds=600
        )
    finally:
        await workplace.close()
    if done.output != b"ready\n":
        raise InfrastructureError(f"Python does not start in the sandbox {name!r}: {done.error}")
    click.echo(f"{task} ({prepared.variant}) is ready: {prepared.public_bytes / 1e6:.1f} MB of files, sandbox {name}")
