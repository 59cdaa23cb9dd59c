"""Files and folders that all sandboxes of this user share, made once and kept in the cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from mlgym_core.settings import cache_dir


def stored_folder(name: str, identity: str, fill: Callable[[Path], None]) -> Path:
    """Return a folder in the cache, named by a hash of what is in it; `fill` makes it."""
    folder = _parent() / f"{name}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    if not folder.is_dir():
        partial = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder.parent))
        fill(partial)
        for path in (partial, *partial.rglob("*")):
            # The user of a container may be another one than ours.
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        try:
            partial.rename(folder)
        except OSError:  # another process was quicker
            shutil.rmtree(partial)
    return folder


def stored_file(content: bytes) -> Path:
    """Return a file in the cache that holds `content`."""
    path = _parent() / hashlib.sha256(content).hexdigest()[:16]
    if not path.exists():
        descriptor, partial = tempfile.mkstemp(prefix=f"{path.name}-", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(partial).replace(path)
    return path


def _parent() -> Path:
    folder = cache_dir() / "sandbox-files"
    folder.mkdir(exist_ok=True)
    return folder
