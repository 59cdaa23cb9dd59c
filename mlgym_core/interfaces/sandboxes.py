"""Sandboxes, what they show, and the processes in them."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from mlgym_core.specs import Resources


@dataclass(frozen=True)
class Mount:
    """A host folder or file that a sandbox shows.

    Attributes:
        source: On the host.
        target: Absolute path in the sandbox. A sandbox without a file system of its own ignores it.
        writable: Whether processes in the sandbox may change it.
        layers: Folders that show through `source`, the lowest first; changes to what is in them go to `source` alone.
            Only for sandboxes with the capability `layers`.
    """

    source: Path
    target: str
    writable: bool = False
    layers: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SandboxLayout:
    """All that a sandbox consists of.

    Attributes:
        mounts: What it sees besides the system and the interpreter.
        working_directory: Where its processes start, as a path of the sandbox.
        home: Home folder, as a path of the sandbox.
        environment: Variables besides the sandbox's own `PATH`, `HOME` and the like.
        packages: Host folder with the Python packages that its interpreter sees, or None for none.
        requirements: What those packages are, as requirement strings.
        image: Container image to use, where the sandbox is a container.
        dockerfile: Host path of the Dockerfile of the image to use, where the sandbox is a container.
        hidden: Absolute paths of folders of the system or image that it must not show, such as those with public copies
            of the answers.
        temporary_bytes: Size of its private `/tmp` if that is not among the mounts.
        network: Whether it may reach the network.
        resources: Limits for all of its processes together.
    """

    mounts: tuple[Mount, ...] = ()
    working_directory: str = "/"
    home: str = "/tmp"  # noqa: S108 - a path of the sandbox
    environment: Mapping[str, str] = field(default_factory=dict)
    packages: Path | None = None
    requirements: tuple[str, ...] = ()
    image: str | None = None
    dockerfile: Path | None = None
    hidden: tuple[str, ...] = ()
    temporary_bytes: int = 256 << 20
    network: bool = False
    resources: Resources | None = None


class SandboxProcess(abc.ABC):
    """A process that a sandbox started, and everything that descends from it."""

    @abc.abstractmethod
    def interrupt(self, since: float) -> None:
        """Send the interrupt signal to the process, and to its descendants that were started after `since`.

        `since` is a reading of `time.clock_gettime(CLOCK_BOOTTIME)`.
        """

    @abc.abstractmethod
    def kill_descendants(self, since: float) -> None:
        """Kill the descendants that were started after `since`.

        Descendants that are older, and whatever those started, go on.
        """

    def limits_reached(self) -> Mapping[str, int]:
        """Return how often each limit (`memory`, `processes`, `cpu`) was reached so far, where that is known."""
        return {}

    @abc.abstractmethod
    def descendants(self) -> Sequence[int]:
        """Return the process ids, on the host, of all descendants."""

    @abc.abstractmethod
    def open_files(self) -> Sequence[Path]:
        """Return the host's links (`/proc/…/fd/…`) to what the process and its descendants have open."""

    @abc.abstractmethod
    def freeze(self) -> None:
        """Stop the process and all descendants until `thaw`."""

    @abc.abstractmethod
    def thaw(self) -> None:
        """Let frozen processes go on."""

    @abc.abstractmethod
    async def kill(self) -> None:
        """End the process and all descendants, and wait until they are gone. Does nothing the second time."""

    @abc.abstractmethod
    async def wait(self) -> int:
        """Wait until the process has ended and return its exit status; negative for a signal's number."""


class Sandbox(abc.ABC):
    """A place for processes that shows them a layout and nothing else.

    Class attributes:
        isolated: Whether it keeps processes from the rest of the host. Results without it are flagged.
        capabilities: What it can do, by name: `network` (it can be granted), `gpu`, `image` (a task's own), `freeze`,
            `layers`.
    """

    isolated: ClassVar[bool] = True
    capabilities: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, layout: SandboxLayout) -> None:
        self.layout = layout

    @classmethod
    def limits(cls) -> Mapping[str, str]:
        """Return the limits that hold on this machine (`memory`, `processes`, `cpu`), and what holds each.

        What holds one for all processes together begins with `control group`.
        """
        return {}

    @classmethod
    def processor_time_counter(cls) -> str | None:
        """Return what `processor_seconds` relies on, on this machine, or None if it is unknown here.

        What counts all processes, wherever they went and however they ended, begins with `control group`.
        """
        return None

    @classmethod
    def layers_work(cls, folder: Path) -> bool:
        """Return whether mounts whose sources lie in `folder` may have layers on this machine."""
        return False

    @classmethod
    def remove_abandoned(cls) -> Mapping[str, int]:
        """Remove what processes that are gone left on this machine, and return how many there were of each kind."""
        return {}

    @classmethod
    @abc.abstractmethod
    def unavailable_reason(cls) -> str | None:
        """Return why it does not work on this machine and what would help, or None if it works."""

    @property
    @abc.abstractmethod
    def python(self) -> tuple[str, ...]:
        """The command that starts Python inside, with the layout's packages importable."""

    @abc.abstractmethod
    def inside(self, source: Path) -> str:
        """Return the path at which processes of the sandbox see the host path `source`.

        Raises:
            ValueError: if no mount shows it.
        """

    @abc.abstractmethod
    async def spawn(
        self,
        command: Sequence[str],
        *,
        stdin: int,
        stdout: int,
        stderr: int,
        leader: bool = False,
    ) -> SandboxProcess:
        """Start a process.

        Args:
            command: Program and arguments, as paths of the sandbox.
            stdin: Descriptor that becomes its standard input; likewise `stdout` and `stderr`. It inherits no other.
            leader: It is the process that the sandbox is for, such as an agent's shell: others that are started
                while it lives share everything with it, and may end when it ends.

        Raises:
            SandboxError: if it cannot be started.
        """

    @contextlib.asynccontextmanager
    async def files(self, mount: Mount) -> AsyncIterator[Path]:
        """Give the host path at which a mount's files are seen as the sandbox sees them.

        Nothing in the sandbox may run meanwhile. Links in it mean what they mean in the sandbox: do not follow them.

        Raises:
            SandboxError: if they cannot be seen.
        """
        yield mount.source

    def seen_from_host(self, mount: Mount) -> Path:
        """Return the same path while the leader runs, for looking only: what runs may change it meanwhile.

        Raises:
            OSError: if the leader has ended.
        """
        return mount.source

    def processor_seconds(self) -> float | None:
        """Return how much processor time its processes have used since it was made, in seconds; None if unknown.

        Those that have ended count, also after `close`. It takes microseconds, and never fails.
        """
        return None

    async def close(self) -> None:
        """End what is left of the sandbox. The processes that `spawn` returned are killed by their owners."""
