"""Which pages there are, and what they are made from."""

from __future__ import annotations

from pathlib import Path

import mlgym_core
from documentation.commands import commands_page
from documentation.hooks import hooks_page
from documentation.python_names import python_page
from documentation.record import record_page
from documentation.settings import settings_page
from documentation.tasks import tasks_page
from mlgym_core import default_host, errors, hookspecs, specs, testing
from mlgym_core.cli import cli
from mlgym_core.journal import Journal

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"


def sources() -> list[Path]:
    """Return the modules of all members."""
    found = [*(ROOT / "mlgym_core").rglob("*.py")]
    for folder in ("plugins", "task_packages"):
        found += (ROOT / folder).glob("*/src/**/*.py")
    return sorted(found)


def rendered_pages() -> dict[Path, str]:
    """Return the text of each page.

    Raises:
        UndocumentedError: if something that is public has no documentation.
    """
    return {
        REFERENCE / "commands.md": commands_page(cli),
        REFERENCE / "hooks.md": hooks_page(hookspecs, specs),
        REFERENCE / "python.md": python_page(mlgym_core, testing),
        REFERENCE / "record.md": record_page(Journal),
        REFERENCE / "settings.md": settings_page(sources(), errors),
        ROOT / "docs" / "tasks.md": tasks_page(
            default_host(), [path.name for path in (ROOT / "task_packages").iterdir()]
        ),
    }
