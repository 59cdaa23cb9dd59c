"""`mlgym prepare`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mlgym_core.host import Host


@click.command("prepare")
@click.argument("tasks", metavar="TASK…", nargs=-1, required=True)
@click.option("--variant", help="Data variant; each task's first unless given.")
@click.option("--sandbox", default="auto", show_default=True, help="auto, or one of `mlgym sandboxes`.")
@click.pass_context
def prepare_command(context: click.Context, tasks: tuple[str, ...], variant: str | None, sandbox: str) -> None:
    """Make tasks ready ahead of a run: their files, the packages of their sandboxes, and container images.

    All of it is kept, so that later runs start at once and need no network (MLGYM_OFFLINE=1 then forbids it).

    \b
    Examples:
      mlgym prepare games/blotto
      mlgym prepare games/blotto games/battle-of-sexes --sandbox docker
    """
    import asyncio

    from mlgym_core.cli import host_of

    for task in tasks:
        asyncio.run(_prepare(host_of(context), task, variant, sandbox))


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
