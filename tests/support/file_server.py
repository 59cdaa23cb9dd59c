"""A web server on the loopback interface that serves files as told: completely, in parts, late, or wrongly."""

from __future__ import annotations

import http.server
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self


@dataclass
class Served:
    """How one path is served.

    Attributes:
        content: The file.
        tag: Its ETag; None sends none.
        ranges: Whether a part can be asked for.
        statuses: Status codes of the first answers, instead of the file.
        retry_after: Header of those answers.
        cut_after: The first answers close the connection after so many bytes each.
        misplaced: Ranges begin elsewhere than they were asked to.
        hide_length: Send no length, and close the connection at the end.
        location: Redirect there.
        kind: The media type.
    """

    content: bytes = b""
    tag: str | None = '"1"'
    ranges: bool = True
    statuses: list[int] = field(default_factory=list)
    retry_after: str | None = None
    cut_after: list[int] = field(default_factory=list)
    misplaced: bool = False
    hide_length: bool = False
    location: str | None = None
    kind: str = "application/octet-stream"


class FileServer:
    """The server, for a `with` block.

    Attributes:
        files: What is served, by path (`/name`).
        requests: Path and `Range` header of each request so far.
        authorizations: The `Authorization` header of each.
    """

    def __init__(self) -> None:
        self.files: dict[str, Served] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.authorizations: list[str | None] = []
        files, requests, authorizations = self.files, self.requests, self.authorizations

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                requests.append((self.path, self.headers.get("Range")))
                authorizations.append(self.headers.get("Authorization"))
                served = files.get(self.path)
                if served is None:
                    self.send_error(404)
                elif served.statuses:
                    self._refuse(served)
                elif served.location is not None:
                    self.send_response(302)
                    self.send_header("Location", served.location)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                else:
                    self._serve(served)

            def _refuse(self, served: Served) -> None:
                self.send_response(served.statuses.pop(0))
                if served.retry_after is not None:
                    self.send_header("Retry-After", served.retry_after)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def _serve(self, served: Served) -> None:
                begin = 0
                wanted = self.headers.get("Range")
                condition = self.headers.get("If-Range")
                if wanted is not None and served.ranges and condition in (None, served.tag):
                    begin = int(wanted.removeprefix("bytes=").partition("-")[0])
                    if begin >= len(served.content):
                        self.send_response(416)
                        self.send_header("Content-Length", "0")
                        self.end_headers()
                        return
                    begin -= 1 if served.misplaced else 0
                    self.send_response(206)
                    last, size = len(served.content) - 1, len(served.content)
                    self.send_header("Content-Range", f"bytes {begin}-{last}/{size}")
                else:
                    self.send_response(200)
                if not served.hide_length:
                    self.send_header("Content-Length", str(len(served.content) - begin))
                self.send_header("Content-Type", served.kind)
                if served.tag is not None:
                    self.send_header("ETag", served.tag)
                self.end_headers()
                body = served.content[begin:]
                if served.cut_after:
                    body = body[: served.cut_after.pop(0)]
                self.wfile.write(body)
                self.close_connection = True

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name of the method's parameter
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        """The server's address, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
