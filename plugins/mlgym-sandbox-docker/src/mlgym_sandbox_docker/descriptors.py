"""Handing this process's own descriptors to a process in a container, over a Unix socket that the container sees.

An engine's own streams go through several processes, which makes a round trip to a shell three times as long, and
output several times as slow, as a pipe. A process that gets our descriptors writes to our pipes.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

from mlgym_core.errors import SandboxError
from mlgym_core.sandbox.scratch import remove_scratch, scratch_folder

HANDOVER = "/opt/mlgym"
"""Where the folder with the socket appears in the container."""
_SOCKET = "descriptors"
_POLL_SECONDS = 0.1
_CREDENTIALS = struct.Struct("3i")
# Runs in the container, and becomes the program that was asked for. The interpreter ignores broken pipes and oversized
# files; what it starts must not inherit that.
_RECEIVER = f"""
import os, signal, socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect("{HANDOVER}/{_SOCKET}")
    received = socket.recv_fds(connection, 1, 3)[1]
if len(received) != 3:
    os._exit(126)
for number, descriptor in enumerate(received):
    os.dup2(descriptor, number)
os.closerange(3, 1024)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
try:
    os.execvp(sys.argv[1], sys.argv[1:])
except OSError as error:
    os.write(2, os.fsencode(f"{{sys.argv[1]}}: {{error.strerror}}\\n"))
    os._exit(127 if isinstance(error, FileNotFoundError) else 126)
"""


def receiving(command: Sequence[str]) -> list[str]:
    """Return a command that waits for descriptors and then becomes `command`."""
    return ["python3", "-I", "-S", "-c", _RECEIVER, *command]


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

    def send(self, descriptors: Sequence[int], pid: int, lives: Callable[[], bool]) -> None:
        """Wait until a process of the container asks, and send it descriptors.

        Args:
            pid: Its id on this machine. Others that ask get nothing.
            lives: Whether it still exists.

        Raises:
            SandboxError: if it ends before it asks.
        """
        while True:
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                if lives():
                    continue
                raise SandboxError(
                    "A process in a container ended before it began. Does the image have Python 3.9 or newer as "
                    "'python3', and does the engine's security policy let containers connect to sockets?"
                ) from None
            with connection:
                credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
                if _CREDENTIALS.unpack(credentials)[0] == pid:
                    socket.send_fds(connection, [b"\0"], descriptors)
                    return

    def close(self) -> None:
        """Remove the socket. Does nothing the second time."""
        self._listener.close()
        remove_scratch(self.folder)
