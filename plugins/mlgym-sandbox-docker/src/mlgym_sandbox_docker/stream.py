"""Requests that turn their connection into a stream; the SDK has no dependable way to make them."""

from __future__ import annotations

import json
import socket

from mlgym_core.errors import SandboxError

_LONGEST_HEADERS = 1 << 16
_ANSWER_SECONDS = 60.0


def open_stream(socket_path: str, request: str, content: object = None) -> socket.socket:
    """Make a request of the engine and return the connection once the engine has agreed.

    Args:
        request: Path of the request, with the version of the API.
        content: What is sent with it, as JSON.

    Raises:
        OSError: if the engine cannot be reached.
        SandboxError: if it refuses.
    """
    body = b"" if content is None else json.dumps(content).encode()
    head = (
        f"POST {request} HTTP/1.1\r\nHost: engine\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(_ANSWER_SECONDS)
        connection.connect(socket_path)
        connection.sendall(head.encode() + body)
        answer = b""
        while b"\r\n\r\n" not in answer:
            chunk = connection.recv(4096)
            if not chunk or len(answer) > _LONGEST_HEADERS:
                raise SandboxError("The container engine closed the connection.")
            answer += chunk
        headers, _, rest = answer.partition(b"\r\n\r\n")
        status = headers.split(b" ", 2)[1]
        if status not in (b"101", b"200"):
            raise SandboxError(f"The container engine refused: {rest.decode('utf-8', 'replace').strip()}")
        connection.settimeout(None)
    except BaseException:
        connection.close()
        raise
    return connection
