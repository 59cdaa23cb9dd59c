"""What lies between LiteLLM and the network: no answer is endless, nobody is sent elsewhere, nothing unpacks to more.

LiteLLM has no setting for this. It makes all of its asynchronous clients, also those of the libraries of OpenAI and
Anthropic, with one private function, which `install` replaces; a test fails if a version does it in another way.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import weakref
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from mlgym_model_litellm.failures import RefusedAnswer
from mlgym_model_litellm.turns import Turn
from mlgym_model_litellm.usage_figures import Figures, event_line, no_stream, whole_answer

LARGEST_ANSWER = 64 * 1024 * 1024
"""Bytes of an answer, unpacked. The longest that models can give are a few megabytes, also with log-probabilities."""
MOST_LINES = 500_000
"""Of an answer in parts, which has two for each. A part is a token or more, and takes LiteLLM a millisecond or less."""


@dataclass
class Passage:
    """What passed the transport during an attempt.

    Attributes:
        streams: Whether the answer comes in parts.
        answered: Whether a server began to answer and said that all is well. It may charge for that.
        status: Status code of the last answer; None if there was none.
        figures: What a stream said of its tokens.
        refusal: Why an answer was not let through. What LiteLLM makes of it may say something else.
        turn: Of the attempt to work, which it leaves while the server does.
    """

    streams: bool
    answered: bool = False
    status: int | None = None
    figures: Figures = Figures.NONE
    refusal: RefusedAnswer | None = None
    turn: Turn = field(default_factory=lambda: Turn(None))


_passage: contextvars.ContextVar[Passage | None] = contextvars.ContextVar("passage", default=None)
_transports: weakref.WeakSet[GuardedTransport] = weakref.WeakSet()
_of_parents: list[GuardedTransport] = []
"""Those whose connections belong to the process that this one was forked from."""


@contextlib.contextmanager
def watched(turn: Turn, *, streams: bool) -> Iterator[Passage]:
    """Return what passes the transport while this goes on in the current task, and in those that it starts."""
    passage = Passage(streams=streams, turn=turn)
    token = _passage.set(passage)
    try:
        yield passage
    finally:
        _passage.reset(token)


def install() -> None:
    """Let all clients that LiteLLM makes from now on have a guarded transport."""
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

    make: Any = AsyncHTTPHandler._create_async_transport

    def guarded(ssl_context: Any = None, ssl_verify: Any = None, shared_session: Any = None) -> GuardedTransport:
        inner = make(ssl_context=ssl_context, ssl_verify=ssl_verify, shared_session=shared_session)
        if inner is None:
            verify = ssl_context if ssl_context is not None else ssl_verify is not False
            inner = httpx.AsyncHTTPTransport(verify=verify)
        return GuardedTransport(inner)

    handler: Any = AsyncHTTPHandler
    handler._create_async_transport = staticmethod(guarded)


async def close_connections() -> None:
    """Close the connections of all transports. They open new ones when they are used again."""
    for transport in list(_transports):
        # Whatever it is about: nobody needs them any more.
        with contextlib.suppress(Exception):
            await transport.disconnect()


def _begin_anew() -> None:
    """Leave the parent's connections alone after a fork: to close them may say good-bye to servers in its name."""
    _of_parents.extend(_transports)
    _transports.clear()


os.register_at_fork(after_in_child=_begin_anew)


