"""Runs commands as on a machine that knows nothing of this environment."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def run(command: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `command` in `folder` without anything that points to this environment or configures mlgym."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV") and not name.startswith("MLGYM_")
    }
    finished = subprocess.run(
        command, cwd=folder, env=inherited | variables, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, f"{command} ended with {finished.returncode}:\n{finished.stdout}{finished.stderr}"
    return finished
