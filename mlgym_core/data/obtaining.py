"""Obtaining datasets: each source in turn, until one yields the content."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mlgym_core.data.content import Content
from mlgym_core.data.declarations import (
    Dataset,
    Decoder,
    Download,
    PythonPackage,
    PythonSourceArchive,
    RemoteFile,
    Source,
    SystemFiles,
    UserFiles,
)
from mlgym_core.data.downloads import Notify, copy_or_download, download, without_password
from mlgym_core.data.indexes import url_on_index
from mlgym_core.data.store import DatasetStore, StoredDataset
from mlgym_core.errors import DataError, MlgymError, UsageError
from mlgym_core.sandbox.environments import packages_for, silently
from mlgym_core.sandbox.scratch import remove_scratch, scratch_folder
from mlgym_core.settings import data_mirror, is_offline

_PROGRAM_SECONDS = 900.0
_LEAST_LIMIT = 64 << 20
_SIZE_FACTOR = 20
"""By how much larger than the content a file from a mirror may be, where its size is not declared."""


def named_dataset(task_id: str, datasets: Sequence[Dataset], name: str) -> Dataset:
    """Return the dataset of a task that is called `name`.

    Raises:
        UsageError: if there is none.
    """
    for dataset in datasets:
        if dataset.name == name:
            return dataset
    names = ", ".join(dataset.name for dataset in datasets)
    raise UsageError(
        f"The task {task_id!r} has no dataset {name!r}. " + (f"It has: {names}." if names else "It has none at all.")
    )


def obtain(task_id: str, dataset: Dataset, notify: Notify = silently) -> StoredDataset:
    """Return a dataset, having fetched and verified it if it was not in the cache.

    Several processes that call it at once fetch it once.

    Args:
        notify: Told in a sentence before a long wait.

    Raises:
        DataError: if it cannot be had; it says what was tried and what would help.
    """
    store = DatasetStore(task_id, dataset)
    found = store.find()
    if found is not None:
        return found
    with store.lock():
        return store.find() or _obtain(store, notify)


def refresh(task_id: str, dataset: Dataset, notify: Notify = silently, *, replace: bool = False) -> StoredDataset:
    """Return a dataset after having looked at every byte of it, fetching it anew if it is damaged.

    Args:
        replace: Fetch it anew in any case, and accept other content than that recorded at first use.

    Raises:
        DataError: if it has to be fetched and cannot be had.
    """
    store = DatasetStore(task_id, dataset)
    with store.lock():
        found = store.find()
        if found is not None and not replace:
            damage = store.damage()
            if damage is None:
                return found
            notify(f"The dataset {dataset.name!r} of {task_id} in the cache is damaged; fetching it anew …")
        return _obtain(store, notify, replace=replace)


def import_files(task_id: str, dataset: Dataset, files: Sequence[Path], *, replace: bool = False) -> StoredDataset:
    """Take a dataset from files that the user has, in any of the forms in which its sources come.

    Args:
        files: In any order if they are called as the source calls them, else in its order.
        replace: Accept other content than that recorded at first use.

    Raises:
        UsageError: if no source consists of so many files, or one is not there.
        DataError: if they do not hold the dataset.
    """
    for path in files:
        if not path.is_file():
            raise UsageError(f"{path} is not a file." if path.exists() else f"There is no file {path}.")
    store = DatasetStore(task_id, dataset)
    fitting = [source for source in dataset.sources if len(source.files) == len(files)]
    names = [path.name for path in files]
    # Those that the files are named after come first.
    fitting.sort(key=lambda source: sorted(_last_parts(source)) != sorted(names))
    if not fitting:
        forms = "\n".join(f"  {' '.join(_last_parts(source))}  ({source.description})" for source in dataset.sources)
        raise UsageError(
            f"The dataset {dataset.name!r} of {task_id} does not consist of {len(files)} files. It comes as\n{forms}"
        )
    problems = []
    with store.lock():
        for source in fitting:
            ordered = _in_order(source, files)
            try:
                return store.add(_decoding(source.decode, ordered), "import of your own files", replace=replace)
            except DataError as error:
                problems.append(f"  as {source.description}: {error}")
    raise DataError(
        f"{', '.join(names)} cannot be imported as the dataset {dataset.name!r} of {task_id}:\n"
        + "\n".join(dict.fromkeys(problems))
    )


def _last_parts(source: Source) -> list[str]:
    return [name.rpartition("/")[2] for name in source.files]


def _in_order(source: Source, files: Sequence[Path]) -> list[Path]:
    by_name = {path.name: path for path in files}
    parts = _last_parts(source)
    return [by_name[name] for name in parts] if set(parts) == set(by_name) else list(files)


def _decoding(decode: Decoder, files: Sequence[Path]) -> Callable[[Content], None]:
    """Return a function that writes what `decode` makes of files, and whose errors are all `DataError`."""

    def write(content: Content) -> None:
        try:
            decode(files, content)
        except DataError:
            raise
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                raise
            raise DataError(f"the files cannot be read ({error})") from error
        except MemoryError:
            raise DataError("the files need more memory than there is") from None
        except Exception as error:
            # The files may hold anything, and libraries raise anything about files that are broken.
            raise DataError(f"the files cannot be read ({type(error).__name__}: {error})") from error

    return write


def _obtain(store: DatasetStore, notify: Notify, *, replace: bool = False) -> StoredDataset:
    problems = []
    dataset = store.dataset
    for description, source, fetch in _attempts(store):
        try:
            with fetch(notify) as files:
                try:
                    return store.add(_decoding(source.decode, files), description, replace=replace)
                except DataError:
                    # What was downloaded is wrong: it must not be what the next attempt finds.
                    store.discard_downloads()
                    raise
        except MlgymError as error:
            # Files that came whole may not fit to others that come later, unless their checksums say so. Those that
            # came in part can go on.
            if not _has_checksums(source):
                store.discard_downloads(only_whole=True)
            problems.append(f"  {description}: {str(error).rstrip('.')}.")
    forms = dict.fromkeys(" ".join(_last_parts(source)) for source in dataset.sources if _importable(source))
    remedy = "".join(f"\n  mlgym data import {store.task_id} {dataset.name} {form}" for form in forms)
    raise DataError(
        f"The dataset {dataset.name!r} of {store.task_id} could not be had. What was tried:\n"
        + "\n".join(problems)
        + (f"\nIf you have its files, wherever from:{remedy}\nor set MLGYM_DATA_MIRROR." if remedy else "")
    )


def _has_checksums(source: Source) -> bool:
    return isinstance(source, Download) and all(remote.sha256 is not None for remote in source.remote)


def _importable(source: Source) -> bool:
    return not isinstance(source, PythonPackage)


_Fetch = Callable[[Notify], contextlib.AbstractContextManager[Sequence[Path]]]


def _attempts(store: DatasetStore) -> Iterator[tuple[str, Source, _Fetch]]:
    """Yield the ways of getting the files: what is on this machine first, then the mirror, then the world."""
    sources = store.dataset.sources
    for source in sources:
        if isinstance(source, SystemFiles):
            yield source.description, source, _system_files(source)
        elif isinstance(source, PythonPackage):
            yield source.description, source, _python_package(source)
    mirror = data_mirror()
    for source in sources:
        if mirror is not None and _importable(source):
            yield f"mirror {without_password(mirror)}", source, _mirrored(store, mirror, source)
    for source in sources:
        if isinstance(source, UserFiles):
            yield source.description, source, _user_files(source)
        elif isinstance(source, Download):
            yield source.description, source, _downloaded(store, source)
        elif isinstance(source, PythonSourceArchive):
            yield source.description, source, _source_archive(store, source)


def _system_files(source: SystemFiles) -> _Fetch:
    @contextlib.contextmanager
    def fetch(_notify: Notify) -> Iterator[Sequence[Path]]:
        files = [Path(source.folder, name) for name in source.files]
        missing = [path for path in files if not path.is_file()]
        if missing:
            raise DataError(f"{missing[0]} is not there; on Debian and Ubuntu: sudo apt-get install {source.package}")
        yield files

    return fetch


def _python_package(source: PythonPackage) -> _Fetch:
    @contextlib.contextmanager
    def fetch(notify: Notify) -> Iterator[Sequence[Path]]:
        packages = packages_for(source.requirements, notify)
        folder = scratch_folder("data")
        try:
            # Without `site`, so that it sees these packages and none of ours.
            environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "PYTHONPATH": str(packages)}
            try:
                finished = subprocess.run(
                    [sys.executable, "-B", "-S", str(source.program)],
                    cwd=folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    errors="backslashreplace",
                    check=False,
                    timeout=_PROGRAM_SECONDS,
                )
            except subprocess.TimeoutExpired:
                raise DataError(f"{source.program.name} took longer than {_PROGRAM_SECONDS:g} s") from None
            if finished.returncode != 0:
                raise DataError(f"{source.program.name} failed: {finished.stderr.strip()[-1000:]}")
            files = [Path(folder, name) for name in source.files]
            missing = [path for path in files if not path.is_file()]
            if missing:
                raise DataError(f"{source.program.name} wrote no {missing[0].name}")
            yield files
        finally:
            remove_scratch(folder)

    return fetch


def _mirrored(store: DatasetStore, mirror: str, source: Source) -> _Fetch:
    @contextlib.contextmanager
    def fetch(notify: Notify) -> Iterator[Sequence[Path]]:
        if is_offline() and mirror.startswith(("https://", "http://")):
            raise DataError("MLGYM_OFFLINE forbids to fetch it")
        _check_modules(source)
        base = f"{mirror.rstrip('/')}/{store.task_id}/{store.dataset.name}"
        yield [
            copy_or_download(f"{base}/{name}", name, store.downloads, notify, max_bytes=limit)
            for name, limit in zip(_last_parts(source), _limits(store.dataset, source), strict=True)
        ]

    return fetch


def _check_modules(source: Source) -> None:
    """Make sure that what the source's `decode` imports is there."""
    if isinstance(source, Download):
        missing = [name for name in source.modules if importlib.util.find_spec(name) is None]
        if missing:
            raise DataError(f"reading it needs the Python package {missing[0]}. {source.remedy}".strip())


