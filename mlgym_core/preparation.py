"""Preparing a task once: its public and private files, its packages, and what its grader needs of the code."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from mlgym_core.data.declarations import SystemFiles
from mlgym_core.data.obtaining import named_dataset, refresh
from mlgym_core.data.store import DatasetStore
from mlgym_core.errors import MlgymError, PluginError, UsageError
from mlgym_core.host import Host
from mlgym_core.ids import slug
from mlgym_core.interfaces import Preparation, Task
from mlgym_core.locking import exclusive_lock
from mlgym_core.sandbox.disk import disk_bytes
from mlgym_core.sandbox.environments import packages_for
from mlgym_core.sandbox.scratch import remove_scratch, scratch_folder
from mlgym_core.seeds import grading_key
from mlgym_core.settings import cache_dir
from mlgym_core.specs import TaskSpec

_RECORD = "prepared.json"
"""Name of the file beside both folders with their hash, and what tells whether they were changed."""


@dataclass(frozen=True)
class PreparedTask:
    """A task that is ready to be played and graded.

    Attributes:
        public: Folder that each workspace is a copy of.
        private: Folder that graders see.
        public_bytes: Size of the files in it.
        data_hash: Hash of both folders.
        package: The folder or file of the package with the task's class.
        packages: Python packages of the agent and of submission processes, or None.
        grader_packages: Python packages of the grader, or None.
        dockerfile: The task's own Dockerfile, or None.
    """

    spec: TaskSpec
    task: Task
    variant: str
    public: Path
    public_bytes: int
    private: Path
    data_hash: str
    package: Path
    packages: Path | None
    grader_packages: Path | None
    dockerfile: Path | None = None

    @property
    def hidden(self) -> tuple[str, ...]:
        """Folders of the system with copies of the data, which agents and submissions must not see."""
        sources = [source for dataset in self.task.datasets for source in dataset.sources]
        return tuple(dict.fromkeys(source.folder for source in sources if isinstance(source, SystemFiles)))

    @property
    def requirements(self) -> tuple[str, ...]:
        """Requirement strings of `packages`."""
        return _requirements(self.spec)


def _requirements(spec: TaskSpec) -> tuple[str, ...]:
    # Where there is a network, the agent may add packages of its own.
    return (*spec.requirements, "pip") if spec.network else spec.requirements


def prepare_task(
    host: Host, task_id: str, variant: str | None = None, notify: Callable[[str], None] = lambda _: None
) -> PreparedTask:
    """Return a task with its files, making them if they are not in the cache.

    Args:
        variant: The task's first variant unless given.
        notify: Told in a sentence before a long wait.

    Raises:
        UsageError: if there is no such task or variant.
        MlgymError: if the preparation fails.
    """
    spec = host.tasks.spec(task_id)
    chosen = variant or spec.variants[0]
    if chosen not in spec.variants:
        raise UsageError(f"Task {task_id!r} has no variant {chosen!r}. It has: {', '.join(spec.variants)}.")
    task = host.tasks.load(task_id)(chosen)
    package = _package_of(spec)
    folder = _folder(task, spec, package)
    if not _is_intact(folder):
        _prepare(task, spec, folder, notify)
        folder = _folder(task, spec, package)
    public, private = folder / "public", folder / "private"
    return PreparedTask(
        spec=spec,
        task=task,
        variant=chosen,
        public=public,
        public_bytes=_size(public),
        private=private,
        data_hash=_record_of(folder)["hash"],
        package=package,
        packages=packages_for(_requirements(spec), notify),
        grader_packages=packages_for(spec.grader_requirements, notify),
        dockerfile=_dockerfile_of(spec, package),
    )


def _folder(task: Task, spec: TaskSpec, package: Path) -> Path:
    """Return where the prepared files lie, by all that they depend on."""
    trusted = [
        DatasetStore(spec.id, dataset).expected_hash() for dataset in task.datasets if dataset.content_hash is None
    ]
    parts = [spec.id, spec.version, task.variant, _content_hash((package,)), grading_key().hex(), trusted]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
    return cache_dir() / "prepared" / f"{slug(spec.id)}-{slug(task.variant)}-{digest}"


@cache
def _size(folder: Path) -> int:
    return disk_bytes([folder])


def _dockerfile_of(spec: TaskSpec, package: Path) -> Path | None:
    if spec.dockerfile is None:
        return None
    path = package / spec.dockerfile
    if not path.is_file():
        raise PluginError(f"Task {spec.id!r} names the Dockerfile {spec.dockerfile!r}, and there is no {path}.")
    return path


def _prepare(task: Task, spec: TaskSpec, folder: Path, notify: Callable[[str], None]) -> None:
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with exclusive_lock(folder.with_name(f"{folder.name}.lock")):
        final = _folder(task, spec, _package_of(spec))
        if _is_intact(final):
            return
        if final.is_dir():
            notify(f"The prepared files of {spec.id} have been changed; they are put aside.")
            # Renamed and not removed: episodes may be using them.
            final.rename(f"{final}-changed-{os.urandom(4).hex()}")
        notify(f"Preparing {spec.id} (once) …")
        # Only the holder of the lock uses this name: so what a killed process left is removed here.
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        # Only their owner can enter; the rename keeps that.
        partial.mkdir(mode=0o700)
        try:
            record = {"hash": _write_files(task, spec, partial, notify), "stamps": _stamps_of(partial)}
            (partial / _RECORD).write_text(json.dumps(record))
            # Data that were trusted at first use have their hash in the name from now on.
            final = _folder(task, spec, _package_of(spec))
            if not final.is_dir():
                partial.rename(final)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _is_intact(folder: Path) -> bool:
    """Return whether prepared files are there, and are what was written.

    Sizes and times tell; where they differ, as after copying a cache, every byte is compared.
    """
    if not folder.is_dir():
        return False
    record = _record_of(folder)
    if record.get("stamps") == _stamps_of(folder):
        return True
    return record.get("hash") == _content_hash((folder / "public", folder / "private"))


def _record_of(folder: Path) -> dict[str, str]:
    try:
        record = json.loads((folder / _RECORD).read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _stamps_of(folder: Path) -> str:
    """Return a hash of names, sizes and times of prepared files."""
    roots = [folder / "public", folder / "private"]
    found = [(str(path.relative_to(folder)), path.lstat()) for root in roots for path in sorted(root.rglob("*"))]
    stamps = [(name, status.st_size, status.st_mtime_ns) for name, status in found if not stat.S_ISDIR(status.st_mode)]
    return hashlib.sha256(json.dumps(stamps).encode()).hexdigest()


def _write_files(task: Task, spec: TaskSpec, folder: Path, notify: Callable[[str], None]) -> str:
    """Write a task's public and private files into a folder, and return the hash of both."""
    public, private = folder / "public", folder / "private"
    public.mkdir()
    private.mkdir()

    def dataset(name: str) -> Path:
        return refresh(spec.id, named_dataset(spec.id, task.datasets, name), notify).path

    try:
        task.prepare(Preparation(public, private, dataset))
    except MlgymError:
        raise
    except Exception as error:
        raise PluginError(f"Task {spec.id!r} could not be prepared: {error!r}.") from error
    for path in public.rglob("*"):
        # They may show through in workspaces, where they are the agent's.
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
    return _content_hash((public, private))


