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
from collections.abc import Callable, Iterable
from pathlib import Path

from mlgym_core.errors import InfrastructureError
from mlgym_core.sandbox.locking import exclusive_lock
from mlgym_core.settings import cache_dir


def _silently(_message: str) -> None:
    pass


def packages_for(requirements: Iterable[str], notify: Callable[[str], None] = _silently) -> Path | None:
    """Return a folder with the packages that `requirements` name, installing them if they are not there yet.

    The folder is named by a hash of the requirements and the interpreter, and never changes once it is there.

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

    command = [find_uv_bin(), "pip", "install", "--quiet", "--no-config", "--python", sys.executable]
    command += ["--target", str(target), *_pip_sources(), "--", *requirements]
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    finished = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if finished.returncode != 0:
        raise InfrastructureError(
            f"The packages {', '.join(requirements)} could not be installed for the sandboxes. Check the network "
            f"connection and the requirements of the task. The installer said:\n{finished.stderr.strip()}"
        )


def _pip_sources() -> list[str]:
    """Return uv's options for the indexes and folders that pip is configured with, which uv itself does not read."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    options = []
    for line in listing.stdout.splitlines():
        key, _, value = line.partition("=")
        name = key.rpartition(".")[2]
        if name in ("index-url", "extra-index-url", "find-links"):
            for source in value.strip("'\"").replace("\\n", " ").split():
                if not source.startswith(("file:", "/")) or Path(source.removeprefix("file://")).exists():
                    options += [f"--{name}", source]
    # pip looks for the best version in all of its indexes; uv unless told otherwise only in the first that has any.
    return [*options, "--index-strategy", "unsafe-best-match"] if options else []