def _limits(dataset: Dataset, source: Source) -> list[int]:
    """Return how large each of a source's files may be, in bytes."""
    if isinstance(source, Download):
        return [remote.max_bytes if remote.size_bytes is None else remote.size_bytes for remote in source.remote]
    if isinstance(source, PythonSourceArchive):
        return [source.size_bytes]
    return [max(_LEAST_LIMIT, _SIZE_FACTOR * dataset.size_bytes)] * len(source.files)


def _user_files(source: UserFiles) -> _Fetch:
    @contextlib.contextmanager
    def fetch(_notify: Notify) -> Iterator[Sequence[Path]]:
        raise DataError(f"none were imported. {source.how}")
        yield  # a generator, as the others

    return fetch


def _downloaded(store: DatasetStore, source: Download) -> _Fetch:
    @contextlib.contextmanager
    def fetch(notify: Notify) -> Iterator[Sequence[Path]]:
        if is_offline():
            raise DataError("MLGYM_OFFLINE forbids to fetch it")
        _check_modules(source)
        yield [download(remote, store.downloads, notify) for remote in source.remote]

    return fetch


def _source_archive(store: DatasetStore, source: PythonSourceArchive) -> _Fetch:
    @contextlib.contextmanager
    def fetch(notify: Notify) -> Iterator[Sequence[Path]]:
        if is_offline():
            raise DataError("MLGYM_OFFLINE forbids to fetch it")
        remote = RemoteFile(
            url=url_on_index(source.project, source.file),
            name=source.file,
            size_bytes=source.size_bytes,
            sha256=source.sha256,
        )
        yield [download(remote, store.downloads, notify)]

    return fetch
