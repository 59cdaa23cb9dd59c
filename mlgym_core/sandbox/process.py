"""The sandbox that is none: plain child processes of this machine. For debugging only, and never chosen by `auto`."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from mlgym_core.errors import SandboxError
from mlgym_core.interfaces import Sandbox, SandboxLayout, SandboxProcess
from mlgym_core.sandbox.process_tree import PROCESS_TABLE, ProcessTree
from mlgym_core.sandbox.spawning import start_process

_COOKIE = "MLGYM_PROCESS_TREE"


class ProcessSandbox(Sandbox):
    """Runs processes with the rights, the file system and the network of the user."""

    isolated: ClassVar[bool] = False
    capabilities: ClassVar[frozenset[str]] = frozenset({"network"})

    def __init__(self, layout: SandboxLayout) -> None:
        super().__init__(layout)
        self._leaders: list[ProcessTree] = []

    @classmethod
    def processor_time_counter(cls) -> str | None:
        return PROCESS_TABLE

    def processor_seconds(self) -> float | None:
        return sum(leader.processor_seconds() or 0.0 for leader in self._leaders)

    @classmethod
    def unavailable_reason(cls) -> str | None:
        return None if os.name == "posix" else "It needs a POSIX system; use WSL on Windows."

    @property
    def python(self) -> tuple[str, ...]:
        return (str(Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")),)

    def inside(self, source: Path) -> str:
        return str(source)

    async def spawn(
        self,
        command: Sequence[str],
        *,
        stdin: int,
        stdout: int,
        stderr: int,
        leader: bool = False,
    ) -> SandboxProcess:
        layout = self.layout
        by_target = {mount.target: str(mount.source) for mount in layout.mounts}
        environment = {
            "PATH": os.pathsep.join(
                [str(Path(sys.base_prefix, "bin")), os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin")]
            ),
            "HOME": by_target.get(layout.home, layout.home),
            "LANG": "C.UTF-8",
            **layout.environment,
            _COOKIE: secrets.token_hex(8),
        }
        if layout.packages is not None:
            environment["PYTHONPATH"] = str(layout.packages)
        try:
            process = await start_process(
                command,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                environment=environment,
                directory=by_target.get(layout.working_directory, layout.working_directory),
            )
        except OSError as error:
            raise SandboxError(f"The process {command[0]!r} could not be started: {error}.") from error
        cookie = f"{_COOKIE}={environment[_COOKIE]}".encode()
        # What others than the agent start here is ours: it reads and writes files.
        started = ProcessTree(process, cookie=cookie, counts_processor_time=leader)
        if leader:
            self._leaders.append(started)
        return started
