"""The agent's side of an episode: a workspace, a sandbox that shows it, and a persistent shell."""

from __future__ import annotations

import asyncio
import os
import posixpath
import subprocess
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlgym_core.errors import SandboxError, ToolError
from mlgym_core.interfaces import Mount, Sandbox, SandboxLayout
from mlgym_core.preparation import PreparedTask, copy_public
from mlgym_core.sandbox.control_groups import usable_controllers
from mlgym_core.sandbox.pipes import run_process
from mlgym_core.sandbox.scratch import remove_scratch, scratch_folder
from mlgym_core.sandbox.shell import Shell, ShellResult, ShellState
from mlgym_core.sandbox.submission_files import copy_submission
from mlgym_core.specs import Resources

WORKSPACE = "/workspace"
_HOME = "/home/agent"
_AREAS = ("workspace", "home", "tmp")
"""The folders that an agent can write to."""
_FILE_SECONDS = 60.0
_DEFAULT_PROCESSES = 4096
_LONGEST_PATH = 4095
"""Linux's PATH_MAX without the closing NUL."""
_LONGEST_COMMAND = 1 << 20
"""In bytes. Bash reads commands byte by byte; longer scripts belong into files."""
_MEMORY_SHARE = 0.9
"""Of the machine's memory that an agent's processes may have together, unless the task says something else."""


class WorkplaceSnapshot:
    """A copy of an agent's files and of its shell's state, deleted when nobody refers to it any more.

    Attributes:
        folder: On the host, with the areas of a workplace in it.
    """

    def __init__(self, folder: Path, state: ShellState, home: Path) -> None:
        self.folder = folder
        self._state = state
        self._home = home
        weakref.finalize(self, _remove_in, os.getpid(), folder)

    def state_in(self, home: Path) -> ShellState:
        """Return the shell's state for a workplace whose folder is `home`.

        In a sandbox without a file system of its own, variables and the working directory hold paths of the host.
        """
        old, new = str(self._home), str(home)
        state = self._state
        return ShellState(state.commands.replace(old, new), state.working_directory.replace(old, new))


def _remove_in(process_id: int, folder: Path) -> None:
    # A forked child drops its copy of the object; the folder is its parent's.
    if process_id == os.getpid():
        remove_scratch(folder)


