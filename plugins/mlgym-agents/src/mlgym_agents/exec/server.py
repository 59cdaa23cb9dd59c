"""An HTTP server for hostile clients: few connections, little memory, and nobody is waited for.

HTTP itself is the business of h11, which refuses what is malformed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import h11

_MOST_CONNECTIONS = 32
"""Further ones wait until one of these ends."""
_LONGEST_HEADER = 32 << 10
_LARGEST_BODY = 16 << 20
_LARGEST_BODIES = 64 << 20
"""Of all requests that are being received or answered."""
_RECEIVING_SECONDS = 60.0
"""That a request may take to arrive, and a client to take its answer; how long an idle connection is kept."""
_LINGERING_SECONDS = 2.0
_CHUNK_BYTES = 1 << 16
_PAUSE_SECONDS = 0.1


@dataclass(frozen=True)
class Request:
    """A request: its method, the path of its URL without a query, and its body."""

    method: str
    path: str
    body: bytes


@dataclass(frozen=True)
class Answer:
    """An answer: its status, its body, the media type of that, and further headers."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Awaitable[Answer]]
"""Answers a request. It must not raise."""
Refusal = Callable[[int, str], Answer]
"""Makes the answer to what is no request that could be handled, of a status and a sentence."""


class _Unacceptable(Exception):  # noqa: N818 - a verdict on a request
    """A request that is refused, with the status and the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Server:
    """Answers requests on a listening socket, for an `async with` block. The socket is closed with it.

    Args:
        listening: The socket; it must not block.
        handler: Answers requests.
        refusal: Makes answers to what is malformed or too large.
    """

    def __init__(self, listening: socket.socket, handler: Handler, refusal: Refusal) -> None:
        self._listening = listening
        self._handler = handler
        self._refusal = refusal
        self._free = asyncio.Semaphore(_MOST_CONNECTIONS)
        self._held_bytes = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Server:
        self._start(self._accept())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._listening.close()

    def _start(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._free.acquire()
            try:
                connection, _ = await loop.sock_accept(self._listening)
            except OSError:
                # A client that is gone already, or no descriptor left at the moment.
                self._free.release()
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            except BaseException:
                self._free.release()
                raise
            connection.setblocking(False)
            self._start(self._serve(connection)).add_done_callback(lambda _: self._free.release())

    async def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, TimeoutError, h11.ProtocolError):
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await _Conversation(self, connection).run()

    def hold(self, size: int) -> None:
        """Account for bytes of a body that are kept; negative ones are let go of.

        Raises:
            _Unacceptable: if there is no room for them.
        """
        if size > 0 and self._held_bytes + size > _LARGEST_BODIES:
            raise _Unacceptable(503, "Too much is being sent at the same time.")
        self._held_bytes += size

    async def answer(self, request: Request) -> Answer:
        """Answer a request."""
        return await self._handler(request)

    def refuse(self, status: int, reason: str) -> Answer:
        """Return the answer to what cannot be handled."""
        return self._refusal(status, reason)


class _Conversation:
    """The requests and answers of one connection."""

    def __init__(self, server: Server, connection: socket.socket) -> None:
        self._server = server
        self._connection = connection
        self._protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=_LONGEST_HEADER)
        self._held = 0

    async def run(self) -> None:
        goes_on = True
        while goes_on:
            try:
                goes_on = await self._exchange()
            finally:
                self._server.hold(-self._held)
                self._held = 0

    async def _exchange(self) -> bool:
        """Answer one request, and return whether another may follow on this connection."""
        try:
            async with asyncio.timeout(_RECEIVING_SECONDS):
                request = await self._receive()
            if request is None:
                return False
            answer = await self._server.answer(request)
            closes = answer.status >= 400
        except _Unacceptable as problem:
            answer, closes = self._server.refuse(problem.status, str(problem)), True
        except h11.RemoteProtocolError as problem:
            status = problem.error_status_hint
            answer, closes = self._server.refuse(status, f"This is not HTTP as it should be: {problem}."), True
        if self._protocol.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return False
        async with asyncio.timeout(_RECEIVING_SECONDS):
            await self._send(answer, closes=closes)
        if closes:
            await self._linger()
            return False
        if set(self._protocol.states.values()) != {h11.DONE}:
            return False
        self._protocol.start_next_cycle()
        return True

    async def _receive(self) -> Request | None:
        """Return the next request, or None if the client has gone."""
        head = await self._next_event()
        if isinstance(head, h11.ConnectionClosed):
            return None
        assert isinstance(head, h11.Request)
        if {b"content-length", b"transfer-encoding"} <= {name for name, _ in head.headers}:
            raise _Unacceptable(400, "A request has a length or comes in chunks, and not both.")
        body = bytearray()
        if self._protocol.they_are_waiting_for_100_continue:
            await self._write(h11.InformationalResponse(status_code=100, headers=[]))
        while isinstance(event := await self._next_event(), h11.Data):
            if len(body) + len(event.data) > _LARGEST_BODY:
                raise _Unacceptable(413, f"The request is too large: the limit is {_LARGEST_BODY >> 20} MiB.")
            self._server.hold(len(event.data))
            self._held += len(event.data)
            body += event.data
        path = head.target.partition(b"?")[0]
        return Request(head.method.decode("ascii"), path.decode("ascii", "backslashreplace"), bytes(body))

    async def _linger(self) -> None:
        """Give a client that is still sending the time to read why it is not listened to."""
        self._connection.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(_LINGERING_SECONDS):
            while await asyncio.get_running_loop().sock_recv(self._connection, _CHUNK_BYTES):
                pass

    async def _next_event(self) -> h11.Event:
        loop = asyncio.get_running_loop()
        while (event := self._protocol.next_event()) is h11.NEED_DATA:
            self._protocol.receive_data(await loop.sock_recv(self._connection, _CHUNK_BYTES))
        if isinstance(event, type):
            raise h11.RemoteProtocolError("a request before the answer to the last one was taken")
        return event

    async def _send(self, answer: Answer, *, closes: bool) -> None:
        headers = {
            "Content-Type": answer.content_type,
            "Content-Length": str(len(answer.body)),
            **answer.headers,
            **({"Connection": "close"} if closes else {}),
        }
        await self._write(h11.Response(status_code=answer.status, headers=list(headers.items())))
        await self._write(h11.Data(data=answer.body))
        await self._write(h11.EndOfMessage())

    async def _write(self, event: h11.Event) -> None:
        if content := self._protocol.send(event):
            await asyncio.get_running_loop().sock_sendall(self._connection, content)
