"""The agent's side of an episode: a workspace, a sandbox that shows it, and a persistent shell."""

from __future__ import annotations

import asyncio
import contextlib
import os
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mlgym_core.errors import ToolError
from mlgym_core.interfaces import Mount, Sandbox, SandboxLayout
from mlgym_core.preparation import PreparedTask, copy_public
from mlgym_core.sandbox.areas import AREAS, Layer, copy_area, is_empty, remove_work_folder
from mlgym_core.sandbox.disk import DiskLimit, free_bytes
from mlgym_core.sandbox.environments import pip_variables
from mlgym_core.sandbox.listening import Listener, listen_inside
from mlgym_core.sandbox.overlays import stack_is_too_high
from mlgym_core.sandbox.scratch import remove_scratch, scratch_folder, scratch_root
from mlgym_core.sandbox.shell import Shell, ShellResult
from mlgym_core.sandbox.shell_state import ShellState
from mlgym_core.sandbox.submission_files import copy_submission
from mlgym_core.sandbox.transfers import read_file, write_file
from mlgym_core.specs import Resources

WORKSPACE = "/workspace"
_HOME = "/home/agent"
_TARGETS = (WORKSPACE, _HOME, "/tmp")  # noqa: S108 - paths of the sandbox
"""Where the areas appear in the sandbox."""
_LARGEST_COPY = 16 << 20
"""Public files larger than that together show through instead of being copied: renaming a folder that shows through
means copying it, which programs do not expect of a small task."""
_DISK_SHARE = 0.8
"""Of the free disk that an agent's files may take, unless the task says something else."""
_DEFAULT_PROCESSES = 4096
_LONGEST_PATH = 4095
"""Linux's PATH_MAX without the closing NUL."""
_LONGEST_COMMAND = 1 << 20
"""In bytes. Bash reads commands byte by byte; longer scripts belong into files."""
_MEMORY_SHARE = 0.9
"""Of the machine's memory that an agent's processes may have together, unless the task says something else."""


@dataclass(frozen=True)
class WorkplaceSnapshot:
    """An agent's files and the state of its shell at one moment.

    Attributes:
        layers: The files, the lowest layer first.
        shows_public: Whether the task's own files show through the layers.
        background_processes: How many there were; they are not part of it.
    """

    layers: tuple[Layer, ...]
    shows_public: bool
    background_processes: int
    _state: ShellState
    _home: Path

    def state_in(self, home: Path) -> ShellState:
        """Return the shell's state for a workplace whose folder is `home`.

        In a sandbox without a file system of its own, variables and the working directory hold paths of the host.
        """
        return self._state.moved(str(self._home), str(home))


