"""What `bwrap` sandboxes see of the host: the system and the interpreter, read-only, and no package of the host's."""

from __future__ import annotations

import functools
import os
import shutil
import stat
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from mlgym_core.sandbox.environments import PIP_REFUSAL, write_pip_programs, write_pip_refusal
from mlgym_core.sandbox.stored import stored_folder

_USER_ID = "1000"
PYTHON = "/opt/python"
"""Where the interpreter appears if the host keeps it outside `/usr`, such as in a home directory."""
ENVIRONMENT = "/opt/environment"
"""The virtual environment of the sandbox."""
DATA_FOLDER = "/usr/share/datasets"
"""Where Debian's packages of datasets put them, whichever task the answers are of. No sandbox shows it."""
_SITE_PACKAGES = f"lib/python3.{sys.version_info.minor}/site-packages"
NO_PIP_FOLDER = f"{ENVIRONMENT}/pip"
"""Holds a module `pip` that says why it does nothing."""
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
_NETWORK_FILES = (
    "/etc/nsswitch.conf",
    "/etc/pki/ca-trust",
    "/etc/resolv.conf",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
)
"""Files that sandboxes with a network see besides."""
# The kernel lets their owner change these whatever his capabilities, and if we are root the owner is us.
_KERNEL_FILES = ("/proc/keys", "/proc/slabinfo", "/proc/timer_list", "/proc/vmallocinfo")
"""These likewise: they tell of the whole machine what only its owner may know."""
_KERNEL_SETTINGS = ("/proc/acpi", "/proc/fs", "/proc/mtrr", "/proc/scsi", "/proc/sys")
_OWN_FILES = {
    "passwd": "root:x:0:0::/root:/usr/sbin/nologin\nagent:x:1000:1000::/home/agent:/bin/bash\n",
    "group": "root:x:0:\nagent:x:1000:\n",
    "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
}
"""Files in `/etc` that sandboxes see instead of the host's."""


def is_below(path: Path, folder: Path) -> bool:
    return path == folder or folder in path.parents


def _interpreter_folder() -> Path:
    return Path(sys.base_prefix).resolve()


def interpreter_is_in_usr() -> bool:
    return is_below(_interpreter_folder(), Path("/usr"))


