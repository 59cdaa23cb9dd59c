"""Plugins as an installer leaves them, seen through the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import FakeSite

AGENT = """
from mlgym_core import AgentSpec, hookimpl

MLGYM_API = 1

@hookimpl
def mlgym_agents():
    yield AgentSpec("{id}", "no_such_module:Agent", "An agent")
"""


def plugins(site: FakeSite, *flags: str, **environment: str) -> tuple[set[tuple[str, str]], dict[str, Any]]:
    """Return (name, distribution) of the loaded fake plugins, and the failures by name."""
    process = site.mlgym(*flags, "plugins", "--json", **environment)
    assert process.returncode == 0, process.stderr
    listing = json.loads(process.stdout)
    assert "core" in {plugin["name"] for plugin in listing["loaded"]}
    loaded = {(plugin["name"], plugin["distribution"]) for plugin in listing["loaded"]}
    return {pair for pair in loaded if pair[1].startswith("fake")}, {one["name"]: one for one in listing["failed"]}


def test_two_distributions_may_use_one_plugin_name(site: FakeSite) -> None:
    site.add("fake-one", "helper", AGENT.format(id="first"))
    site.add("fake-two", "helper", AGENT.format(id="second"))
    assert plugins(site) == ({("helper", "fake-one"), ("helper", "fake-two")}, {})
    listed = {row["id"]: row for row in json.loads(site.mlgym("agents", "--json").stdout)}
    assert listed["first"]["distribution"] == "fake-one"
    assert listed["second"]["distribution"] == "fake-two"


def test_an_id_of_two_distributions_is_unusable_and_names_both(site: FakeSite) -> None:
    site.add("fake-one", "one", AGENT.format(id="same"))
    site.add("fake-two", "two", AGENT.format(id="same"), version="2.5")
    process = site.mlgym("agents", "--json")
    (row,) = [row for row in json.loads(process.stdout) if row["id"] == "same"]
    assert row["conflict"] == ["fake-one 1.0 (plugin 'one')", "fake-two 2.5 (plugin 'two')"]
    assert "same cannot be used: fake-one 1.0" in process.stderr
    used = site.python("from mlgym_core import Host; Host.installed().agents.load('same')")
    assert "ConflictError" in used.stderr
    assert "fake-one 1.0" in used.stderr
    assert "fake-two 2.5" in used.stderr


def test_plugins_can_be_chosen_and_left_out_before_anything_loads(site: FakeSite) -> None:
    for name in ("one", "two"):
        source = f"open('imported-{name}', 'w').close()\n" + AGENT.format(id=name)
        site.add(f"fake-{name}", name, source)
    one, two = ("one", "fake-one"), ("two", "fake-two")
    assert plugins(site, "--no-plugins")[0] == set()
    assert plugins(site, MLGYM_PLUGINS="")[0] == set()
    assert list(site.folder.glob("imported-*")) == []
    assert plugins(site, MLGYM_PLUGINS="two")[0] == {two}
    assert [path.name for path in site.folder.glob("imported-*")] == ["imported-two"]
    assert plugins(site, MLGYM_DISABLE="two")[0] == {one}
    assert plugins(site, MLGYM_PLUGINS="one,two", MLGYM_DISABLE="one")[0] == {two}
    assert plugins(site)[0] == {one, two}


@pytest.mark.parametrize("variable", ["MLGYM_PLUGINS", "MLGYM_DISABLE"])
def test_an_unknown_plugin_in_a_variable_is_a_warning(site: FakeSite, variable: str) -> None:
    process = site.mlgym("plugins", "--json", **{variable: "no-such-plugin"})
    assert process.returncode == 0
    assert f"{variable} names 'no-such-plugin'" in process.stderr
    assert json.loads(process.stdout)["failed"] == []


PANIC = """
class Panic(BaseException):
    pass

