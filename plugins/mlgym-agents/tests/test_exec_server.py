"""The HTTP server of the agent `exec` alone, against clients that do what they can."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mlgym_agents.exec import server as module
from mlgym_agents.exec.server import Answer, Request, Server

POST = b"POST /x HTTP/1.1\r\nHost: x\r\n"


class Site:
    """A server that repeats what it is sent.

    Attributes:
        port: Where it listens.
        requests: What it was asked.
        hold: Its answers wait until this is set.
        arrived: Released for each request.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.requests: list[Request] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.arrived = asyncio.Semaphore(0)

    async def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        self.arrived.release()
        await self.hold.wait()
        return Answer(200, request.body)

    async def send(self, *parts: bytes) -> bytes:
        """Return all that comes back until the connection is closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


def refuse(status: int, reason: str) -> Answer:
    return Answer(status, reason.encode())


@pytest.fixture
async def site(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.setattr(module, "_RECEIVING_SECONDS", 1.0)
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    made = Site(listening.getsockname()[1])
    async with Server(listening, made.answer, refuse):
        yield made
    with pytest.raises(ConnectionRefusedError):
        await made.send(POST)


async def test_requests_on_one_connection(site: Site) -> None:
    one = POST + b"Content-Length: 3\r\n\r\nabc"
    chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n"
    waiting = POST + b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: 1\r\n\r\n"
    said = await site.send(one + chunked + waiting, b"f")
    assert said.count(b"HTTP/1.1 200") == 3
    assert [request.body for request in site.requests] == [b"abc", b"de", b"f"]
    assert site.requests[0].path == "/x"


@pytest.mark.parametrize(
    "request_",
    [
        POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /y HTTP/1.1\r\n\r\n",
        POST + b"Content-Length: 3\r\nContent-Length: 30\r\n\r\nabc",
        POST + b"Content-Length: -3\r\n\r\nabc",
        POST + b"Content-Length: 3, 4\r\n\r\nabc",
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nab\r\n0\r\n\r\n",
        POST + b"X: a\nContent-Length : 3\r\n\r\nabc",
        POST + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET " + b"/" * 100_000,
        b"GET /x HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\r\n" * 100_000,
    ],
)
async def test_what_is_ambiguous_or_no_http(site: Site, request_: bytes) -> None:
    said = await site.send(request_)
    assert b" 200 " not in said
    assert not site.requests or all(request.path == "/x" for request in site.requests)
    assert len(site.requests) <= 1
    assert (await site.send(POST + b"Connection: close\r\nContent-Length: 2\r\n\r\nok")).endswith(b"ok")


async def test_bodies_that_are_too_large(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LARGEST_BODY", 1 << 20)
    head = POST + b"Content-Length: 5000000\r\n\r\n"
    assert b" 413 " in await site.send(head, b"x" * 1_100_000)
    chunk = b"10000\r\n" + b"x" * (1 << 16) + b"\r\n"
    assert b" 413 " in await site.send(POST + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 17)
    monkeypatch.setattr(module, "_LARGEST_BODIES", 1 << 10)
    assert b" 503 " in await site.send(POST + b"Content-Length: 5000\r\n\r\n", b"x" * 5000)
    # What was let go of is free again.
    for _ in range(3):
        assert b" 200 " in await site.send(POST + b"Connection: close\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000)


async def test_slow_and_silent_clients_are_not_waited_for(site: Site) -> None:
    assert await site.send() == b""
    assert await site.send(b"POST /x HT") == b""
    assert await site.send(POST + b"Content-Length: 5\r\n\r\nab") == b""
    assert site.requests == []


async def test_clients_that_leave(site: Site) -> None:
    site.hold.clear()
    for _ in range(5):
        _, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(POST + b"Content-Length: 1\r\n\r\nx")
        await writer.drain()
        writer.transport.abort()
    for _ in range(5):
        await site.arrived.acquire()
    site.hold.set()
    assert b" 200 " in await site.send(POST + b"Connection: close\r\nContent-Length: 1\r\n\r\nx")


async def test_many_connections_take_few_descriptors(site: Site) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = descriptors()
    clients = []
    for _ in range(400):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", site.port))
        clients.append(client)
    await asyncio.sleep(0.3)
    assert descriptors() - before - len(clients) <= module._MOST_CONNECTIONS + 2
    for client in clients:
        client.close()
    # The idle ones make room in the end.
    assert b" 200 " in await site.send(POST + b"Connection: close\r\nContent-Length: 1\r\n\r\nx")


async def test_what_goes_on_at_the_end_is_broken_off() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    site = Site(listening.getsockname()[1])
    site.hold.clear()
    async with Server(listening, site.answer, refuse):
        asking = asyncio.ensure_future(site.send(POST + b"Content-Length: 1\r\n\r\nx"))
        await site.arrived.acquire()
    assert await asking == b""
    with contextlib.suppress(OSError):
        os.fstat(listening.fileno())
        raise AssertionError("The socket is still open.")
