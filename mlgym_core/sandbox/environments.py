"""Python packages for sandboxes: installed once per set of requirements, then shown read-only."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from mlgym_core.errors import InfrastructureError
from mlgym_core.locking import exclusive_lock
from mlgym_core.settings import cache_dir, is_offline

ADDED_PACKAGES = ".packages"
"""Folder below the agent's home in which its own `pip install` puts packages, where it may."""

_PIP_PROGRAM = """\
#!/bin/sh
exec python3 -m pip "$@"
"""
PIP_REFUSAL = """\
import sys

sys.exit("pip: packages cannot be added here: there is no network, and the environment holds what the task requires.")
"""
"""The module `pip` of sandboxes without a network."""


def write_pip_programs(folder: Path) -> None:
    """Write the programs `pip` and `pip3`, which start the module `pip`, into a folder."""
    for name in ("pip", "pip3"):
        (folder / name).write_text(_PIP_PROGRAM)
        (folder / name).chmod(0o755)


def write_pip_refusal(folder: Path) -> None:
    """Write a module `pip` that says why it does nothing into a folder for `PYTHONPATH`."""
    (folder / "pip").mkdir(parents=True)
    (folder / "pip" / "__main__.py").write_text(PIP_REFUSAL)


def silently(_message: str) -> None:
    """Do nothing with what would be told."""


def packages_for(requirements: Iterable[str], notify: Callable[[str], None] = silently) -> Path | None:
    """Return a folder with the packages that `requirements` name, installing them if they are not there yet.

    The folder is named by a hash of the requirements and the interpreter, and never changes once it is there. On a
    terminal, the installer shows its progress. With `MLGYM_OFFLINE=1` it uses only what this machine has already.

    Args:
        requirements: Requirement strings (PEP 508).
        notify: Told in a sentence before a long wait.

    Returns:
        The folder, or None if there are no requirements.

    Raises:
        InfrastructureError: if the installation fails.
    """
    wanted = sorted(set(requirements))
    if not wanted:
        return None
    identity = json.dumps([wanted, sys.implementation.cache_tag, sysconfig.get_platform()])
    root = cache_dir() / "environments"
    folder = root / hashlib.sha256(identity.encode()).hexdigest()[:20]
    packages = folder / "packages"
    if packages.is_dir():
        return packages
    root.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(root / f"{folder.name}.lock"):
        if not packages.is_dir():
            notify(f"Installing {', '.join(wanted)} for the sandboxes (once) …")
            partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=root))
            try:
                _install(wanted, partial / "packages")
                (partial / "requirements.txt").write_text("".join(f"{line}\n" for line in wanted))
                partial.rename(folder)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return packages


def _install(requirements: list[str], target: Path) -> None:
    from uv import find_uv_bin

    command = [find_uv_bin(), "pip", "install", "--no-config", "--python", sys.executable]
    # Sandboxes see the folder read-only: what is not compiled now would be compiled by every process anew.
    command += ["--compile-bytecode"]
    command += ["--target", str(target), *_pip_sources(), *(["--offline"] if is_offline() else [])]
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    # Its progress bars are for a person; of what it says elsewhere only the reason of a failure is of interest.
    interactive = sys.stderr.isatty()
    command += ["--", *requirements] if interactive else ["--quiet", "--", *requirements]
    finished = subprocess.run(
        command,
        stdout=subprocess.DEVNULL,
        stderr=None if interactive else subprocess.PIPE,
        text=True,
        check=False,
        env=environment,
    )
    if finished.returncode == 0:
        return
    said = f" The installer said:\n{finished.stderr.strip()}" if finished.stderr else ""
    names = ", ".join(requirements)
    if is_offline():
        raise InfrastructureError(
            f"The packages {names} are not on this machine, and MLGYM_OFFLINE forbids to fetch them. Have them "
            f"installed once with a network (`mlgym prepare` does it for a task), or unset MLGYM_OFFLINE.{said}"
        )
    raise InfrastructureError(
        f"The packages {names} could not be installed for the sandboxes. Check the network connection and the "
        f"requirements.{said}"
    )


def pip_settings() -> Iterator[tuple[str, str]]:
    """Yield what pip is configured with, in files and by environment variables: an option's name, and a value of it."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    for line in listing.stdout.splitlines():
        key, _, value = line.partition("=")
        for part in value.strip("'\"").replace("\\n", " ").split():
            yield key.rpartition(".")[2], part


def _pip_sources() -> list[str]:
    """Return uv's options for the indexes and folders that pip is configured with, which uv itself does not read."""
    options = []
    for name, source in pip_settings():
        if name in ("index-url", "extra-index-url", "find-links", "constraint") and (
            not source.startswith(("file:", "/")) or Path(source.removeprefix("file://")).exists()
        ):
            options += [f"--{name}", source]
    # pip looks for the best version in all of its indexes; uv unless told otherwise only in the first that has any.
    return [*options, "--index-strategy", "unsafe-best-match"] if options else []


def pip_variables(home: str, *, network: bool) -> Mapping[str, str]:
    """Return environment variables for the agent's own `pip`.

    With a network it installs into a folder of the agent's home, from the indexes that pip uses on this machine, except
    for those that want a password. Without one it must not spend minutes on trying.
    """
    if not network:
        return {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    variables = {
        "PIP_TARGET": f"{home}/{ADDED_PACKAGES}",
        "PYTHONPATH": f"{home}/{ADDED_PACKAGES}",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    for option, variable in (("index-url", "PIP_INDEX_URL"), ("extra-index-url", "PIP_EXTRA_INDEX_URL")):
        urls = [
            value
            for name, value in pip_settings()
            if name == option and urlsplit(value).scheme in ("http", "https") and "@" not in urlsplit(value).netloc
        ]
        if urls:
            variables[variable] = " ".join(urls)
    return variables
