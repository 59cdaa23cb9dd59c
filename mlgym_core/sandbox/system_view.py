"""What `bwrap` sandboxes see of the host: the system and the interpreter, read-only, and no package of the host's."""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from mlgym_core.settings import cache_dir

_USER_ID = "1000"
PYTHON = "/opt/python"
"""Where the interpreter appears if the host keeps it outside `/usr`, such as in a home directory."""
ENVIRONMENT = "/opt/environment"
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
NETWORK_FILES = ("/etc/ca-certificates", "/etc/nsswitch.conf", "/etc/pki", "/etc/resolv.conf", "/etc/ssl")
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
            if is_below(path, root) and not any(is_below(library, path) for library in standard_library):
                yield shown_as + str(path)[len(str(root)) :]


@functools.cache
def system_arguments() -> tuple[str, ...]:
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
    if not interpreter_is_in_usr():
        arguments += ["--ro-bind", str(_interpreter_folder()), PYTHON]
    for folder in _hidden_folders():
        arguments += ["--tmpfs", folder, "--remount-ro", folder]
    configuration = {f"{ENVIRONMENT}/pyvenv.cfg": f"home = {Path(interpreter_inside()).parent}\n"}
    for target, content in (_OWN_FILES | configuration).items():
        arguments += ["--ro-bind", str(stored(content)), target]
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    for name in _KERNEL_SETTINGS:
        arguments += ["--ro-bind-try", name, name]
    return tuple(arguments)


def interpreter_inside() -> str:
    """Return the path of the host's interpreter as sandboxes see it."""
    name = f"python3.{sys.version_info.minor}"
    folder = str(_interpreter_folder()) if interpreter_is_in_usr() else PYTHON
    return f"{folder}/bin/{name}"


def environment_arguments(packages: Path | None) -> list[str]:
    """Return the arguments that make a virtual environment whose packages are those of the host folder `packages`."""
    version = f"python3.{sys.version_info.minor}"
    site_packages = f"{ENVIRONMENT}/lib/{version}/site-packages"
    arguments = []
    for name in ("python", "python3", version):
        arguments += ["--symlink", interpreter_inside(), f"{ENVIRONMENT}/bin/{name}"]
    if packages is not None:
        arguments += ["--ro-bind", str(packages), site_packages]
    else:
        arguments += ["--dir", site_packages]
    for name in ("pip", "pip3"):
        arguments += ["--ro-bind", str(stored(_NO_PIP, mode=0o755)), f"{ENVIRONMENT}/bin/{name}"]
    return arguments


def stored(content: str | bytes, mode: int = 0o644) -> Path:
    """Return a file in the cache that holds `content`."""
    folder = cache_dir() / "sandbox-files"
    folder.mkdir(exist_ok=True)
    content = content.encode() if isinstance(content, str) else content
    path = folder / hashlib.sha256(content).hexdigest()[:16]
    if not path.exists():
        partial = path.with_name(f"{path.name}-{os.getpid()}")
        partial.write_bytes(content)
        partial.chmod(mode)
        partial.replace(path)
    return path
