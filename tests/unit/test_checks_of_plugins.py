"""`mlgym check` of agents, tools, metrics and sandboxes: what is sound passes, and each fault is found."""

from __future__ import annotations

import asyncio
import json
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path

import faulty_plugins
import pytest
from faulty_plugins import FaultyPlugins

from mlgym_core import Host, UnknownNameError
from mlgym_core.checks import watching
from mlgym_core.checks.findings import CheckedKind, Finding
from mlgym_core.checks.importing import check_light_import
from mlgym_core.checks.samples import SAMPLE_TASK, SamplePlugin
from mlgym_core.checks.selection import chosen_checks
from mlgym_core.making import make_env
from tests.cli.conftest import FakeSite


@pytest.fixture(scope="module")
def faulty() -> Host:
    return Host.of(FaultyPlugins())


@pytest.fixture(autouse=True)
def modules_of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let other processes import the plugins' modules, as they would those of an installed package."""
    monkeypatch.setenv("PYTHONPATH", str(Path(faulty_plugins.__file__).parent))


def findings(
    host: Host, kind: CheckedKind, name: str, only: Sequence[str] = (), sandbox: str = "process"
) -> dict[str, Finding]:
    """Return the findings of some checks, or of all, by name."""

    async def collected() -> dict[str, Finding]:
        [checks] = chosen_checks(host, [name], kinds=(kind,), sandbox=sandbox)
        chosen = [(check, make) for check, make in checks.checks() if check in only or not only]
        try:
            return {check: await checks._finding(check, make) for check, make in chosen}
        finally:
            await checks.close()

    return asyncio.run(collected())


@pytest.mark.parametrize(
    ("kind", "name"), [("agent", "caller"), ("tool", "reader"), ("tool", "quoting"), ("metric", "distance")]
)
def test_what_is_sound_passes(kind: CheckedKind, name: str, faulty: Host) -> None:
    found = findings(faulty, kind, name)
    # There is no installed module whose import could be looked at.
    others = {check: finding for check, finding in found.items() if check != "import" or kind == "metric"}
    assert {finding.outcome for finding in others.values()} == {"passed"}, found
    assert {(finding.kind, finding.id, finding.variant) for finding in found.values()} == {(kind, name, None)}


@pytest.mark.parametrize(
    ("kind", "name", "check", "says"),
    [
        ("agent", "terse", "options", "nothing says what mood is for"),
        ("agent", "quitter", "plays", "The agent 'quitter' broke: RuntimeError: no"),
        ("agent", "deaf", "ends", "IndexError"),
        ("agent", "gullible", "confused model", "AssertionError"),
        ("agent", "soothing", "failing model", "counts as completed"),
        ("agent", "stubborn", "interrupted", "it goes on"),
        ("agent", "aloof", "interrupted", "never asked its model"),
        ("tool", "silent", "schema", "models are told ''"),
        ("tool", "forgetful", "answers", "it returned a NoneType, and not a ToolResult"),
        ("tool", "vague", "schema", "not told what path may be"),
        ("tool", "fragile", "hostile arguments", "ZeroDivisionError"),
        ("tool", "injected", "hostile arguments", "executes what is in it"),
        ("tool", "talkative", "hostile files", "3,000,000 characters"),
        ("tool", "strict", "hostile files", "UnicodeDecodeError"),
        ("metric", "upside-down", "direction", "it is to be maximized"),
        ("metric", "ordered", "order of rows", "in another order"),
        ("metric", "correlation", "constant predictions", "make it nan"),
        ("metric", "truncating", "lengths", "it returns 0"),
        ("metric", "sorting", "repeatable", "changes what it is given"),
        ("metric", "whole", "repeatable", "a int"),
        ("metric", "picky", "values", "accepts nothing"),
    ],
)
def test_each_fault_is_found(kind: CheckedKind, name: str, check: str, says: str, faulty: Host) -> None:
    finding = findings(faulty, kind, name, [check])[check]
    assert finding.outcome == "failed", finding
    assert says in finding.detail
    assert finding.remedy


