"""Fake distributions: real metadata folders on a path of their own, as an installer would leave them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest


class FakeSite:
    """A folder for Python's path that holds distributions made for one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, distribution: str, plugin: str, source: str, *, version: str = "1.0", module: str = "") -> None:
        """Install a distribution with one plugin, whose module has this source text."""
        module = module or f"fake_{distribution.replace('-', '_')}"
        (self.folder / f"{module}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        metadata = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        self.add_metadata(f"{distribution}-{version}", f"[mlgym]\n{plugin} = {module}\n", metadata)

    def add_metadata(self, folder: str, entry_points: str, metadata: str | None) -> None:
        """Write the metadata of a distribution, which may be broken."""
        info = self.folder / f"{folder.replace('-', '_', folder.count('-') - 1)}.dist-info"
        info.mkdir()
        (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")
        if metadata is not None:
            (info / "METADATA").write_text(metadata, encoding="utf-8")

    def python(self, program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a program in a fresh interpreter that sees these distributions, in the folder that holds them."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLGYM_")}
        path = os.pathsep.join([str(self.folder), str(Path(__file__).parents[2])])
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program), *arguments],
            env=inherited | {"PYTHONPATH": path} | environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def mlgym(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the command line in a process of its own."""
        return self.python("from mlgym_core.cli import main; main()", *arguments, **environment)


@pytest.fixture
def site(tmp_path: Path) -> FakeSite:
    """An empty folder for fake distributions."""
    folder = tmp_path / "site"
    folder.mkdir()
    return FakeSite(folder)
