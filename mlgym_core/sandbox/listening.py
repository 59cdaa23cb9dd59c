"""A listening socket on the loopback interface inside a sandbox that the host holds: a way to it without a network.

A process inside makes the socket, hands its descriptor out, and ends. From then on nothing inside holds it, so that
nothing there can close it or take its port; and the host accepts connections of the sandbox's processes alone, as far
as the sandbox has a network of its own.
"""

from __future__ import annotations

import array
import contextlib
import os
import socket
from dataclasses import dataclass

from mlgym_core.errors import SandboxError
from mlgym_core.interfaces import Sandbox
from mlgym_core.sandbox.pipes import run_process

_ADDRESS = "127.0.0.1"
_WAITING_CONNECTIONS = 128
_SECONDS = 60.0
_PROGRAM = f"""\
import socket
listening = socket.socket()
listening.bind(("{_ADDRESS}", 0))
listening.listen({_WAITING_CONNECTIONS})
socket.send_fds(socket.socket(fileno=0), [b"!"], [listening.fileno()])
"""
_MOST_DESCRIPTORS = 8
"""More than come, so that one too many is noticed."""


@dataclass(frozen=True)
class Listener:
    """A socket that processes in a sandbox can connect to, accepted from outside. Close `socket` in the end.

    Attributes:
        socket: Listening, not blocking.
        host: Its address as seen inside.
        port: Its port as seen inside.
    """

    socket: socket.socket
    host: str
    port: int


async def listen_inside(sandbox: Sandbox) -> Listener:
    """Return a listening socket in the network of a sandbox's leader.

    Raises:
        SandboxError: if there is none to be had.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, os.fdopen(theirs.detach(), "rb") as stdin:
        command = [*sandbox.python, "-I", "-S", "-c", _PROGRAM]
        done = await run_process(sandbox, command, content=stdin, output_limit=4096, seconds=_SECONDS)
        descriptors = _received(ours)
    name = type(sandbox).__name__
    try:
        if len(descriptors) != 1 or not _is_ours(descriptors[0]):
            said = done.error.rpartition("\n")[2] or "none came"
            raise SandboxError(
                f"The sandbox {name} handed out no listening socket, which what was asked for needs ({said}). Use "
                "--sandbox bwrap or docker."
            )
        listening = socket.socket(fileno=descriptors.pop())
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    listening.setblocking(False)
    return Listener(listening, _ADDRESS, listening.getsockname()[1])


def _received(connection: socket.socket) -> list[int]:
    """Return the descriptors that wait in a connection."""
    descriptors = array.array("i")
    # Not `socket.recv_fds`, which does not pass its flags on: it would wait, and processes would inherit them.
    flags = socket.MSG_DONTWAIT | getattr(socket, "MSG_CMSG_CLOEXEC", 0)
    with contextlib.suppress(BlockingIOError):  # nothing came
        _, ancillary, _, _ = connection.recvmsg(1, socket.CMSG_LEN(_MOST_DESCRIPTORS * descriptors.itemsize), flags)
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    return list(descriptors)


def _is_ours(descriptor: int) -> bool:
    """Return whether a descriptor is what was asked for: processes of an agent may have interfered with ours."""
    try:
        candidate = socket.socket(fileno=descriptor)
    except OSError:  # no socket
        return False
    try:
        return (
            candidate.family == socket.AF_INET
            and candidate.type == socket.SOCK_STREAM
            and candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
            and candidate.getsockname()[0] == _ADDRESS
        )
    except OSError:
        return False
    finally:
        candidate.detach()