def hash_of_new_preparation(prepared: PreparedTask) -> str:
    """Prepare a task once more, into a folder that is not kept, and return the hash of its files.

    Raises:
        MlgymError: if the preparation fails.
    """
    folder = scratch_folder("preparation")
    try:
        return _write_files(prepared.task, prepared.spec, folder, lambda _: None)
    finally:
        remove_scratch(folder)


def _package_of(spec: TaskSpec) -> Path:
    """Return the folder of the top-level package that holds the task's class, or the file of a single module."""
    top = spec.target.partition(":")[0].partition(".")[0]
    found = importlib.util.find_spec(top)
    if found is not None and found.submodule_search_locations:
        return Path(next(iter(found.submodule_search_locations))).resolve()
    if found is not None and found.origin and Path(found.origin).is_file():
        return Path(found.origin).resolve()
    raise PluginError(f"The package {top!r} of task {spec.id!r} is not a folder on disk, as graders need it to be.")


def _content_hash(roots: tuple[Path, ...]) -> str:
    stamps = []
    for root in roots:
        for path in sorted([root] if root.is_file() else root.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                status = path.stat()
                relative = path.name if path == root else str(path.relative_to(root))
                stamps.append((str(path), relative, status.st_size, status.st_mtime_ns))
        stamps.append(("", "", 0, 0))
    return _hash_files(tuple(stamps))


@lru_cache(maxsize=256)
def _hash_files(stamps: tuple[tuple[str, str, int, int], ...]) -> str:
    """Hash names and contents; sizes and times are there to notice changes since the last call."""
    digest = hashlib.sha256()
    for path, relative, size, _ in stamps:
        digest.update(f"{len(relative)} {relative} {size}\n".encode(errors="surrogateescape"))
        if path:
            with Path(path).open("rb") as file:
                for chunk in iter(lambda: file.read(1 << 20), b""):
                    digest.update(chunk)
    return digest.hexdigest()


def copy_public(prepared: PreparedTask, workspace: Path) -> None:
    """Copy the public files into an empty workspace, writable for its owner."""
    shutil.copytree(prepared.public, workspace, dirs_exist_ok=True, copy_function=shutil.copyfile)
    for folder, _, names in os.walk(workspace):
        for name in names:
            Path(folder, name).chmod(0o644)