class Workplace:
    """Everything an agent can touch. Start it with `open`, and `close` it.

    Attributes:
        sandbox: Where the agent's processes run.
        workspace: The host folder with the changes to the workspace, if the task's files show through, or all of it.

    Args:
        prepared: The task.
        sandbox_class: Which sandbox to use.
        origin: Begin as a copy of this, instead of with the task's public files.
        extra_mounts: What the sandbox shows besides, read-only.
    """

    def __init__(
        self,
        prepared: PreparedTask,
        sandbox_class: type[Sandbox],
        origin: WorkplaceSnapshot | None = None,
        extra_mounts: Sequence[Mount] = (),
    ) -> None:
        self._prepared = prepared
        self._extra_mounts = tuple(extra_mounts)
        self._origin = origin
        self._owner = os.getpid()
        self._folder = scratch_folder("episode")
        self._areas = [self._folder / name for name in AREAS]
        self.workspace = self._areas[0]
        for area in self._areas:
            area.mkdir(mode=0o755)
        self._layered = sandbox_class.layers_work(scratch_root())
        self._shows_public = self._layered and prepared.public_bytes > _LARGEST_COPY
        """Whether the task's public files show through, instead of being copied."""
        self._layers: tuple[Layer, ...] = ()
        if origin is not None:
            self._take(origin)
        elif not self._shows_public:
            copy_public(prepared, self.workspace)
        wanted = prepared.spec.resources or Resources()
        disk_bytes = wanted.disk_bytes or int(free_bytes(self._folder) * _DISK_SHARE)
        self.sandbox = sandbox_class(
            SandboxLayout(
                mounts=self._mounts(),
                working_directory=WORKSPACE,
                home=_HOME,
                packages=prepared.packages,
                requirements=prepared.requirements,
                environment=pip_variables(_HOME, network=prepared.spec.network),
                image=prepared.spec.image,
                dockerfile=prepared.dockerfile,
                hidden=prepared.hidden,
                network=prepared.spec.network,
                resources=Resources(
                    memory_bytes=wanted.memory_bytes or _default_memory(sandbox_class),
                    processes=wanted.processes or _DEFAULT_PROCESSES,
                    cpus=wanted.cpus,
                    disk_bytes=disk_bytes,
                    gpus=wanted.gpus,
                ),
            )
        )
        self._shell = Shell(self.sandbox)
        self._disk = DiskLimit(disk_bytes, self._folder, self._shell, self._seen, self._ignored_bytes)

    def _mounts(self) -> tuple[Mount, ...]:
        own = {
            area: tuple(layer.folder / area.name for layer in self._layers if area.name in layer.filled)
            for area in self._areas
        }
        if not self._layered:
            own = dict.fromkeys(self._areas, ())
        if self._shows_public:
            own[self.workspace] = (self._prepared.public, *own[self.workspace])
        areas = (
            Mount(area, target, writable=True, layers=own[area])
            for area, target in zip(self._areas, _TARGETS, strict=True)
        )
        return (*areas, *self._extra_mounts)

    def _mounted_areas(self) -> tuple[Mount, ...]:
        """Return the mounts of the areas as they are now."""
        return self.sandbox.layout.mounts[: len(self._areas)]

    def _take(self, origin: WorkplaceSnapshot) -> None:
        """Begin with the files of a snapshot; the areas are empty."""
        self._layers, self._shows_public = origin.layers, origin.shows_public
        if not self._layered:
            for area in self._areas:
                copy_area(origin.layers[-1].folder / area.name, area)

    def _seen(self) -> list[Path]:
        """Return the areas' paths as the sandbox sees them, while it runs."""
        return [self.sandbox.seen_from_host(mount) for mount in self._mounted_areas()]

    def _ignored_bytes(self) -> int:
        return self._prepared.public_bytes if self._shows_public else 0

    @property
    def belongs_to_this_process(self) -> bool:
        """False in a child that was forked while the episode was going on."""
        return self._owner == os.getpid()

    def processor_seconds(self) -> float | None:
        """Return the processor time that the agent's processes have used, in seconds; None if unknown."""
        return self.sandbox.processor_seconds()

    def limit_text(self, name: str) -> str:
        """Return a sentence for the agent about a limit that was reached."""
        resources = self.sandbox.layout.resources or Resources()
        if name == "memory":
            size = _readable(resources.memory_bytes or 0)
            return f"The memory limit of {size} for all processes together was reached; a process was ended."
        if name == "processes":
            return f"The limit of {resources.processes} processes was reached; one could not be started."
        if name == "cpu":
            return f"The processor limit of {resources.cpus:g} CPUs held the command back."
        if name == "file":
            return f"No file may be larger than {_readable(self._disk.limit)}; what wrote to one was ended."
        return (
            f"The disk limit of {_readable(self._disk.limit)} for the workspace, the home folder and /tmp together was "
            f"reached: they hold {_readable(self._disk.used)}. Delete files; commands that write more are ended."
        )

    @property
    def working_directory(self) -> str:
        """The shell's working directory after the last command, as a path of the sandbox."""
        return self._shell.working_directory

    async def open(self) -> None:
        """Start the shell.

        Raises:
            SandboxError: if it does not start.
        """
        if self._origin is None:
            await self._shell.start()
        else:
            # Whoever forks often need not wait for one shell before the next is started.
            await self._shell.begin(self._origin.state_in(self._folder))
        self._disk.begin()

    async def snapshot(self) -> WorkplaceSnapshot:
        """Return the files and the shell's state. Background processes are not part of it, and go on.

        Where layers work and nothing but the shell runs, what has changed becomes a layer, and the shell is started
        anew on top of it, in the same state. Otherwise the files are copied.

        Raises:
            SandboxError: if the shell does not tell its state, or files cannot be read.
        """
        for area in self._areas:
            # Its own folders are ours, whatever the agent did to their permissions.
            area.chmod(area.stat().st_mode | 0o700)
        state = await self._shell.dump_state()
        processes = self._shell.background_processes()
        if self._layered and processes == 0 and not self._shell_holds_files():
            if not self._layers or not is_empty(self._areas):
                await self._seal(state)
            layers, shows_public = self._layers, self._shows_public
        else:
            with self._frozen():
                layers, shows_public = (await self._copied(),), False
        return WorkplaceSnapshot(layers, shows_public, processes, state, self._folder)

    def _shell_holds_files(self) -> bool:
        """Return whether the shell has files open, which a layer could change through."""
        for link in self._shell.open_files():
            with contextlib.suppress(OSError):
                target = os.readlink(link)
                if target.startswith("/") and not target.startswith("/dev/"):
                    return True
        return False

    async def _seal(self, state: ShellState) -> None:
        """Make a layer of what has changed and go on above it."""
        if any(
            stack_is_too_high((*mount.layers, mount.source), mount.source)
            for mount in self._mounts()[: len(self._areas)]
        ):
            with self._frozen():
                copied = await self._copied()
            await self._shell.close()
            self._layers, self._shows_public = (copied,), False
            self._empty_areas()
        else:
            await self._shell.close()
            self._layers = (*self._layers, Layer.of_changes(self._folder))
        await self._start_shell(state)

    async def _copied(self) -> Layer:
        """Return a copy of all that is seen; nothing in the sandbox may run."""
        layer = Layer(scratch_folder("layer"))
        for area, mount in zip(self._areas, self._mounted_areas(), strict=True):
            copy = layer.folder / area.name
            copy.mkdir()
            async with self.sandbox.files(mount) as files:
                await asyncio.to_thread(copy_area, files, copy)
        return layer

    def _empty_areas(self) -> None:
        for area in self._areas:
            remove_scratch(area)
            remove_work_folder(area)
            area.mkdir(mode=0o755)

    async def _start_shell(self, state: ShellState) -> None:
        self.sandbox.layout = replace(self.sandbox.layout, mounts=self._mounts())
        await self._shell.begin(state)
        self._disk.forget()

    async def restore(self, snapshot: WorkplaceSnapshot) -> None:
        """Bring files and shell back to a snapshot. Background processes are ended.

        Raises:
            SandboxError: if the shell does not start.
        """
        await self._shell.close()
        await asyncio.to_thread(self._empty_areas)
        await asyncio.to_thread(self._take, snapshot)
        await self._start_shell(snapshot.state_in(self._folder))

    async def run(self, command: str, seconds: float | None) -> ShellResult:
        """Run a command in the persistent shell.

        Raises:
            ToolError: if the command is too long.
        """
        if len(command) > _LONGEST_COMMAND:
            raise ToolError(f"The command is too long: the limit is {_LONGEST_COMMAND:,} bytes. Write a file instead.")
        return await self._disk.while_running(self._shell.run(command, seconds))

    def end_command(self) -> bool:
        """End the command that is running as if its time were up, and return whether one was."""
        return self._shell.expire()

    async def listen(self) -> Listener:
        """Return a socket that the sandbox's processes can connect to, until the shell is started anew.

        Raises:
            SandboxError: if there is none to be had.
        """
        await self._shell.ready()
        return await listen_inside(self.sandbox)

    async def read_file(self, path: str, max_bytes: int) -> bytes:
        """Read a file as the agent would, through a process in the sandbox.

        Raises:
            ToolError: if it cannot be read.
        """
        await self._shell.ready()
        return await read_file(self.sandbox, self._absolute(path), max_bytes)

    async def write_file(self, path: str, content: bytes) -> None:
        """Write a file as the agent would, through a process in the sandbox.

        Raises:
            ToolError: if it cannot be written.
        """
        await self._shell.ready()
        await write_file(self.sandbox, self._absolute(path), content)

    def _absolute(self, path: str) -> str:
        if not path or "\0" in path:
            raise ToolError("The path is empty or holds a NUL character.")
        absolute = posixpath.join(self.working_directory, path)
        try:
            size = len(os.fsencode(absolute))
        except UnicodeEncodeError:
            raise ToolError("The path holds a character that no file name can have.") from None
        if size > _LONGEST_PATH:
            raise ToolError(f"The path is too long: {size:,} bytes, of {_LONGEST_PATH:,} that a path can have.")
        return absolute

    async def copy_submission(self, destination: Path) -> None:
        """Copy the task's submission files out of the workspace, while nothing in the sandbox runs.

        Raises:
            InvalidSubmission: if they are missing or not plain files.
        """
        await self._shell.ready()
        # Its own folder is ours, whatever the agent did to its permissions.
        self.workspace.chmod(0o755)
        wanted = self._prepared.task.submission_files()
        with self._frozen():
            async with self.sandbox.files(self.sandbox.layout.mounts[0]) as files:
                await asyncio.to_thread(copy_submission, files, wanted, destination)

    @contextlib.contextmanager
    def _frozen(self) -> Iterator[None]:
        self._shell.freeze()
        try:
            yield
        finally:
            self._shell.thaw()

    async def end_processes(self) -> None:
        """Kill whatever runs in the sandbox; the workspace stays."""
        await asyncio.to_thread(self._disk.end)
        await self._shell.end()
        await self.sandbox.close()

    async def close(self) -> None:
        """End everything and delete the workspace."""
        await self.end_processes()
        # What layers hold on disk goes with the last reference to them, and not when the collector gets round to us.
        self._layers, self._origin = (), None
        if self.belongs_to_this_process:
            remove_scratch(self._folder)


def _default_memory(sandbox_class: type[Sandbox]) -> int | None:
    """Return a limit that keeps an agent from taking the runner down, where it can be held for all its processes."""
    if not sandbox_class.limits().get("memory", "").startswith("control group"):
        return None
    return int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * _MEMORY_SHARE)


def _readable(size: int) -> str:
    return f"{size / (1 << 30):.3g} GiB" if size >= 1 << 28 else f"{size / (1 << 20):.3g} MiB"
