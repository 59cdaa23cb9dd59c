"""The cache of datasets: contents by their hash, read-only, and a record of which dataset has which content."""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mlgym_core.data.content import Content, content_hash
from mlgym_core.data.declarations import Dataset, is_content_hash
from mlgym_core.data.downloads import WHOLE
from mlgym_core.errors import ConfigurationError, DataError
from mlgym_core.ids import slug
from mlgym_core.locking import exclusive_lock
from mlgym_core.records import write_json
from mlgym_core.settings import cache_dir

RECORD_SCHEMA = "mlgym.dataset/1"


@dataclass(frozen=True, kw_only=True)
class StoredDataset:
    """A dataset whose content is in the cache.

    Attributes:
        path: Folder with the content.
        content_hash: Its hash.
        size_bytes: Its size.
        source: Where it came from, for people; empty if another task's dataset with the same content brought it.
        obtained_at: When, in UTC, ISO 8601; empty likewise.
    """

    path: Path
    content_hash: str
    size_bytes: int
    source: str = ""
    obtained_at: str = ""


class DatasetStore:
    """What the cache knows of one dataset of one task."""

    def __init__(self, task_id: str, dataset: Dataset) -> None:
        self.task_id = task_id
        self.dataset = dataset
        self._root = cache_dir() / "data"
        self._name = f"{slug(task_id)}-{slug(dataset.name)}"
        self._record = self._root / "records" / f"{self._name}.json"

    @property
    def downloads(self) -> Path:
        """Folder for what is downloaded for this dataset, until its content is there."""
        return self._root / "downloads" / self._name

    def discard_downloads(self, *, only_whole: bool = False) -> None:
        """Remove what was downloaded, so that the next attempt begins anew, or only the files that came whole."""
        if not only_whole:
            shutil.rmtree(self.downloads, ignore_errors=True)
            return
        for path in self.downloads.glob(f"*{WHOLE}"):
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from obtaining this dataset meanwhile."""
        locks = self._root / "locks"
        try:
            locks.mkdir(mode=0o700, parents=True, exist_ok=True)
            with exclusive_lock(locks / f"{self._name}.lock"):
                yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
                raise
            raise ConfigurationError(
                f"The cache {self._root} cannot be written to ({error.strerror}). Make room, or set MLGYM_CACHE_DIR."
            ) from None

    def expected_hash(self) -> str | None:
        """Return the hash that the content must have: the declared one, or the one that was recorded at first use."""
        return self.dataset.content_hash or self._recorded().get("content_hash")

    def find(self) -> StoredDataset | None:
        """Return the dataset if it is in the cache."""
        expected = self.expected_hash()
        folder = self._folder(expected) if expected is not None else None
        if folder is None or expected is None or not folder.is_dir():
            return None
        record = self._recorded()
        if record.get("content_hash") != expected:
            record = {}
        return StoredDataset(
            path=folder,
            content_hash=expected,
            size_bytes=sum(path.stat().st_size for path in folder.iterdir()),
            source=record.get("source", ""),
            obtained_at=record.get("obtained_at", ""),
        )

    def add(self, write: Callable[[Content], None], source: str, *, replace: bool = False) -> StoredDataset:
        """Add content, if it is the dataset's, and return it. The cache is as it was if anything goes wrong.

        Call it while you hold the lock.

        Args:
            write: Writes the content.
            source: Where it comes from, for people.
            replace: Accept content other than that recorded at first use. A declared hash must always fit.

        Raises:
            DataError: if the content has another hash.
        """
        contents = self._root / "content"
        contents.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Always the same name, since only the holder of the lock comes here: so it removes what a killed process left.
        partial = contents / f"partial-{self._name}"
        _remove_tree(partial)
        partial.mkdir(mode=0o700)
        try:
            write(Content(partial))
            found = content_hash(partial)
            expected = self.dataset.content_hash if replace else self.expected_hash()
            if expected is not None and found != expected:
                raise DataError(self._mismatch(found, expected))
            self._keep(partial, found)
        finally:
            _remove_tree(partial)
        write_json(
            self._record,
            {
                "schema": RECORD_SCHEMA,
                "task": self.task_id,
                "dataset": self.dataset.name,
                "content_hash": found,
                "source": source,
                "obtained_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            },
        )
        self.discard_downloads()
        stored = self.find()
        assert stored is not None
        return stored

    def damage(self) -> str | None:
        """Return what is wrong with the content in the cache, or None."""
        stored = self.find()
        if stored is None:
            return "it is not in the cache"
        found = content_hash(stored.path)
        if found == stored.content_hash:
            return None
        return f"its content has changed: its hash is {found} instead of {stored.content_hash}"

    def remove(self) -> bool:
        """Remove record, downloads and content, and return whether there was any."""
        stored = self.find()
        self.discard_downloads()
        self._record.unlink(missing_ok=True)
        if stored is not None and not self._is_shared(stored.content_hash):
            _remove_tree(stored.path)
        return stored is not None

    def _is_shared(self, found: str) -> bool:
        """Whether another dataset's record names the same content."""
        return any(found in path.read_text(encoding="utf-8") for path in self._record.parent.glob("*.json"))

    def _keep(self, partial: Path, found: str) -> None:
        folder = self._folder(found)
        if folder.is_dir() and content_hash(folder) == found:
            return
        for path in partial.iterdir():
            path.chmod(0o444)
        if folder.is_dir():
            # Renamed first: others may be reading it.
            damaged = folder.with_name(f"{partial.name}-damaged")
            folder.chmod(0o700)
            folder.rename(damaged)
            partial.rename(folder)
            _remove_tree(damaged)
        else:
            partial.rename(folder)
        # A folder can be renamed only while it is writable.
        folder.chmod(0o555)

    def _folder(self, found: str) -> Path:
        return self._root / "content" / found

    def _recorded(self) -> dict[str, str]:
        try:
            record = json.loads(self._record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        # It becomes part of paths.
        is_sound = isinstance(record, dict) and all(isinstance(value, str) for value in record.values())
        return record if is_sound and is_content_hash(record.get("content_hash", "")) else {}

    def _mismatch(self, found: str, expected: str) -> str:
        if self.dataset.content_hash is not None:
            return f"the content is not that of the dataset: its hash is {found} instead of {expected}"
        return (
            f"the content is not what was recorded at first use: its hash is {found} instead of {expected}. If the new "
            f"content is right, add --replace"
        )


def _remove_tree(folder: Path) -> None:
    """Remove a folder whose files may be read-only."""
    with contextlib.suppress(OSError):
        folder.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
