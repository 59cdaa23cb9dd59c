"""What processes of one machine can share without sharing files, and the two ends of each way.

A program for both sides: `exchange.py leave WORD` leaves something in every channel, `exchange.py look WORD` prints the
channels in which it finds that, and `exchange.py remove WORD` takes back what would stay. The word tells one test from
another.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import json
import mmap
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_library = ctypes.CDLL(None, use_errno=True)
_IPC_CREAT = 0o1000
_IPC_RMID = 0
_SECONDS = 60
"""How long what was left stays, whoever forgets it."""
SESSION, USER, PERSISTENT = -3, -4, 22


def _call(name: str, *arguments: object) -> int:
    ctypes.set_errno(0)
    result = int(getattr(_library, name)(*arguments))
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _number(word: str) -> int:
    return int(hashlib.sha256(word.encode()).hexdigest()[:7], 16)


def _port(word: str) -> int:
    return 20000 + _number(word) % 12000


# ------------------------------------------------------------------------------------------------------------- keyrings


def _keyring(ring: int) -> int:
    """Return a keyring after linking it to that of this process, without which its keys could not be read."""
    if ring == PERSISTENT:
        return _call("syscall", 250, PERSISTENT, -1, -2)
    _call("syscall", 250, 8, ring, -2)
    return ring


def _add_key(ring: int, word: str) -> None:
    key = _call("syscall", 248, b"user", word.encode(), b"canary", 6, _keyring(ring))
    _call("syscall", 250, 15, key, _SECONDS)
    _call("syscall", 250, 5, key, 0x3F3F3F3F)  # and everybody may read it


def _find_key(ring: int, word: str) -> bool:
    key = _call("syscall", 250, 10, _keyring(ring), b"user", word.encode(), 0)
    content = ctypes.create_string_buffer(16)
    return _call("syscall", 250, 11, key, content, 16) == 6


def _find_key_by_name(word: str) -> bool:
    return word in Path("/proc/keys").read_text()


# -------------------------------------------------------------------------------------------------------------- sockets


def _listen(family: int, kind: int, address: Any) -> Callable[[], None]:
    listener = socket.socket(family, kind)
    if isinstance(address, tuple):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    listener.listen()

    def serve() -> None:
        while True:
            listener.accept()[0].close()

    return serve


def _connect(family: int, kind: int, address: Any) -> bool:
    with socket.socket(family, kind) as client:
        client.settimeout(0.3)
        client.connect(address)
    return True


def _shared_memory(word: str) -> None:
    with Path("/dev/shm", word).open("w+b") as file:
        file.write(b"canary")
        file.flush()
        mmap.mmap(file.fileno(), 6).close()


Leave = Callable[[str], object]
Look = Callable[[str], bool]

CHANNELS: dict[str, tuple[Leave, Look]] = {
    "session keyring": (lambda word: _add_key(SESSION, word), lambda word: _find_key(SESSION, word)),
    "user keyring": (lambda word: _add_key(USER, word), lambda word: _find_key(USER, word)),
    "persistent keyring": (lambda word: _add_key(PERSISTENT, word), lambda word: _find_key(PERSISTENT, word)),
    "list of keys": (lambda word: _add_key(SESSION, word), _find_key_by_name),
    "shared memory of System V": (
        lambda word: _call("shmget", _number(word), 4096, _IPC_CREAT | 0o666),
        lambda word: _call("shmget", _number(word), 0, 0) >= 0,
    ),
    "semaphore of System V": (
        lambda word: _call("semget", _number(word), 1, _IPC_CREAT | 0o666),
        lambda word: _call("semget", _number(word), 0, 0) >= 0,
    ),
    "message queue of System V": (
        lambda word: _call("msgget", _number(word), _IPC_CREAT | 0o666),
        lambda word: _call("msgget", _number(word), 0) >= 0,
    ),
    "shared memory of POSIX": (_shared_memory, lambda word: Path("/dev/shm", word).exists()),
    "message queue of POSIX": (
        lambda word: _call("mq_open", b"/" + word.encode(), os.O_CREAT | os.O_RDWR, 0o666, None),
        lambda word: _call("mq_open", b"/" + word.encode(), os.O_RDONLY) >= 0,
    ),
    "abstract socket": (
        lambda word: _listen(socket.AF_UNIX, socket.SOCK_STREAM, f"\0{word}"),
        lambda word: _connect(socket.AF_UNIX, socket.SOCK_STREAM, f"\0{word}"),
    ),
    "loopback": (
        lambda word: _listen(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", _port(word))),
        lambda word: _connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", _port(word))),
    ),
    "loopback of version 6": (
        lambda word: _listen(socket.AF_INET6, socket.SOCK_STREAM, ("::1", _port(word))),
        lambda word: _connect(socket.AF_INET6, socket.SOCK_STREAM, ("::1", _port(word))),
    ),
    "socket of virtual machines": (
        lambda word: _listen(40, socket.SOCK_STREAM, (0xFFFFFFFF, _port(word))),
        lambda word: _connect(40, socket.SOCK_STREAM, (1, _port(word))),
    ),
}


def leave(word: str) -> None:
    """Leave something in every channel that there is, and stay as long as somebody may look for it."""
    servers: list[Callable[[], object]] = []
    for put, _ in CHANNELS.values():
        try:
            server = put(word)
        except (OSError, AttributeError):
            continue
        if callable(server):
            servers.append(server)
    # One process for each, so that nobody waits for another.
    for serve in servers:
        if os.fork() == 0:
            signal.alarm(_SECONDS)
            for descriptor in range(3):
                os.close(descriptor)
            serve()


def look(word: str) -> list[str]:
    """Return the channels in which something was left."""
    found = []
    for name, (_, find) in CHANNELS.items():
        try:
            if find(word):
                found.append(name)
        except (OSError, AttributeError):
            continue
    return found


def remove(word: str) -> None:
    """Take back what would outlive the process that left it."""
    number = _number(word)
    removals: list[Callable[[], object]] = [
        lambda: _call("shmctl", _call("shmget", number, 0, 0), _IPC_RMID, None),
        lambda: _call("semctl", _call("semget", number, 0, 0), 0, _IPC_RMID, None),
        lambda: _call("msgctl", _call("msgget", number, 0), _IPC_RMID, None),
        lambda: _call("mq_unlink", b"/" + word.encode()),
        lambda: Path("/dev/shm", word).unlink(),
    ]
    removals += [functools.partial(_remove_key, ring, word) for ring in (SESSION, USER, PERSISTENT)]
    for removal in removals:
        with contextlib.suppress(OSError, AttributeError):
            removal()


def _remove_key(ring: int, word: str) -> None:
    ring = _keyring(ring)
    _call("syscall", 250, 9, _call("syscall", 250, 10, ring, b"user", word.encode(), 0), ring)


def join_new_session() -> None:
    """Give this process a keyring of its session, as a login does."""
    _call("syscall", 250, 1, None)


if __name__ == "__main__":
    action, word = sys.argv[1:]
    if action == "leave":
        leave(word)
    elif action == "remove":
        remove(word)
    else:
        json.dump(look(word), sys.stdout)
