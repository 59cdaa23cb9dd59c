"""`mlgym clean`."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import click


@click.command("clean")
@click.option("--all", "everything", is_flag=True, help="Also prepared tasks and the packages of sandboxes.")
@click.pass_context
def clean_command(context: click.Context, everything: bool) -> None:
    """Remove what nothing owns any more: what runs that were killed left, such as temporary folders and containers.

    This also happens by itself whenever mlgym starts. With --all, prepared tasks and the packages of sandboxes go, too;
    they are made again when they are needed. Do not use --all while a run goes on.

    \b
    Examples:
      mlgym clean
      mlgym clean --all
    """
    from mlgym_core.cli import host_of
    from mlgym_core.errors import MlgymError
    from mlgym_core.sandbox.scratch import remove_abandoned
    from mlgym_core.settings import cache_dir

    removed = Counter({"temporary folder": remove_abandoned()})
    for spec in (host := host_of(context)).sandboxes:
        try:
            removed.update(host.sandboxes.load(spec.id).remove_abandoned())
        except MlgymError as error:
            click.echo(f"Of the sandbox {spec.id!r} nothing was removed: {error}", err=True)
    for what, number in removed.items():
        click.echo(f"Removed {number} abandoned {what}{'' if number == 1 else 's'}.")
    if everything:
        for name in ("prepared", "environments", "sandbox-files"):
            folder = cache_dir() / name
            size = _size(folder)
            shutil.rmtree(folder, ignore_errors=True)
            click.echo(f"Removed {folder} ({size / 1e6:.1f} MB).")


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
