"""Settings besides command-line flags: environment variables, and `mlgym.toml` in the working directory."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from mlgym_core.errors import ConfigurationError

SETTINGS_FILE = "mlgym.toml"

CACHE_DIR_VARIABLE = "MLGYM_CACHE_DIR"
"""Where prepared tasks, packages for sandboxes and temporary files lie; `~/.cache/mlgym` unless set."""
OFFLINE_VARIABLE = "MLGYM_OFFLINE"
"""`1`: fetch nothing from other machines; what is missing is named."""
MIRROR_VARIABLE = "MLGYM_DATA_MIRROR"
"""A folder, or a file, http or https URL, that has the files of datasets."""
PLUGINS_VARIABLE = "MLGYM_PLUGINS"
"""Comma-separated names: load only these plugins (the core's own is always loaded)."""
DISABLE_VARIABLE = "MLGYM_DISABLE"
"""Comma-separated names: leave these plugins out."""


def cache_dir() -> Path:
    """Return the folder for prepared tasks, environments and temporary files, which only its owner can enter.

    It is `MLGYM_CACHE_DIR` if set, else `mlgym` in the user's cache folder.

    Raises:
        ConfigurationError: if it cannot be made.
    """
    chosen = os.environ.get(CACHE_DIR_VARIABLE)
    if chosen:
        folder = Path(chosen).expanduser().resolve()
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").resolve() / "mlgym"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"The cache folder {folder} cannot be made ({error}). Set MLGYM_CACHE_DIR.") from None
    return folder


def is_offline() -> bool:
    """Return whether `MLGYM_OFFLINE` forbids to fetch anything from other machines."""
    return os.environ.get(OFFLINE_VARIABLE, "").lower() not in ("", "0", "false", "no")


def data_mirror() -> str | None:
    """Return `MLGYM_DATA_MIRROR`: a folder, or a file, http or https URL, that has datasets' files; None if not set."""
    return os.environ.get(MIRROR_VARIABLE) or None


def names_from_environment(variable: str) -> frozenset[str] | None:
    """Return the comma-separated names in an environment variable, or None if it is not set."""
    value = os.environ.get(variable)
    if value is None:
        return None
    return frozenset(name.strip() for name in value.split(",") if name.strip())


def file_settings(folder: Path | None = None) -> dict[str, dict[str, Any]]:
    """Return the settings of `mlgym.toml`: for each command (a table), its options.

    Raises:
        ConfigurationError: if the file is broken, or the working directory is gone.
    """
    try:
        path = (folder or Path.cwd()) / SETTINGS_FILE
    except FileNotFoundError:
        raise ConfigurationError("The working directory does not exist any more: change to another one.") from None
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}.") from None
    settings: dict[str, dict[str, Any]] = {}
    for command, options in content.items():
        if not isinstance(options, dict):
            raise ConfigurationError(
                f"{path}: {command!r} is not a table. Settings stand below their command, such as [run]."
            )
        settings[command] = {name.replace("-", "_"): value for name, value in options.items()}
    return settings
