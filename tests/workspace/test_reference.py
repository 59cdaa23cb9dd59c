"""The pages that are made from the code are up to date, and nothing public can be missing from them."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable
from pathlib import Path

import click
import pytest

import mlgym_core
from documentation.commands import commands_page
from documentation.hooks import hooks_page
from documentation.pages import ROOT, rendered_pages, sources
from documentation.python_names import python_page
from documentation.record import record_page
from documentation.settings import settings_page
from documentation.writing import UndocumentedError
from mlgym_core import errors, hookspecs, specs, testing
from mlgym_core.cli import cli
from mlgym_core.journal import Journal

NAMES = ("commands", "hooks", "python", "record", "settings")


def written(name: str) -> str:
    return (ROOT / "docs" / "reference" / f"{name}.md").read_text(encoding="utf-8")


def test_every_page_is_as_the_code_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # The outcome of attacks depends on it.
    monkeypatch.delenv("MLGYM_GRADING_KEY", raising=False)
    pages = rendered_pages()
    assert {path.stem for path in pages} == {*NAMES, "tasks"}
    for path, text in pages.items():
        assert path.read_text(encoding="utf-8") == text, (
            f"{path.relative_to(ROOT)} is out of date: run `make reference`"
        )


def copy_of(module: types.ModuleType, **additions: object) -> types.ModuleType:
    """Return a module with the names of another, and more."""
    copy = types.ModuleType(module.__name__)
    names = {name: getattr(module, name) for name in dir(module)}
    copy.__dict__.update({**vars(module), **names, **additions})
    copy.__dict__["__dir__"] = lambda: [*names, *additions]
    return copy


def new_hook(text: str) -> str:
    def mlgym_rewards() -> None:
        pass

    mlgym_rewards.__doc__ = text
    return hooks_page(copy_of(hookspecs, mlgym_rewards=mlgym_rewards), specs)


def new_spec_field(text: str) -> str:
    @dataclasses.dataclass(frozen=True)
    class RewardSpec(specs.Spec):
        scale: float = 1.0

    RewardSpec.__doc__ = f"A reward.\n\nAttributes:\n{text}"
    RewardSpec.__module__ = specs.__name__
    return hooks_page(hookspecs, copy_of(specs, RewardSpec=RewardSpec))


def new_option(text: str) -> str:
    changed = click.Group("mlgym", help=cli.help, params=[*cli.params, click.Option(["--colour"], help=text)])
    return commands_page(changed)


def new_command(text: str) -> str:
    group = click.Group("mlgym", help=cli.help, commands=[click.Command("dance", help=text)])
    return commands_page(group)


def new_event(text: str) -> str:
    class LongerJournal(Journal):
        def reward(self, *, amount: float) -> None:
            """Something was paid."""
            self._append("reward", {"amount": amount})

    assert LongerJournal.reward.__doc__ is not None
    LongerJournal.reward.__doc__ += f"\n\nArgs:\n{text}"
    return record_page(LongerJournal)


def new_name(text: str) -> str:
    def teleport() -> None:
        pass

    teleport.__doc__ = text
    teleport.__module__ = "mlgym_core.env"
    return python_page(copy_of(mlgym_core, teleport=teleport), testing)


def new_method(text: str) -> str:
    class Teleporter:
        """It moves."""

        def move(self, distance: float) -> None:
            pass

    Teleporter.__module__ = "mlgym_core.env"
    Teleporter.move.__doc__ = text
    return python_page(copy_of(mlgym_core, Teleporter=Teleporter), testing)


def new_variable(text: str, folder: Path) -> str:
    module = folder / "colours.py"
    module.write_text(f'import os\nCOLOUR_VARIABLE = "MLGYM_COLOUR"\n{text!r}\nprint(os.environ[COLOUR_VARIABLE])\n')
    return settings_page([*sources(), module], errors)


def new_error(text: str) -> str:
    class TeleportError(errors.MlgymError):
        pass

    TeleportError.__module__ = errors.__name__
    TeleportError.__doc__ = text
    return settings_page(sources(), copy_of(errors, TeleportError=TeleportError))


ADDITIONS: list[tuple[str, Callable[[str], str], str, str]] = [
    ("hooks", new_hook, "Register rewards.\n\nExample:\n    yield nothing", "mlgym_rewards"),
    ("hooks", new_spec_field, "    scale: How much.", "`scale`"),
    ("commands", new_option, "Which one.", "--colour"),
    ("commands", new_command, "Dance.", "## `mlgym dance`"),
    ("record", new_event, "    amount: How much.", "## `reward`"),
    ("python", new_name, "Move at once.", "### `teleport`"),
    ("python", new_method, "Move at once.", "move(distance: float)"),
    ("settings", new_error, "It did not move.", "`TeleportError`"),
]


@pytest.mark.parametrize(("name", "add", "text", "shown"), ADDITIONS, ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_added_is_missed_until_it_is_written(
    name: str, add: Callable[[str], str], text: str, shown: str
) -> None:
    page = add(text)
    assert shown in page
    assert shown not in written(name)
    # Without a text, there is no page at all.
    with pytest.raises(UndocumentedError):
        add("")


def test_a_variable_is_missed_until_it_is_written(tmp_path: Path) -> None:
    assert "`MLGYM_COLOUR` | Which one." in new_variable("Which one.", tmp_path)
    assert "MLGYM_COLOUR" not in written("settings")
    module = tmp_path / "colours.py"
    module.write_text('import os\nprint(os.environ["MLGYM_COLOUR"])\n')
    with pytest.raises(UndocumentedError, match="the variable MLGYM_COLOUR"):
        settings_page([*sources(), module], errors)


def test_a_public_name_needs_a_heading() -> None:
    def lost() -> None:
        """It is nowhere."""

    lost.__module__ = "mlgym_core.nowhere"
    with pytest.raises(UndocumentedError, match=r"python_names\.py"):
        python_page(copy_of(mlgym_core, lost=lost), testing)