def _hidden_folders() -> Iterator[str]:
    """Yield the folders below what the sandbox shows that it must not show, as paths of the sandbox.

    These are the packages of the host's interpreters, which may hold graders, and any other place from which
    mlgym or a plugin could have been installed.
    """
    interpreter = _interpreter_folder()
    roots = {Path("/usr"): "/usr"}
    if not interpreter_is_in_usr():
        roots[interpreter] = PYTHON
    private = [Path(__file__).resolve().parents[2], *(Path(entry).resolve() for entry in sys.path if entry)]
    private += [Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")]
    if sys.prefix != sys.base_prefix:
        private.append(Path(sys.prefix).resolve())
    standard_library = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")}
    standard_library |= {path / "lib-dynload" for path in standard_library}
    for root, shown_as in roots.items():
        found = {path for path in private if path != root and is_below(path, root) and path.is_dir()}
        for folder in (root, root / "local") if root == Path("/usr") else (root,):
            for pattern in ("lib*/python3*/site-packages", "lib*/python3*/dist-packages", "src"):
                found.update(path.resolve() for path in folder.glob(pattern) if path.is_dir())
        for path in sorted(found - standard_library):
            # A folder that holds the standard library cannot be hidden; what is private in it is listed apart.
            holds_library = any(is_below(library, path) for library in standard_library)
            if is_below(path, root) and not holds_library and any(path.iterdir()):
                yield shown_as + str(path)[len(str(root)) :]


@functools.cache
def system_arguments(*, network: bool = False) -> tuple[str, ...]:
    """Return the arguments that all sandboxes share: namespaces, the system, the interpreter.

    The fewer mounts the better: most of the time that a sandbox takes to start goes into them.
    """
    arguments = [
        *("--unshare-all", "--unshare-user", "--disable-userns", "--uid", _USER_ID, "--gid", _USER_ID),
        *("--hostname", "sandbox", "--die-with-parent", "--new-session", "--as-pid-1", "--clearenv"),
        *("--ro-bind", "/usr", "/usr"),
    ]
    if network:
        arguments += ["--share-net"]
    for name in _SYSTEM_FOLDERS:
        path = Path("/", name)
        if path.is_symlink():
            arguments += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            arguments += ["--ro-bind", str(path), str(path)]
    arguments += ["--ro-bind", str(_configuration(network)), "/etc"]
    if not interpreter_is_in_usr():
        arguments += ["--ro-bind", str(_interpreter_folder()), PYTHON]
    for folder in _hidden_folders():
        arguments += ["--ro-bind", str(_empty_folder()), folder]
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    for name in _KERNEL_SETTINGS:
        arguments += ["--ro-bind-try", name, name]
    for name in _KERNEL_FILES:
        if os.getuid() == 0 and Path(name).exists():
            # Devices cannot be opened on such a mount.
            arguments += ["--ro-bind", "/dev/null", name]
    return tuple(arguments)


def hiding_arguments(folders: Iterable[str]) -> list[str]:
    """Return the arguments that cover folders of the system by empty ones."""
    arguments = []
    for path in outermost(Path(folder).resolve() for folder in (DATA_FOLDER, *folders)):
        # Nothing else that the host has is shown in the first place.
        if is_below(path, Path("/usr")) and path.is_dir():
            arguments += ["--ro-bind", str(_empty_folder()), str(path)]
    return arguments


def outermost(folders: Iterable[Path]) -> list[Path]:
    """Return the folders that lie in none of the others, each once."""
    found: list[Path] = []
    for path in sorted(folders):
        if not any(is_below(path, folder) for folder in found):
            found.append(path)
    return found


def _configuration(network: bool) -> Path:
    """Return a folder with what sandboxes see as `/etc`: a copy of some of the host's, which anybody may read."""
    sources = [Path(name) for name in (*_SYSTEM_FILES, *(_NETWORK_FILES if network else ())) if Path(name).exists()]
    identity = repr((_OWN_FILES, [(str(source), *_stamps(source)) for source in sources]))

    def fill(folder: Path) -> None:
        for source in sources:
            _copy_readable(source, folder / source.relative_to("/etc"))
        for name, content in _OWN_FILES.items():
            (folder / name).write_text(content)

    return stored_folder("etc", identity, fill)


def _stamps(root: Path) -> list[tuple[str, int, int]]:
    """Return names, sizes and times of what lies below a path, to notice changes."""
    paths = sorted(root.rglob("*")) if root.is_dir() else [root]
    return [(str(path), status.st_size, status.st_mtime_ns) for path in paths if (status := path.lstat())]


def _copy_readable(source: Path, target: Path) -> None:
    """Copy a file or folder, links in it as links, without what only its owner may read.

    That may be us, and then the user of the sandbox counts as its owner.
    """
    if not source.stat().st_mode & stat.S_IROTH:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if not source.is_dir():
        shutil.copyfile(source, target)
        return
    target.mkdir(exist_ok=True)
    for path in source.iterdir():
        if path.is_symlink():
            (target / path.name).symlink_to(os.readlink(path))
        elif path.is_file() or path.is_dir():
            _copy_readable(path, target / path.name)


def interpreter_inside() -> str:
    """Return the path of the host's interpreter as sandboxes see it."""
    name = f"python3.{sys.version_info.minor}"
    folder = str(_interpreter_folder()) if interpreter_is_in_usr() else PYTHON
    return f"{folder}/bin/{name}"


def environment_arguments(packages: Path | None) -> list[str]:
    """Return the arguments that make a virtual environment whose packages are those of the host folder `packages`."""
    arguments = ["--ro-bind", str(_environment_folder()), ENVIRONMENT]
    if packages is not None:
        arguments += ["--ro-bind", str(packages), f"{ENVIRONMENT}/{_SITE_PACKAGES}"]
    return arguments


@functools.cache
def _environment_folder() -> Path:
    """Return a folder that is a virtual environment without packages, as sandboxes see it."""
    interpreter = interpreter_inside()

    def fill(folder: Path) -> None:
        (folder / _SITE_PACKAGES).mkdir(parents=True)
        (folder / "pyvenv.cfg").write_text(f"home = {Path(interpreter).parent}\n")
        programs = folder / "bin"
        programs.mkdir()
        for name in ("python", "python3", f"python3.{sys.version_info.minor}"):
            (programs / name).symlink_to(interpreter)
        write_pip_programs(programs)
        write_pip_refusal(folder / Path(NO_PIP_FOLDER).name)

    return stored_folder("environment", f"{interpreter} {PIP_REFUSAL}", fill)


@functools.cache
def _empty_folder() -> Path:
    return stored_folder("empty", "", lambda folder: None)