@pytest.mark.parametrize(
    ("kind", "name", "check"),
    [
        ("agent", "retrying", "ends"),
        ("agent", "dozing", "plays"),
        ("agent", "dozing", "interrupted"),
        ("tool", "sleepy", "answers"),
    ],
)
def test_what_holds_up_everything_is_ended(
    kind: CheckedKind, name: str, check: str, faulty: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "LONGEST_PAUSE", 3.0)
    finding = findings(faulty, kind, name, [check])[check]
    assert finding.outcome == "failed", finding
    assert "it holds up everything else for 3 s" in finding.detail
    assert name == "retrying" or "faulty_plugins.py, line " in finding.detail
    assert "`await`" in finding.remedy


def test_what_is_held_up_is_not_interrupted_where_nobody_would_know() -> None:
    reached: list[bool] = []

    class Going:
        def __del__(self) -> None:
            reached.append(watching._reaches(sys._getframe(), held_up.__code__))

    def held_up() -> None:
        reached.append(watching._reaches(sys._getframe(), held_up.__code__))
        Going()

    held_up()
    assert reached == [True, False]
    assert weakref.WeakSet.add.__code__.co_filename in watching._CALLED_BY_COLLECTOR


ENDLESS = """
import time
from mlgym_core import Agent, AgentSpec, hookimpl

MLGYM_API = 1


@hookimpl
def mlgym_agents():
    yield AgentSpec("endless", "fake_fake_endless:Endless", "s")


class Endless(Agent):
    def run(self, env):
        while True:
            time.sleep(1)
"""


def test_the_command_leaves_what_cannot_be_stopped(site: FakeSite) -> None:
    site.add("fake-endless", "endless", ENDLESS)
    program = """
        from mlgym_core.checks import agents
        agents._PATIENCE = agents._GRACE = 2.0
        from mlgym_core.cli import main; main()
    """
    checked = site.python(program, "check", "endless", "--sandbox", "process", "--json")
    assert checked.returncode == 1
    failed = {row["check"] for row in json.loads(checked.stdout) if row["outcome"] == "failed"}
    assert failed == {"plays", "ends"}
    assert "mlgym leaves it behind" in checked.stderr


async def test_a_tool_that_returns_nothing_ends_no_episode(faulty: Host) -> None:
    host = faulty.extended(SamplePlugin())
    async with await make_env(SAMPLE_TASK, host=host, sandbox="process", tools=["forgetful"]) as env:
        await env.reset()
        observation, *_ = await env.step({"tool": "forgetful", "arguments": {"path": "x"}})
        assert (observation.error, env.is_over) == (True, False)
        assert observation.text.startswith("The tool 'forgetful' broke: TypeError: it returned a NoneType")


def test_agents_with_options_that_must_be_given_are_asked_for_them(faulty: Host) -> None:
    found = findings(faulty, "agent", "script", ["plays"])["plays"]
    assert (found.outcome, found.detail) == ("skipped", "it needs options: -A file=…")


def test_sandboxes_that_isolate_nothing_have_no_preference(monkeypatch: pytest.MonkeyPatch, faulty: Host) -> None:
    object.__setattr__(spec := faulty.sandboxes.spec("process"), "preference", 5)
    try:
        found = findings(faulty, "sandbox", "process", ["capabilities"])["capabilities"]
    finally:
        object.__setattr__(spec, "preference", None)
    assert (found.outcome, "isolates nothing" in found.detail) == ("failed", True)


