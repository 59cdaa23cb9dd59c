"""The files of runs: where they lie, and how they are written so that no reader ever sees half of one."""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from pathlib import Path
from typing import Any

from mlgym_core.errors import UsageError

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")


def check_run_id(run_id: str) -> str:
    """Return `run_id` if it can be the name of a folder.

    Raises:
        UsageError: if it cannot.
    """
    if not _RUN_ID.match(run_id):
        raise UsageError(f"{run_id!r} is not a run id: use up to 100 letters, digits, dots, hyphens and underscores.")
    return run_id


def new_run_id(prefix: str) -> str:
    """Return a run id with the time in it, such as `run-20260131-142501-3f2a`."""
    return f"{prefix}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.urandom(2).hex()}"


def new_run_folder(runs_dir: str | Path, prefix: str) -> Path:
    """Return the path of a new run's folder, which stays right if the working directory changes."""
    return Path(runs_dir).resolve() / new_run_id(prefix)


def episode_folder(run_folder: Path, episode_id: str) -> Path:
    """Return where an episode of a run is recorded."""
    return run_folder / "episodes" / episode_id


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON document atomically and durably."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        Path(partial).chmod(0o644)
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON document.

    Raises:
        UsageError: if it is missing or broken.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"There is no {path}.") from None
    except ValueError as error:
        raise UsageError(f"{path} is not valid JSON: {error}.") from None
    if not isinstance(document, dict):
        raise UsageError(f"{path} does not hold a JSON object.")
    return document
