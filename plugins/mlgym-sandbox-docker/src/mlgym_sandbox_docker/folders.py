"""The folders that containers show, and putting others in the place of those that a layout names.

A mount follows the folder itself and not its path. A container that was started ahead, on folders that stand in for
those that nobody knew yet, shows a layout's folders once the two have changed places.
"""

from __future__ import annotations

import collections
import os
import shutil
import stat
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from mlgym_core.interfaces import Mount
from mlgym_core.settings import cache_dir

Identity = tuple[int, int]
_ORDINARY_USER = 1000
_shown: collections.Counter[Identity] = collections.Counter()
_lock = threading.Lock()


def process_user() -> tuple[int, int]:
    """Return user and group of a container's processes: ours, so that files stay ours, unless we are root."""
    return (os.getuid(), os.getgid()) if os.getuid() != 0 else (_ORDINARY_USER, _ORDINARY_USER)


def identity(folder: Path) -> Identity:
    """Return what tells a folder from any other, wherever it is moved."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def note_shown(identities: Sequence[Identity]) -> None:
    """Remember that a container of this process shows these folders."""
    with _lock:
        _shown.update(identities)


def forget_shown(identities: Sequence[Identity]) -> None:
    """Remember that a container no longer shows these folders."""
    with _lock:
        _shown.subtract(identities)


def put_in_place(mount: Mount, substitute: Path) -> None:
    """Make `substitute`, an empty folder of the same file system, show what is at the source of a mount.

    It takes the source's content and its place. If another container shows the source already, that must stay where it
    is: `substitute` then shares its files. What is added to the source later does not appear in it.

    Raises:
        OSError: if that is impossible; the source is then as it was.
    """
    with _lock:
        is_shown = _shown[identity(mount.source)] > 0
    if not is_shown:
        _exchange(mount.source, substitute)
    elif mount.writable:
        raise OSError(f"{mount.source} is shown by another container, and writable")
    else:
        shutil.copytree(mount.source, substitute, symlinks=True, copy_function=os.link, dirs_exist_ok=True)


def _exchange(source: Path, substitute: Path) -> None:
    status = source.stat()
    moved = []
    try:
        for name in os.listdir(source):
            (source / name).rename(substitute / name)
            moved.append(name)
        os.chown(substitute, status.st_uid, status.st_gid)
        substitute.chmod(stat.S_IMODE(status.st_mode))
        substitute.rename(source)  # which replaces an empty folder
    except OSError:
        for name in moved:
            (substitute / name).rename(source / name)
        raise


def hand_over(mounts: Sequence[Mount]) -> None:
    """Let the container's user write what is writable and read the rest, if that user is not us.

    Only what lies in our own cache, which nobody else can enter, becomes readable; other folders are left alone.
    """
    user, group = process_user()
    if user == os.getuid():
        return
    cache = cache_dir()
    for mount in mounts:
        if mount.writable:
            for path in _tree(mount.source):
                os.chown(path, user, group, follow_symlinks=False)
        elif cache in mount.source.parents:
            for path in _tree(mount.source):
                mode = path.lstat().st_mode
                wanted = 0o555 if stat.S_ISDIR(mode) else 0o444
                if not stat.S_ISLNK(mode) and mode & wanted != wanted:
                    path.chmod(stat.S_IMODE(mode) | wanted)


def _tree(root: Path) -> Iterator[Path]:
    yield root
    for folder, folders, files in os.walk(root):
        yield from (Path(folder, name) for name in folders + files)
