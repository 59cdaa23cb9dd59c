"""Politeness: one request at a time to each host, with pauses between them, among all processes of a machine."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

from mlgym_core import ToolError

_LONGEST_PAUSE = 3600.0
"""A host that wants to be left alone for longer is asked again after that time."""
_BETWEEN_LOOKS = 0.05


class Turns:
    """Whose turn it is to ask a host. A file for each host says when it may be asked again, and is its lock.

    Args:
        folder: Where these files lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextlib.asynccontextmanager
    async def turn(self, host: str, pause: float, deadline: float) -> AsyncIterator[None]:
        """Wait until the host may be asked, and keep others from asking it meanwhile.

        Args:
            pause: Seconds that are to pass until it is asked again.
            deadline: When waiting is of no use any more, in seconds since the epoch.

        Raises:
            ToolError: if the turn does not come before.
        """
        descriptor = os.open(self._path(host), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not _locked(descriptor):
                _check_in_time(host, _BETWEEN_LOOKS, deadline)
                await asyncio.sleep(_BETWEEN_LOOKS)
            wait = min(_read(descriptor) - time.time(), _LONGEST_PAUSE)
            _check_in_time(host, wait, deadline)
            await asyncio.sleep(max(wait, 0.0))
            # Also for whoever is killed while the host is asked.
            _write(descriptor, time.time() + pause)
            try:
                yield
            finally:
                _write(descriptor, max(_read(descriptor), time.time() + pause))
        finally:
            os.close(descriptor)

    def leave_alone(self, host: str, seconds: float) -> None:
        """Let a host not be asked for some time; to be called in its turn."""
        descriptor = os.open(self._path(host), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _write(descriptor, time.time() + min(seconds, _LONGEST_PAUSE))
        finally:
            os.close(descriptor)

    def _path(self, host: str) -> Path:
        return self._folder / f"{host}.turn"


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _check_in_time(host: str, wait: float, deadline: float) -> None:
    if time.time() + wait > deadline:
        raise ToolError(f"{host} is not to be asked again yet, for {max(wait, 1):.0f} s at least. Try again later.")


def _read(descriptor: int) -> float:
    try:
        return float(os.pread(descriptor, 32, 0))
    except ValueError:
        return 0.0


def _write(descriptor: int, moment: float) -> None:
    os.pwrite(descriptor, f"{moment:<32.3f}".encode(), 0)
