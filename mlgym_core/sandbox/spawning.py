"""One thread of this process starts all child processes.

Sandboxes are told to die with their parent, and the kernel means the *thread* that started them. A thread that lives
as long as the process makes that "die with the runner", whichever thread an environment is used from.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

_spawner: tuple[int, ThreadPoolExecutor] | None = None


def _executor() -> ThreadPoolExecutor:
    global _spawner
    # Threads do not survive a fork, so that a child process needs an executor of its own.
    if _spawner is None or _spawner[0] != os.getpid():
        _spawner = (os.getpid(), ThreadPoolExecutor(max_workers=1, thread_name_prefix="mlgym-spawner"))
    return _spawner[1]


def with_interrupts(command: Sequence[str]) -> list[str]:
    """Return a command that can be interrupted even if we cannot.

    A shell starts background jobs with the interrupt signal ignored, every child inherits that, and bash does not let
    it be changed: `mlgym run … &` would make sandboxes whose shells ignore interrupts.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        return list(command)
    return ["/usr/bin/env", "--default-signal=INT,QUIT", *command]


async def start_process(
    command: Sequence[str],
    *,
    stdin: int,
    stdout: int,
    stderr: int,
    descriptors: Sequence[int] = (),
    environment: dict[str, str] | None = None,
    directory: str | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own and return at once.

    Raises:
        OSError: if the program cannot be executed.
    """

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            with_interrupts(command),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=tuple(descriptors),
            env=environment,
            cwd=directory,
            start_new_session=True,
        )

    return await asyncio.wrap_future(_executor().submit(start))
