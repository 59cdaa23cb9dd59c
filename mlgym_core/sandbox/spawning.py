"""One thread of this process starts all child processes, and another those that join a sandbox.

Sandboxes are told to die with their parent, and the kernel means the *thread* that started them. A thread that lives
as long as the process makes that "die with the runner", whichever thread an environment is used from.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.thread import BrokenThreadPool
from typing import ClassVar

from mlgym_core.sandbox.system_calls import filter_program

_spawners: dict[bool, tuple[int, ThreadPoolExecutor]] = {}
_NO_NEW_PRIVILEGES, _SET_FILTER, _FILTER_MODE = 38, 22, 2
"""Requests of `prctl` (linux/prctl.h), and the mode of filtering (linux/seccomp.h)."""


def _executor(*, filtered: bool) -> ThreadPoolExecutor:
    # Threads do not survive a fork, so that a child process needs an executor of its own.
    known = _spawners.get(filtered)
    if known is None or known[0] != os.getpid():
        begin = _filter_own_calls if filtered else None
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mlgym-spawner", initializer=begin)
        known = _spawners[filtered] = (os.getpid(), executor)
    return known[1]


def _filter_own_calls() -> None:
    """Filter the system calls of this thread from now on, and so of all that it starts.

    Raises:
        OSError: if the kernel refuses.
    """
    program = filter_program(joining=True)
    if program is None:
        return

    class Program(ctypes.Structure):
        _fields_: ClassVar = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]

    library = ctypes.CDLL(None, use_errno=True)
    description = Program(len(program) // 8, program)
    if library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or library.prctl(
        _SET_FILTER, _FILTER_MODE, ctypes.byref(description), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "system calls cannot be filtered here")


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
    filtered: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own and return at once.

    Args:
        filtered: Whether its system calls are filtered, as those of a sandbox that it is about to join.

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

    starting = asyncio.wrap_future(_executor(filtered=filtered).submit(start))
    try:
        return await asyncio.shield(starting)
    except BrokenThreadPool as error:
        raise OSError(f"a thread that starts processes could not be made: {error}") from error
    except asyncio.CancelledError:
        # Nobody will know of the process.
        starting.add_done_callback(_kill_started)
        raise


def _kill_started(starting: asyncio.Future[subprocess.Popen[bytes]]) -> None:
    if starting.cancelled() or starting.exception() is not None:
        return
    process = starting.result()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    threading.Thread(target=process.wait, daemon=True).start()