def test_the_place_of_a_heavy_import_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outer_module.py").write_text("print('hello')\nimport inner_module\n")
    (tmp_path / "inner_module.py").write_text("\n\nimport numpy.linalg\n\ndef later():\n    import scipy\n")
    (tmp_path / "hopeful_module.py").write_text("try:\n    import torch\nexcept ImportError:\n    torch = None\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(Exception, match=r"imports numpy \(inner_module.py, line 3\)\Z"):
        asyncio.run(check_light_import(["outer_module"]))
    assert "nothing heavy" in asyncio.run(check_light_import(["hopeful_module"]))
    with pytest.raises(Exception, match="cannot be imported alone"):
        asyncio.run(check_light_import(["no_such_module"]))


# --------------------------------------------------------------------------------------- the command line

PLUGIN = """
from mlgym_core import AgentSpec, MetricSpec, hookimpl
MLGYM_API = 1
@hookimpl
def mlgym_agents():
    yield AgentSpec("same-name", "faulty_plugins:Aloof", "s")
@hookimpl
def mlgym_metrics():
    yield MetricSpec("same-name", "faulty_plugins:Distance", "s", direction="minimize")
    yield MetricSpec("crooked", "faulty_plugins:Ordered", "s", direction="minimize")
"""


def test_the_command_takes_names_of_all_kinds(site: FakeSite, tmp_path: Path) -> None:
    site.add("mlgym-things", "things", PLUGIN)
    (site.folder / "faulty_plugins.py").write_text(Path(faulty_plugins.__file__).read_text())
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    crooked = site.mlgym("check", "crooked", **environment)
    assert crooked.returncode == 1
    assert crooked.stdout.startswith("metric crooked\n")
    assert "FAILED   order of rows:" in crooked.stdout
    assert crooked.stdout.endswith("6 passed, 1 failed, 0 skipped\n")
    every = site.mlgym("check", "mlgym-things", "crooked", "--json", "--sandbox", "process", **environment)
    assert every.returncode == 1
    rows = json.loads(every.stdout)
    assert list(dict.fromkeys((row["kind"], row["id"]) for row in rows)) == [
        ("agent", "same-name"),
        ("metric", "crooked"),
        ("metric", "same-name"),
    ]
    assert rows[0].keys() == {"kind", "id", "variant", "check", "outcome", "detail", "remedy"}
    for name, says in (("crookd", "Did you mean 'crooked'"), ("mlgym-thing", "Did you mean 'mlgym-things'")):
        wrong = site.mlgym("check", name, **environment)
        assert (wrong.returncode, says in wrong.stderr) == (2, True)


def test_all_names_are_looked_up_before_anything_is_checked(faulty: Host) -> None:
    with pytest.raises(UnknownNameError, match="'caller'"):
        next(chosen_checks(faulty, ["distance", "callers"]))


UNLOADABLE = """
from mlgym_core import AgentSpec, hookimpl

MLGYM_API = {api}


@hookimpl
def mlgym_agents():
    yield AgentSpec("hasty", "fake:Hasty", "s")
    {then}
"""


@pytest.mark.parametrize(
    ("source", "stage", "remedy"),
    [
        ("import no_such_module", "import", "entry point"),
        (UNLOADABLE.format(api=3, then=""), "api", "MLGYM_API = 1"),
        (UNLOADABLE.format(api=1, then="").replace("mlgym_agents", "mlgym_agent"), "hooks", "Name hooks"),
        (UNLOADABLE.format(api=1, then="raise RuntimeError"), "specs", "Mend the hook"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_a_finding(source: str, stage: str, remedy: str, site: FakeSite) -> None:
    site.add("fake-broken", "broken", source)
    # Package indexes take both for one name.
    for name in ("fake-broken", "Fake_Broken"):
        checked = site.mlgym("check", name, "--json")
        assert checked.returncode == 1, checked.stderr
        [row] = json.loads(checked.stdout)
        assert (row["kind"], row["id"], row["check"], row["outcome"]) == ("plugin", "broken", "loading", "failed")
        assert f"fake-broken 1.0 fails at stage {stage}: " in row["detail"]
        assert remedy in row["remedy"]
    assert site.mlgym("check", "fake-broken").stdout.startswith("plugin broken\n  FAILED   loading: fake-broken 1.0")
