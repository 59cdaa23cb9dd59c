"""`mlgym clean`."""

from __future__ import annotations

import shutil
from pathlib import Path

import click


@click.command("clean")
@click.option("--all", "everything", is_flag=True, help="Also prepared tasks and the packages of sandboxes.")
@click.pass_context
def clean_command(context: click.Context, everything: bool) -> None:
    """Remove what nothing owns any more: temporary folders and control groups of runs that were killed.

    This also happens by itself whenever mlgym starts. With --all, prepared tasks and the packages of sandboxes go, too;
    they are made again when they are needed. Do not use --all while a run goes on.

    \b
    Examples:
      mlgym clean
      mlgym clean --all
    """
    from mlgym_core.sandbox.control_groups import usable_controllers
    from mlgym_core.sandbox.scratch import remove_abandoned
    from mlgym_core.settings import cache_dir

    usable_controllers()  # looks for abandoned groups on the way
    removed = remove_abandoned()
    click.echo(f"Removed {removed} abandoned temporary folder{'' if removed == 1 else 's'}.")
    if everything:
        for name in ("prepared", "environments", "sandbox-files"):
            folder = cache_dir() / name
            size = _size(folder)
            shutil.rmtree(folder, ignore_errors=True)
            click.echo(f"Removed {folder} ({size / 1e6:.1f} MB).")


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
