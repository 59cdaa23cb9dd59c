"""A model server that takes as little of the processors as it can: `python steady_server.py BODY_FILE LATENCY`.

Model servers are other machines. One that runs here takes processors away from what is measured, and the scripted
server of the test kit, with a thread for each connection, would take a seventh of two. This one gives the same answer
to every request, so many seconds later, in one thread and without looking at what is asked.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from pathlib import Path

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length:"


class SteadyAnswers(asyncio.Protocol):
    """A connection.

    Args:
        answer: What each request is answered.
        latency: Seconds until then.
    """

    def __init__(self, answer: bytes, latency: float) -> None:
        self._answer = answer
        self._latency = latency
        self._buffer = bytearray()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to answer to."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete."""
        self._buffer += data
        while (end := self._buffer.find(_END_OF_HEAD)) >= 0:
            lines = bytes(self._buffer[:end]).lower().splitlines()
            length = next((int(line[len(_LENGTH) :]) for line in lines if line.startswith(_LENGTH)), 0)
            whole = end + len(_END_OF_HEAD) + length
            if len(self._buffer) < whole:
                return
            del self._buffer[:whole]
            asyncio.get_running_loop().call_later(self._latency, self._transport.write, self._answer)


async def serve(body: bytes, latency: float) -> None:
    """Serve until the process is ended, and print the port."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    answer = head.encode() + body
    server = await asyncio.get_running_loop().create_server(lambda: SteadyAnswers(answer, latency), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    gc.freeze()
    asyncio.run(serve(Path(sys.argv[1]).read_bytes(), float(sys.argv[2])))