def _copy_areas(source: Path, destination: Path) -> None:
    """Copy workspace, home and temporary files, links as links, sharing blocks where the file system can."""
    command = ["cp", "--archive", "--reflink=auto", "--", *(str(source / name) for name in _AREAS), str(destination)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SandboxError(f"The agent's files could not be copied: {done.stderr.strip()[-500:]}")


class Workplace:
    """Everything an agent can touch. Make it with `open`, and `close` it.

    Args:
        prepared: The task.
        sandbox_class: Which sandbox to use.
        origin: Begin as a copy of this, instead of with the task's public files.
    """

    def __init__(
        self, prepared: PreparedTask, sandbox_class: type[Sandbox], origin: WorkplaceSnapshot | None = None
    ) -> None:
        self._prepared = prepared
        self._origin = origin
        self._owner = os.getpid()
        self._folder = scratch_folder("episode")
        self.workspace, home, temporary = (self._folder / name for name in _AREAS)
        if origin is None:
            for folder in (self.workspace, home, temporary):
                folder.mkdir(mode=0o755)
            copy_public(prepared, self.workspace)
        else:
            _copy_areas(origin.folder, self._folder)
        wanted = prepared.spec.resources or Resources()
        self._sandbox = sandbox_class(
            SandboxLayout(
                mounts=(
                    Mount(self.workspace, WORKSPACE, writable=True),
                    Mount(home, _HOME, writable=True),
                    Mount(temporary, "/tmp", writable=True),  # noqa: S108 - a path of the sandbox
                ),
                working_directory=WORKSPACE,
                home=_HOME,
                packages=prepared.packages,
                requirements=prepared.spec.requirements,
                image=prepared.spec.image,
                dockerfile=prepared.dockerfile,
                network=prepared.spec.network,
                resources=Resources(
                    memory_bytes=wanted.memory_bytes or _default_memory(),
                    processes=wanted.processes or _DEFAULT_PROCESSES,
                    cpus=wanted.cpus,
                    disk_bytes=wanted.disk_bytes,
                    gpus=wanted.gpus,
                ),
            )
        )
        self._shell = Shell(self._sandbox)

    @property
    def belongs_to_this_process(self) -> bool:
        """False in a child that was forked while the episode was going on."""
        return self._owner == os.getpid()

    def limit_text(self, name: str) -> str:
        """Return a sentence for the agent about a limit that was reached."""
        resources = self._sandbox.layout.resources or Resources()
        if name == "memory" and resources.memory_bytes is not None:
            size = resources.memory_bytes / (1 << 30)
            return f"The memory limit of {size:.3g} GiB for all processes together was reached; a process was ended."
        return f"The limit of {resources.processes} processes was reached; one could not be started."

    @property
    def working_directory(self) -> str:
        """The shell's working directory after the last command, as a path of the sandbox."""
        return self._shell.working_directory

    async def open(self) -> None:
        """Start the shell.

        Raises:
            SandboxError: if it does not start.
        """
        await self._shell.start()
        if self._origin is not None:
            await self._shell.load_state(self._origin.state_in(self._folder))

    async def snapshot(self) -> WorkplaceSnapshot:
        """Return a copy of the files and of the shell's state. Background processes are not part of it.

        Raises:
            SandboxError: if the shell does not tell its state, or files cannot be read.
        """
        state = await self._shell.dump_state()
        folder = scratch_folder("snapshot")
        try:
            with self._frozen():
                await asyncio.to_thread(_copy_areas, self._folder, folder)
        except BaseException:
            remove_scratch(folder)
            raise
        return WorkplaceSnapshot(folder, state, self._folder)

    async def restore(self, snapshot: WorkplaceSnapshot) -> None:
        """Bring files and shell back to a snapshot. Background processes are ended.

        Raises:
            SandboxError: if the shell does not start.
        """
        await self._shell.close()
        for name in _AREAS:
            remove_scratch(self._folder / name)
        await asyncio.to_thread(_copy_areas, snapshot.folder, self._folder)
        await self._shell.start()
        await self._shell.load_state(snapshot.state_in(self._folder))

    async def run(self, command: str, seconds: float) -> ShellResult:
        """Run a command in the persistent shell.

        Raises:
            ToolError: if the command is too long.
        """
        if len(command) > _LONGEST_COMMAND:
            raise ToolError(f"The command is too long: the limit is {_LONGEST_COMMAND:,} bytes. Write a file instead.")
        return await self._shell.run(command, seconds)

    async def read_file(self, path: str, max_bytes: int) -> bytes:
        """Read a file as the agent would, through a process in the sandbox.

        Raises:
            ToolError: if it cannot be read.
        """
        done = await run_process(
            self._sandbox, ["/bin/cat", "--", self._absolute(path)], output_limit=max_bytes, seconds=_FILE_SECONDS
        )
        if done.status is None and len(done.output) == max_bytes:
            return done.output
        if done.status != 0:
            raise ToolError(f"{path} cannot be read: {_last_part(done.error)}.")
        return done.output

    async def write_file(self, path: str, content: bytes) -> None:
        """Write a file as the agent would, through a process in the sandbox.

        Raises:
            ToolError: if it cannot be written.
        """
        script = 'mkdir -p -- "$1" && cat > "$2"'
        target = self._absolute(path)
        done = await run_process(
            self._sandbox,
            ["/bin/sh", "-c", script, "sh", posixpath.dirname(target), target],
            content=content,
            output_limit=4096,
            seconds=_FILE_SECONDS,
        )
        if done.status != 0:
            raise ToolError(f"{path} cannot be written: {_last_part(done.error)}.")

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

    def copy_submission(self, destination: Path) -> None:
        """Copy the task's submission files out of the workspace, while nothing in the sandbox runs.

        Raises:
            InvalidSubmission: if they are missing or not plain files.
        """
        # Its own folder is ours, whatever the agent did to its permissions.
        self.workspace.chmod(0o755)
        with self._frozen():
            copy_submission(self.workspace, self._prepared.task.submission_files(), destination)

    @contextmanager
    def _frozen(self) -> Iterator[None]:
        self._shell.freeze()
        try:
            yield
        finally:
            self._shell.thaw()

    async def end_processes(self) -> None:
        """Kill whatever runs in the sandbox; the workspace stays."""
        await self._shell.close()
        await self._sandbox.close()

    async def close(self) -> None:
        """End everything and delete the workspace."""
        await self.end_processes()
        if self.belongs_to_this_process:
            remove_scratch(self._folder)


def _default_memory() -> int | None:
    """Return a limit that keeps an agent from taking the runner down, where it can be held for all its processes."""
    if "memory" not in usable_controllers():
        return None
    return int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * _MEMORY_SHARE)


def _last_part(error: str) -> str:
    """Return the reason from a message such as `cat: x: No such file or directory`."""
    return error.rpartition("\n")[2].rpartition(": ")[2].rstrip(".") or "it failed without a message"
