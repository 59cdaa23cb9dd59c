"""Whether modules are light to import: every listing imports the plugin's, and every grader the task's."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from mlgym_core.checks.findings import CheckFailed, CheckSkipped
from mlgym_core.loading import ENTRY_POINT_GROUP
from mlgym_core.registry import Entry
from mlgym_core.specs import TaskSpec

HEAVY_MODULES = (
    "torch",
    "jax",
    "tensorflow",
    "pandas",
    "matplotlib",
    "sklearn",
    "scipy",
    "numpy",
    "PIL",
    "litellm",
    "docker",
    "aiohttp",
    "requests",
    "transformers",
)
"""What must not be imported: listings, graders and every command would pay for it."""

_PROGRAM = Path(__file__).parent / "programs" / "importing.py"


def plugin_module(entry: Entry[Any]) -> str | None:
    """Return the module that an installed plugin is, or None for one that was handed over by a program."""
    for point in entry_points(group=ENTRY_POINT_GROUP, name=entry.plugin):
        if point.dist is not None and point.dist.name == entry.distribution:
            return point.module
    return None


async def check_import(entry: Entry[Any], *, target: bool) -> str:
    """Check that a plugin's module is light.

    Args:
        target: Whether that of the class must be light, too.

    Raises:
        CheckFailed: if something heavy is imported, with the place, or the import fails.
        CheckSkipped: if there is no module to import.
    """
    modules = [module for module in (plugin_module(entry),) if module is not None]
    if target:
        modules.append(entry.spec.target.partition(":")[0])
    if not modules:
        raise CheckSkipped("the plugin is no module that is installed")
    # A grader's Python has the standard library, mlgym_core, the task's own package and what the spec names.
    grades = isinstance(entry.spec, TaskSpec) and not entry.spec.grader_requirements
    return await check_light_import(modules, package=modules[-1].partition(".")[0] if target and grades else "")


def _imports(name: str, file: str, line: int) -> str:
    return f"imports {name} ({Path(file).name}, line {line})"


async def check_light_import(modules: Sequence[str], *, package: str = "") -> str:
    """Check that modules can be imported by themselves, and import nothing heavy.

    Args:
        package: If given, the last of the modules must import nothing besides this package, mlgym_core and the
            standard library, since graders have nothing else.
    """
    arguments = [json.dumps(modules), json.dumps(HEAVY_MODULES), package]
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-P", str(_PROGRAM), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    names = " and ".join(modules)
    if done.returncode != 0:
        raise CheckFailed(f"{names} cannot be imported alone: {done.stderr.strip()[-500:]}", "Mend the module.")
    # Whatever modules print comes first.
    places = json.loads(done.stdout.strip().splitlines()[-1])
    if places["heavy"]:
        said = "; ".join(_imports(*place) for place in places["heavy"])
        raise CheckFailed(f"{names} {said}", "Import it inside the functions that use it.")
    if places["foreign"]:
        # What that imports in turn goes with it.
        said = _imports(*places["foreign"][0])
        raise CheckFailed(
            f"{modules[-1]} {said}, and graders do not have that",
            "Import it inside the functions that use it, or below `if TYPE_CHECKING:` for types alone, or name it in "
            "the spec's `grader_requirements` if the grader needs it.",
        )
    return f"{names} import{'' if len(modules) > 1 else 's'} nothing heavy"
