"""Handing this process's own descriptors to a process in a container, over a Unix socket that the container sees.

An engine's own streams go through several processes, which makes a round trip to a shell three times as long, and
output several times as slow, as a pipe. A process that gets our descriptors writes to our pipes. It also learns only
then what to become, so that it can be started ahead.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mlgym_core.errors import SandboxError
from mlgym_core.sandbox.process_tree import send_signal
from mlgym_core.sandbox.scratch import remove_scratch, scratch_folder

HANDOVER = "/opt/mlgym"
"""Where the folder with the socket appears in the container."""
_SOCKET = "descriptors"
_POLL_SECONDS = 0.1
_ANSWER_SECONDS = 30.0
_START_SECONDS = 20.0
_CREDENTIALS = struct.Struct("3i")
_LENGTH = struct.Struct("!I")
# Runs in the container, and becomes the program that it is told. The interpreter ignores broken pipes and oversized
# files; what it starts must not inherit that.
_RECEIVER = f"""
import json, os, signal, socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect("{HANDOVER}/{_SOCKET}")
    message, received, _, _ = socket.recv_fds(connection, {_LENGTH.size}, 3)
    if len(received) != 3:
        os._exit(126)
    length = int.from_bytes(message, "big")
    content = b""
    while len(content) < length:
        content += connection.recv(length - len(content)) or os._exit(126)
command = json.loads(content)
for number, descriptor in enumerate(received):
    os.dup2(descriptor, number)
os.closerange(3, 1024)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
try:
    os.execvp(command[0], command)
except OSError as error:
    os.write(2, os.fsencode(f"{{command[0]}}: {{error.strerror}}\\n"))
    os._exit(127 if isinstance(error, FileNotFoundError) else 126)
"""
RECEIVER = ("python3", "-I", "-S", "-c", _RECEIVER)
"""The command of a process that waits for descriptors, and for the command that it then becomes."""


class Connection:
    """The connection to a process that waits for descriptors."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def send(self, command: Sequence[str], descriptors: Sequence[int]) -> bool:
        """Make the process become `command`, with `descriptors` as its first ones. Returns False if it is gone."""
        content = json.dumps(list(command)).encode()
        try:
            if select.select([self._socket], [], [], 0)[0]:
                return False  # it never says anything, so that this is the end of it
            socket.send_fds(self._socket, [_LENGTH.pack(len(content))], descriptors)
            self._socket.sendall(content)
        except OSError:
            return False
        finally:
            self.close()
        return True

    def close(self) -> None:
        """Let go of the process, which ends if it has not become something else. Does nothing the second time."""
        self._socket.close()


class DescriptorSender:
    """The end of the socket on the host's side.

    Attributes:
        folder: Holds the socket and nothing else. To be shown to the container as `HANDOVER`, read-only.
    """

    def __init__(self) -> None:
        self.folder: Path = scratch_folder("handover")
        self.folder.chmod(0o755)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # The path of a socket may not be longer than 107 bytes; the path of a folder may.
        folder = os.open(self.folder, os.O_PATH | os.O_DIRECTORY)
        try:
            self._listener.bind(f"/proc/self/fd/{folder}/{_SOCKET}")
        finally:
            os.close(folder)
        (self.folder / _SOCKET).chmod(0o777)
        self._listener.listen()
        self._listener.settimeout(_POLL_SECONDS)

    def accept(self, process_id: int, lives: Callable[[], bool]) -> Connection | None:
        """Wait until a process of the container asks for descriptors, and return the connection to it.

        Returns None if it ends before it asks, or does not ask in time: an agent may have stopped it.

        Args:
            process_id: Its id on this machine. Others that ask get nothing.
            lives: Whether it still exists.

        Raises:
            SandboxError: if the container is closed meanwhile.
        """
        limit = time.monotonic() + _START_SECONDS
        while True:
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                if lives() and time.monotonic() < limit:
                    continue
                if lives():
                    send_signal(process_id, signal.SIGKILL)
                return None
            except OSError as error:
                raise SandboxError("The container was closed while a process was started in it.") from error
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            if _CREDENTIALS.unpack(credentials)[0] == process_id:
                connection.settimeout(_ANSWER_SECONDS)
                return Connection(connection)
            connection.close()

    def close(self) -> None:
        """Remove the socket. Does nothing the second time."""
        self._listener.close()
        remove_scratch(self.folder)
