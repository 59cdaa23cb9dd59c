"""A mirror of the literature on the loopback interface, which answers as it is told."""

from __future__ import annotations

import http.server
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit


@dataclass
class Answer:
    """What is answered to a request.

    Attributes:
        endless: Send the body again and again.
        stalls: Send the headers, and then nothing.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    endless: bool = False
    stalls: bool = False


class LiteratureServer:
    """The server, for a `with` block.

    Attributes:
        answers: By path, without the query; the last one of a list stays.
        requests: Path, query and headers of each request so far.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[tuple[str, dict[str, list[str]], dict[str, str]]] = []
        self.released = threading.Event()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.requests.append((parts.path, parse_qs(parts.query), headers))
                planned = server.answers.get(parts.path, [Answer(status=404)])
                answer = planned.pop(0) if len(planned) > 1 else planned[0]
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if not answer.endless and not answer.stalls:
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.close_connection = True
                try:
                    if answer.stalls:
                        server.released.wait()
                        return
                    self.wfile.write(answer.body)
                    while answer.endless:
                        self.wfile.write(answer.body)
                except OSError:
                    pass

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the method's parameter
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        """The server's address, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def secure(self, certificate: Path, key: Path) -> None:
        """Speak TLS from now on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        # Shaken hands with in the thread of each connection.
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
