"""`mlgym data`: the cache of datasets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlgym_core.cli import host_of

if TYPE_CHECKING:
    from mlgym_core.data.declarations import Dataset
    from mlgym_core.data.store import StoredDataset
    from mlgym_core.host import Host

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("data")
def data_command() -> None:
    """List, fetch, verify and import the data of tasks.

    A dataset has a name within its task, such as `ames` of tabular/house-price. It comes from the first of these that
    has it: files that you imported, a package of the system, a Python package, a mirror (MLGYM_DATA_MIRROR), its
    publisher. Whatever the source, its content is verified. Runs fetch what they need by themselves.

    MLGYM_DATA_MIRROR is a folder or an http(s) URL that has files at TASK/DATASET/FILE, called as `mlgym data list
    --json` says. MLGYM_OFFLINE=1 forbids to fetch anything from other machines.

    \b
    Examples:
      mlgym data list
      mlgym data pull vision/fashion-mnist
      mlgym data import tabular/house-price kaggle train.csv
    """


@data_command.command("list")
@click.argument("tasks", metavar="[TASK…]", nargs=-1)
@_json_option
@click.pass_context
def list_command(context: click.Context, tasks: tuple[str, ...], as_json: bool) -> None:
    """List the datasets of tasks, of all unless some are named, and which of them are here."""
    from mlgym_core.cli.listings import print_table

    host = host_of(context)
    rows = [_row(task, dataset) for task, dataset in _datasets(host, tasks, keep_going=not tasks)]
    if as_json:
        click.echo(json.dumps(rows))
        return
    if not rows:
        click.echo("No task that is installed has any dataset.")
        return
    table = [["TASK", "DATASET", "HERE", "SIZE", "SUMMARY", "LICENCE"]]
    for row in rows:
        here = "yes" if row["path"] else "no"
        table.append(
            [row["task"], row["dataset"], here, f"{row['size_bytes'] / 1e6:.1f} MB", row["summary"], row["license"]]
        )
    print_table(table)


@data_command.command("pull")
@click.argument("task")
@click.argument("datasets", metavar="[DATASET…]", nargs=-1)
@click.option("--replace", is_flag=True, help="Fetch anew, and accept other content than that trusted at first use.")
@click.pass_context
def pull_command(context: click.Context, task: str, datasets: tuple[str, ...], replace: bool) -> None:
    """Fetch datasets of a task, all unless some are named, verify those that are here, and replace damaged ones.

    An interrupted download goes on where it stopped.
    """
    from mlgym_core.data.obtaining import refresh
    from mlgym_core.errors import DataError

    failed = False
    for dataset in _chosen(host_of(context), task, datasets):
        try:
            stored = refresh(task, dataset, lambda message: click.echo(message, err=True), replace=replace)
        except DataError as error:
            click.echo(f"Error: {error}", err=True)
            failed = True
        else:
            _say(task, dataset, stored)
    context.exit(1 if failed else 0)


@data_command.command("verify")
@click.argument("task", required=False)
@click.argument("datasets", metavar="[DATASET…]", nargs=-1)
@click.pass_context
def verify_command(context: click.Context, task: str | None, datasets: tuple[str, ...]) -> None:
    """Compare every byte of the datasets that are here with their hashes. Exit code 1 if one is damaged.

    Without a task, all that are here are verified; datasets that you name must be here.
    """
    from mlgym_core.data.store import DatasetStore

    host = host_of(context)
    if task is None:
        pairs = list(_datasets(host, (), keep_going=True))
    else:
        pairs = [(task, dataset) for dataset in _chosen(host, task, datasets)]
    damaged = False
    looked_at = 0
    for owner, dataset in pairs:
        store = DatasetStore(owner, dataset)
        stored = store.find()
        if stored is None and not datasets:
            continue
        looked_at += 1
        damage = store.damage()
        if damage is None and stored is not None:
            kind = "declared" if dataset.content_hash else "recorded at first use"
            click.echo(f"{owner} {dataset.name}: as {kind} ({stored.content_hash})")
            continue
        damaged = True
        click.echo(f"{owner} {dataset.name}: {damage}. `mlgym data pull {owner} {dataset.name}` mends it.", err=True)
    if not looked_at:
        click.echo("No dataset is here.", err=True)
    context.exit(1 if damaged else 0)


@data_command.command("import")
@click.argument("task")
@click.argument("dataset")
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--replace", is_flag=True, help="Accept other content than that trusted at first use.")
@click.pass_context
def import_command(context: click.Context, task: str, dataset: str, files: tuple[Path, ...], replace: bool) -> None:
    """Take a dataset from files that you have, such as those behind a login.

    Any form in which one of its sources comes will do (`mlgym data list TASK --json` names the files). They are
    verified and copied.

    \b
    Example:
      mlgym data import tabular/house-price kaggle train.csv
    """
    from mlgym_core.data.obtaining import import_files

    [chosen] = _chosen(host_of(context), task, (dataset,))
    _say(task, chosen, import_files(task, chosen, files, replace=replace))


@data_command.command("path")
@click.argument("task")
@click.argument("dataset")
@click.pass_context
def path_command(context: click.Context, task: str, dataset: str) -> None:
    """Print the folder of a dataset that is here: CSV files, and arrays for `numpy.load`. It is read-only."""
    from mlgym_core.data.store import DatasetStore
    from mlgym_core.errors import DataError

    [chosen] = _chosen(host_of(context), task, (dataset,))
    stored = DatasetStore(task, chosen).find()
    if stored is None:
        raise DataError(f"{task} {dataset} is not here. `mlgym data pull {task} {dataset}` fetches it, if it can.")
    click.echo(stored.path)


@data_command.command("remove")
@click.argument("task")
@click.argument("datasets", metavar="DATASET…", nargs=-1, required=True)
@click.pass_context
def remove_command(context: click.Context, task: str, datasets: tuple[str, ...]) -> None:
    """Remove datasets from the cache, also what was trusted at first use. Imported ones must then be imported again."""
    from mlgym_core.data.store import DatasetStore

    for dataset in _chosen(host_of(context), task, datasets):
        store = DatasetStore(task, dataset)
        with store.lock():
            was_here = store.remove()
        click.echo(f"{task} {dataset.name}: {'removed' if was_here else 'was not here'}")


def _say(task: str, dataset: Dataset, stored: StoredDataset) -> None:
    origin = f", from {stored.source}" if stored.source else ""
    click.echo(f"{task} {dataset.name} is here: {stored.size_bytes / 1e6:.1f} MB{origin}")
    click.echo(f"  content {stored.content_hash}{'' if dataset.content_hash else ' (trusted at first use)'}")


def _row(task: str, dataset: Dataset) -> dict[str, Any]:
    from mlgym_core.data.store import DatasetStore

    stored = DatasetStore(task, dataset).find()
    return {
        "task": task,
        "dataset": dataset.name,
        "summary": dataset.summary,
        "path": None if stored is None else str(stored.path),
        "size_bytes": dataset.size_bytes if stored is None else stored.size_bytes,
        "content_hash": dataset.content_hash if stored is None else stored.content_hash,
        "declared": dataset.content_hash is not None,
        "source": None if stored is None else stored.source,
        "obtained_at": None if stored is None else stored.obtained_at,
        "license": dataset.license,
        "origin": dataset.origin,
        "citation": dataset.citation,
        "sources": [{"source": source.description, "files": list(source.files)} for source in dataset.sources],
    }


def _chosen(host: Host, task: str, names: tuple[str, ...]) -> list[Dataset]:
    from mlgym_core.data.obtaining import named_dataset

    datasets = host.tasks.load(task).datasets
    if not datasets and not names:
        click.echo(f"The task {task!r} has no datasets.", err=True)
    return [named_dataset(task, datasets, name) for name in names] if names else list(datasets)


def _datasets(host: Host, tasks: tuple[str, ...], *, keep_going: bool) -> Iterator[tuple[str, Dataset]]:
    from mlgym_core.errors import MlgymError

    for task in tasks or [spec.id for spec in host.tasks]:
        try:
            datasets = host.tasks.load(task).datasets
        except MlgymError as error:
            if not keep_going:
                raise
            click.echo(f"The datasets of {task} cannot be listed: {error}", err=True)
            continue
        for dataset in datasets:
            yield task, dataset
