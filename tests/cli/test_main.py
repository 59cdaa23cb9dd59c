"""What every command shares: exit codes, settings, and that it starts fast."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from mlgym_core import __version__
from mlgym_core.cli import COMMANDS

if TYPE_CHECKING:
    from tests.cli.conftest import FakeSite

IMPORTED = """
import sys
from mlgym_core.cli import main
try:
    main()
except SystemExit as end:
    print(end.code, *sorted(name.partition(".")[0] for name in sys.modules), file=sys.stderr)
"""

HEAVY = {"pydantic", "rich", "litellm", "docker", "torch", "jax", "pandas", "matplotlib", "numpy", "jinja2", "asyncio"}


@pytest.mark.parametrize(
    ("argument", "forbidden"), [("--help", HEAVY | {"pluggy", "importlib_metadata"}), ("tasks", HEAVY)]
)
def test_starting_imports_nothing_heavy(site: FakeSite, argument: str, forbidden: set[str]) -> None:
    code, *imported = site.python(IMPORTED, argument).stderr.split()
    assert code == "0"
    assert {"click", "mlgym_core"} <= set(imported)
    assert forbidden & set(imported) == set()


def test_help_imports_no_command(site: FakeSite) -> None:
    program = IMPORTED.replace('name.partition(".")[0]', "name")
    imported = site.python(program, "--help").stderr.split()
    assert [name for name in imported if name.startswith("mlgym_core.cli.")] == []


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_is_in_the_help_and_has_its_own(site: FakeSite, command: str) -> None:
    assert f"\n  {command} " in site.mlgym("--help").stdout
    process = site.mlgym(command, "--help")
    assert process.returncode == 0
    assert f"Usage: mlgym {command}" in process.stdout


def test_version(site: FakeSite) -> None:
    assert __version__ in site.mlgym("--version").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["taks"], "Did you mean 'tasks'"),
        (["quantum"], "There is no command 'quantum'"),
        (["tasks", "--jsn"], "--json"),
        (["info"], "NAME"),
        (["--no-such-option", "tasks"], "--no-such-option"),
    ],
)
def test_bad_usage_exits_with_2(site: FakeSite, arguments: list[str], message: str) -> None:
    process = site.mlgym(*arguments)
    assert process.returncode == 2
    assert message in process.stderr
    assert process.stdout == ""


FAILING = "from mlgym_core import cli, errors\ndef fail(*_): raise {error}\ncli.host_of = fail\ncli.main()"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ("errors.UsageError('asked wrongly')", 2, "Error: asked wrongly\n"),
        ("errors.InfrastructureError('disk full')", 1, "Error: disk full\n"),
        ("errors.InvalidSubmission('no file')", 3, "Error: no file\n"),
        ("ZeroDivisionError('a\\nb')", 1, "Error: ZeroDivisionError: a b\n"),
        ("KeyboardInterrupt", 130, "Interrupted.\n"),
    ],
)
def test_errors_end_with_a_line_and_an_exit_code(site: FakeSite, error: str, code: int, message: str) -> None:
    process = site.python(FAILING.format(error=error), "tasks")
    assert process.returncode == code
    assert message in process.stderr
    assert "Traceback" not in process.stderr


def test_a_bug_names_the_way_to_its_traceback(site: FakeSite) -> None:
    program = FAILING.format(error="ZeroDivisionError")
    assert "--debug" in site.python(program, "tasks").stderr
    assert "Traceback" in site.python(program, "--debug", "tasks").stderr
    assert "Traceback" in site.python(program, "tasks", MLGYM_DEBUG="1").stderr


def test_a_reader_that_leaves_is_no_error(site: FakeSite) -> None:
    # Standard output is a pipe whose other end is closed before anything is written.
    program = """
    import os
    from mlgym_core.cli import main
    reader, writer = os.pipe()
    os.close(reader)
    os.dup2(writer, 1)
    main()
    """
    assert site.python(program, "agents").stderr == ""


CHESS = """
from mlgym_core import TaskMetric, TaskSpec, hookimpl

MLGYM_API = 1

@hookimpl
def mlgym_tasks():
    yield TaskSpec("boards/chess", "chess:Chess", "Win", metrics=(TaskMetric("payoff"),))
"""


def test_settings_come_from_flags_then_variables_then_the_file(site: FakeSite) -> None:
    settings = site.folder / "mlgym.toml"
    settings.write_text('[info]\nvariant = "from-file"\n')
    site.add("fake-chess", "chess", CHESS)
    assert "'from-file'" in site.mlgym("info", "boards/chess").stderr
    assert "'from-variable'" in site.mlgym("info", "boards/chess", MLGYM_INFO_VARIANT="from-variable").stderr
    process = site.mlgym("info", "boards/chess", "--variant", "from-flag", MLGYM_INFO_VARIANT="from-variable")
    assert "'from-flag'" in process.stderr


def test_settings_are_named_after_flags(site: FakeSite) -> None:
    assert json.loads(site.mlgym("agents", MLGYM_AGENTS_JSON="1").stdout)
    (site.folder / "mlgym.toml").write_text('[agents]\njson = true\n[run]\nagent = "nobody"\n')
    assert json.loads(site.mlgym("agents").stdout)
    site.add("fake-chess", "chess", CHESS)
    assert "'nobody'" in site.mlgym("run", "boards/chess").stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[agents", "mlgym.toml cannot be read"),
        ("json = true", "not a table"),
        ("[agents]\ncolour = 3", "[agents] has no option 'colour'. It has: json"),
        ("[agnets]\njson = true", "no command 'agnets'"),
        ('[agents]\njson = "perhaps"', "perhaps"),
    ],
)
def test_a_broken_settings_file_exits_with_2(site: FakeSite, content: str, message: str) -> None:
    (site.folder / "mlgym.toml").write_text(content)
    process = site.mlgym("agents")
    assert process.returncode == 2
    assert message in process.stderr
    assert "Traceback" not in process.stderr
