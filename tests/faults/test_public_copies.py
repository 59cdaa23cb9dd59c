"""Copies of the data that the system has, which agents must not see."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mlgym_core import Host
from mlgym_core.preparation import PreparedTask, prepare_task
from mlgym_core.sandbox.pipes import run_process
from mlgym_core.sandbox.system_view import DATA_FOLDER
from mlgym_core.workplace import Workplace

SHOWN = "/usr/share"


async def seen(prepared: PreparedTask, host: Host, sandbox: str, folder: str) -> list[str]:
    """Return the names that an agent sees in a folder."""
    workplace = Workplace(prepared, host.sandboxes.load(sandbox))
    try:
        done = await run_process(workplace.sandbox, ["/bin/ls", "-A", folder], output_limit=100_000, seconds=60)
        return done.output.decode().split()
    finally:
        await workplace.close()


async def test_folders_of_data_are_hidden(host: Host, isolated_sandbox: str, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = prepare_task(host, "examples/number")
    names = await seen(prepared, host, isolated_sandbox, SHOWN)
    hidden = f"{SHOWN}/{next(name for name in names if name in ('doc', 'common-licenses', 'zoneinfo', 'perl5'))}"
    assert await seen(prepared, host, isolated_sandbox, hidden)
    monkeypatch.setattr(PreparedTask, "hidden", (hidden, f"{hidden}/inner", "/no/such/folder", hidden))
    assert await seen(prepared, host, isolated_sandbox, hidden) == []
    others = set(await seen(prepared, host, isolated_sandbox, SHOWN))
    assert set(names) <= others


@pytest.mark.skipif(not any(Path(DATA_FOLDER).glob("*")), reason="this machine has no packaged data")
@pytest.mark.parametrize("isolated_sandbox", ["bwrap"], indirect=True)
async def test_packaged_data_are_hidden_whatever_the_task(host: Host, isolated_sandbox: str) -> None:
    assert await seen(prepare_task(host, "examples/number"), host, isolated_sandbox, DATA_FOLDER) == []


def test_what_is_hidden_are_the_folders_of_the_datasets(host: Host) -> None:
    prepared = prepare_task(host, "examples/number")
    assert prepared.hidden == ()
    from example_data import Lines, dataset, system

    class Packaged(Lines):
        datasets = (dataset(system(Path("/usr/share/lines"))), dataset(system(Path("/usr/share/lines")), name="more"))

    assert dataclasses.replace(prepared, task=Packaged()).hidden == ("/usr/share/lines",)