class GuardedTransport(httpx.AsyncBaseTransport):
    """A transport whose answers are bounded and readable.

    Args:
        inner: The transport that talks to the network.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        _transports.add(self)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request.

        Raises:
            RefusedAnswer: if the answer is not let through.
        """
        passage = _passage.get() or Passage(streams=True)
        # What need not be unpacked can be no bomb.
        request.headers["accept-encoding"] = "identity"
        passage.turn.leave()
        response = await self._inner.handle_async_request(request)
        # Of an answer in parts, each takes little work.
        if not passage.streams:
            await passage.turn.take()
        try:
            if response.is_redirect:
                raise RefusedAnswer(
                    f"the server sends its callers elsewhere ({response.status_code}), which could take the key to "
                    "strangers: name the right address with -M base_url=…"
                )
            passage.answered, passage.status = response.is_success, response.status_code
            parts = _bounded(response)
            headers = [
                (name, value)
                for name, value in response.headers.multi_items()
                if name not in ("content-encoding", "content-length", "transfer-encoding")
            ]
            if passage.streams and passage.answered:
                stream = _Parts(_lines(parts, passage, is_chat=_is_chat(request)), response, passage)
                return httpx.Response(response.status_code, headers=headers, stream=stream)
            body = b"".join([part async for part in parts])
            await response.aclose()
            content = whole_answer(body, is_success=response.is_success)
            return httpx.Response(response.status_code, headers=headers, content=content)
        except BaseException as error:
            if isinstance(error, RefusedAnswer):
                passage.refusal = error
            await response.aclose()
            raise

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()

    async def disconnect(self) -> None:
        """Close the connections, but let the transport be used again."""
        if isinstance(self._inner, httpx.AsyncHTTPTransport):
            # Used by those who turned off LiteLLM's own transport: it is never used again once it is closed.
            return
        await self._inner.aclose()


class _Parts(httpx.AsyncByteStream):
    def __init__(self, parts: AsyncIterator[bytes], response: httpx.Response, passage: Passage) -> None:
        self._parts = parts
        self._response = response
        self._passage = passage

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._parts:
                yield part
        except RefusedAnswer as error:
            self._passage.refusal = error
            raise

    async def aclose(self) -> None:
        await self._response.aclose()


async def _bounded(response: httpx.Response) -> AsyncIterator[bytes]:
    """Yield the parts of a body, unpacked."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "deflate"):
        raise RefusedAnswer(f"its answer is packed ({encoding}), which it was asked not to do.")
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32) if encoding in ("gzip", "deflate") else None
    total = 0
    assert isinstance(response.stream, httpx.AsyncByteStream)
    async for part in response.stream:
        try:
            whole = part if unpacker is None else unpacker.decompress(part, LARGEST_ANSWER - total + 1)
        except zlib.error:
            raise RefusedAnswer("its answer cannot be unpacked.", retry=True) from None
        total += len(whole)
        if total > LARGEST_ANSWER:
            raise RefusedAnswer(f"its answer is longer than {LARGEST_ANSWER >> 20} MB.")
        yield whole


def _is_chat(request: httpx.Request) -> bool:
    return request.url.path.endswith("/chat/completions")


async def _lines(parts: AsyncIterator[bytes], passage: Passage, *, is_chat: bool) -> AsyncIterator[bytes]:
    """Yield the lines of a stream, as many at a time as there are.

    Args:
        is_chat: Whether they are the events of Chat Completions. Other interfaces have streams of JSON objects.
    """
    rest = bytearray()
    number = 0
    has_begun = not is_chat
    async for part in parts:
        if not has_begun and (beginning := part.lstrip()):
            has_begun = True
            if beginning.startswith((b"{", b"<")):
                # LiteLLM would find neither what it says nor the calls in it.
                body = bytes(rest) + part + b"".join([more async for more in parts])
                raise no_stream(body)
        end = part.rfind(b"\n") + 1
        if not end:
            rest += part
            continue
        lines = (bytes(rest) + part[:end]).splitlines(keepends=True)
        rest = bytearray(part[end:])
        number += len(lines)
        if number > MOST_LINES:
            raise RefusedAnswer(f"its answer has more than {MOST_LINES} lines.")
        done = bytearray()
        try:
            for line in lines:
                readable, figures = event_line(line)
                done += readable
                passage.figures = _last(passage.figures, figures)
        except RefusedAnswer:
            # What was said before an error counts.
            yield bytes(done)
            raise
        yield bytes(done)
    if rest:
        readable, figures = event_line(bytes(rest))
        passage.figures = _last(passage.figures, figures)
        yield readable


def _last(before: Figures, now: Figures) -> Figures:
    """Return what is to be thought of the figures in a stream: some servers say them in each part, and begin with 0."""
    return before if before is Figures.BAD or now is Figures.NONE else now