raise Panic("at the disco")
"""


@pytest.mark.parametrize(
    ("source", "stage", "error"),
    [
        ("raise RuntimeError('two\\nlines')", "import", "RuntimeError: two lines"),
        ("def broken(:", "import", "SyntaxError: "),
        ("import no_such_module", "import", "ModuleNotFoundError: "),
        ("import sys; sys.exit(0)", "import", "SystemExit: 0"),
        (PANIC, "import", "Panic: at the disco"),
        ("", "api", "MLGYM_API is None"),
        (AGENT.format(id="Not An Id"), "specs", "mlgym_agents: UsageError: "),
    ],
)
def test_a_broken_plugin_is_listed_and_everything_else_works(
    site: FakeSite, source: str, stage: str, error: str
) -> None:
    site.add("fake-broken", "broken", source, version="3.1")
    site.add("fake-sound", "sound", AGENT.format(id="sound"))
    loaded, failed = plugins(site)
    assert ("sound", "fake-sound") in loaded
    assert set(failed) == {"broken"}
    assert failed["broken"]["error"].startswith(error)
    assert failed["broken"] | {"error": ""} == {
        "name": "broken",
        "distribution": "fake-broken",
        "version": "3.1",
        "stage": stage,
        "error": "",
    }
    listing = site.mlgym("agents")
    assert "sound " in listing.stdout
    assert f"'broken' of fake-broken 3.1 failed at stage {stage}" in listing.stderr
    assert plugins(site, MLGYM_DISABLE="broken")[1] == {}


def test_who_misses_what_a_broken_plugin_has_is_told_of_it(site: FakeSite) -> None:
    site.add("fake-broken", "broken", "import no_such_module")
    said = "'broken' of fake-broken (ModuleNotFoundError: No module named 'no_such_module')"
    for arguments in (
        ("info", "fake/task"),
        ("info", "hasty"),
        ("run", "fake/task", "--agent", "baseline"),
        ("check", "fake/task"),
        ("check", "hasty"),
    ):
        missing = site.mlgym(*arguments)
        assert missing.returncode == 2
        assert said in missing.stderr, arguments
    assert "could not be loaded" not in site.mlgym("info", "hasty", MLGYM_DISABLE="broken").stderr


@pytest.mark.parametrize(
    ("entry_points", "metadata"),
    [
        ("[mlgym]\nbroken = fake_broken\n", None),
        ("[mlgym]\nthis is not an entry point\n", "Metadata-Version: 2.1\nName: fake-broken\nVersion: 1.0\n"),
        ("[mlgym]\nbroken = fake_broken\n", "Metadata-Version: 2.1\nVersion: 1.0\n"),
    ],
    ids=["no metadata", "malformed entry point", "no name"],
)
def test_broken_metadata_are_a_failure_named_by_their_folder(
    site: FakeSite, entry_points: str, metadata: str | None
) -> None:
    site.add_metadata("fake-broken-1.0", entry_points, metadata)
    site.add("fake-sound", "sound", AGENT.format(id="sound"))
    loaded, failed = plugins(site)
    assert loaded == {("sound", "fake-sound")}
    assert failed["fake_broken-1.0.dist-info"]["stage"] == "metadata"
    assert plugins(site, "--no-plugins") == (set(), {})


def test_broken_metadata_of_others_do_not_concern_us(site: FakeSite) -> None:
    site.add_metadata("fake-other-1.0", "[console_scripts]\nthis is not an entry point\n", None)
    assert plugins(site) == (set(), {})


def test_an_interrupt_during_an_import_interrupts(site: FakeSite) -> None:
    site.add("fake-slow", "slow", "raise KeyboardInterrupt")
    process = site.mlgym("plugins")
    assert process.returncode == 130
    assert "Traceback" not in process.stderr


def test_what_plugins_print_does_not_spoil_json(site: FakeSite) -> None:
    site.add("fake-talkative", "talkative", "print('hello')\n" + AGENT.format(id="talker"))
    process = site.mlgym("agents", "--json")
    assert "talker" in {row["id"] for row in json.loads(process.stdout)}
    assert "hello" in process.stderr
