"""A server that speaks the Chat Completions API over real HTTP and says what a script tells it to, faults included.

It also speaks the simplest of Anthropic's Messages API.

In a test:

    with ScriptedModelServer(["Hello", ScriptedAnswer(tools=[("bash", {"command": "ls"})]), rate_limit(after=1)]) as server:
        …  # any client, with server.url as the base URL
        assert server.requests[0].body["messages"]

On the command line, for trying things out without a key (each line of FILE is an answer, see `--help`):

    python -m mlgym_core.testing.model_server FILE
"""  # noqa: E501 - an example that can be copied

from __future__ import annotations

import argparse
import contextlib
import http.server
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mlgym_core.testing.anthropic_answers import anthropic_message, anthropic_stream

Body = Mapping[str, Any]
_MESSAGES = "/v1/messages"
_MOST_BYTES = 2**32
"""Of an endless answer: for clients that never go away."""


@dataclass(kw_only=True)
class ScriptedAnswer:
    """One answer of the server.

    Attributes:
        text: What the model says.
        tools: The tools that it calls, each with its arguments: an object, or a text that need not be JSON.
        usage: The usage figures: any JSON value, `None` for none at all, or "count" for plausible ones.
        finish_reason: `stop`, or `tool_calls` if there are some, unless given.
        fields: Further fields of the message, such as `reasoning_content`.
        choice_fields: Further fields of the choice, such as `token_ids`.
        answer_fields: Further fields of the whole answer, such as `prompt_token_ids`.
        status: Status code of the HTTP answer.
        headers: Further headers of it.
        content_type: Its media type.
        body: All of it, instead of what the fields above make.
        cut_after: Close the connection after so many bytes of the body.
        reset: Close the connection at once, without an answer.
        delay: Seconds until the answer begins.
        slow: Seconds between two bytes of the body.
        endless: Bytes that follow the body over and over until the client goes away, at most 4 GB.
    """

    text: str | None = None
    tools: Sequence[tuple[str, Mapping[str, Any] | str]] = ()
    usage: Any = "count"
    finish_reason: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    choice_fields: Mapping[str, Any] = field(default_factory=dict)
    answer_fields: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str | None = None
    body: bytes | None = None
    cut_after: int | None = None
    reset: bool = False
    delay: float = 0.0
    slow: float = 0.0
    endless: bytes | None = None


@dataclass(frozen=True)
class RecordedRequest:
    """A request that the server got.

    Attributes:
        t: When, by `time.monotonic()`.
        path: Path of the URL.
        headers: Names in lower case.
        body: The JSON object that was sent; empty if there was none.
    """

    t: float
    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]


Answer = ScriptedAnswer | str
Script = Iterable[Answer] | Callable[[Body], Answer]


def error_answer(
    status: int, message: str, code: str | None = None, kind: str = "invalid_request_error", **more: Any
) -> ScriptedAnswer:
    """Return an error as OpenAI words it."""
    error = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return ScriptedAnswer(status=status, body=json.dumps(error).encode(), **more)


def rate_limit(*, after: float | str | None = None) -> ScriptedAnswer:
    """Return the answer 429; `after` is its `Retry-After`: seconds, or a date."""
    headers = {} if after is None else {"Retry-After": str(after)}
    message = "Rate limit reached for requests"
    return error_answer(429, message, "rate_limit_exceeded", "requests", headers=headers)


def server_error(status: int = 500) -> ScriptedAnswer:
    """Return an error of the server."""
    return error_answer(status, "The server had an error while processing your request", None, "server_error")


def wrong_key(key: str = "sk-…") -> ScriptedAnswer:
    """Return what OpenAI answers to a wrong key: it repeats some of it."""
    return error_answer(401, f"Incorrect API key provided: {key}.", "invalid_api_key")


def unknown_model(name: str) -> ScriptedAnswer:
    """Return what OpenAI answers to the name of no model."""
    return error_answer(404, f"The model `{name}` does not exist or you do not have access to it.", "model_not_found")


def context_too_long() -> ScriptedAnswer:
    """Return what OpenAI answers to a conversation that is too long."""
    message = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."
    return error_answer(400, f"{message} Please reduce the length of the messages.", "context_length_exceeded")


class ScriptedModelServer:
    """The server, for a `with` block.

    Args:
        script: Its answers in order, or a function that makes an answer of a request. A text is a plain answer. When
            the script is over, it answers with status 418, which no client tries again.
        latency: Seconds until each answer begins.
        key: The key that requests must carry; others are answered with status 401.
        models: The names that `/v1/models` lists.
        endings: How the paths end that the script answers. Besides those two, for other kinds of servers, with answers
            that are a `body`.
        port: Where it listens on the loopback interface; 0 is any free port.

    Attributes:
        requests: The requests for completions so far.
    """

    def __init__(
        self,
        script: Script = (),
        *,
        latency: float = 0.0,
        key: str | None = None,
        models: Sequence[str] = ("scripted",),
        endings: tuple[str, ...] = ("/chat/completions", _MESSAGES),
        port: int = 0,
    ) -> None:
        self.requests: list[RecordedRequest] = []
        self._make = script if callable(script) else None
        self._script: list[Answer] = [] if callable(script) else list(script)
        self._latency = latency
        self._key = key
        self._models = models
        self._endings = endings
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        """The base URL for clients, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def add(self, *answers: Answer) -> None:
        """Add answers to the end of the script."""
        with self._lock:
            self._script += answers

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.close_connections()
        self._server.server_close()

    def _answer(self, request: RecordedRequest) -> ScriptedAnswer:
        with self._lock:
            number = len(self.requests)
            self.requests.append(request)
            said = request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")
            if self._key is not None and said != self._key:
                return wrong_key()
            if self._make is None:
                over = error_answer(418, "The script is over.")
                answer = self._script[number] if number < len(self._script) else over
            else:
                answer = self._make(request.body)
        return ScriptedAnswer(text=answer) if isinstance(answer, str) else answer


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    # Many episodes begin at the same moment.
    request_queue_size = 256

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """Let no client wait for an answer that nobody gives any more."""
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Clients that go away while they are answered are the point of some tests.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _handler(server: ScriptedModelServer) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # An answer is a few small writes: without this the kernel waits 40 ms before the last.
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            if self.path.rstrip("/").endswith("/models"):
                listed = [{"id": name, "object": "model", "owned_by": "mlgym"} for name in server._models]
                self._send(ScriptedAnswer(body=json.dumps({"object": "list", "data": listed}).encode()), {})
            else:
                self._send(error_answer(404, f"There is no {self.path}."), {})

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                body = json.loads(text)
            except ValueError:
                body = {}
            headers = {name.lower(): value for name, value in self.headers.items()}
            if not self.path.endswith(server._endings):
                self._send(error_answer(404, f"There is no {self.path}."), {})
                return
            answer = server._answer(RecordedRequest(time.monotonic(), self.path, headers, body))
            if answer.delay or server._latency:
                time.sleep(answer.delay + server._latency)
            self._send(answer, body)

        def _send(self, answer: ScriptedAnswer, request: Body) -> None:
            if answer.reset:
                # Without lingering the kernel says "connection reset", as after a crash.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                return
            streams = bool(request.get("stream")) and answer.body is None
            body = answer.body
            if body is None:
                body = _body(self.path, answer, request)
            self.send_response(answer.status)
            kind = answer.content_type or ("text/event-stream" if streams else "application/json")
            self.send_header("Content-Type", kind)
            if answer.endless is None:
                self.send_header("Content-Length", str(len(body)))
            else:
                self.send_header("Connection", "close")
                self.close_connection = True
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if answer.cut_after is not None:
                self.wfile.write(body[: answer.cut_after])
                self.close_connection = True
            elif answer.endless is not None:
                self.wfile.write(body)
                for _ in range(_MOST_BYTES // len(answer.endless)):
                    self.wfile.write(answer.endless)
                    time.sleep(answer.slow)
            elif answer.slow:
                for byte in body:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    time.sleep(answer.slow)
            else:
                self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the parameter's name
            pass

    return Handler


def _body(path: str, answer: ScriptedAnswer, request: Body) -> bytes:
    if path.endswith(_MESSAGES):
        if request.get("stream"):
            return anthropic_stream(answer, request)
        return json.dumps(anthropic_message(answer, request)).encode()
    return _stream(answer, request) if request.get("stream") else json.dumps(_completion(answer, request)).encode()


def _message(answer: ScriptedAnswer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, **answer.fields}
    if answer.tools:
        message["tool_calls"] = [
            {
                "id": f"call_{number}",
                "type": "function",
                "function": {
                    "name": name,
                    "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments),
                },
            }
            for number, (name, arguments) in enumerate(answer.tools)
        ]
    return message


def _usage(answer: ScriptedAnswer, request: Body) -> dict[str, Any]:
    if answer.usage != "count":
        return {} if answer.usage is None else {"usage": answer.usage}
    prompt = len(json.dumps(request.get("messages"))) // 4
    completion = max(len(json.dumps(_message(answer))) // 4, 1)
    return {"usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}}


def _head(request: Body, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": request.get("model", "scripted")}


def _completion(answer: ScriptedAnswer, request: Body) -> dict[str, Any]:
    reason = answer.finish_reason or ("tool_calls" if answer.tools else "stop")
    choice = {"index": 0, "message": _message(answer), "finish_reason": reason, **answer.choice_fields}
    head = _head(request, "chat.completion")
    return {**head, "choices": [choice], **_usage(answer, request), **answer.answer_fields}


def _stream(answer: ScriptedAnswer, request: Body) -> bytes:
    """Return the answer as server-sent events: the text word by word, arguments of tools in halves."""
    head = _head(request, "chat.completion.chunk")
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "", **answer.fields}]
    words = (answer.text or "").split(" ")
    deltas += [{"content": word if number == 0 else f" {word}"} for number, word in enumerate(words) if answer.text]
    for number, call in enumerate(_message(answer).get("tool_calls", ())):
        arguments = call["function"]["arguments"]
        half = len(arguments) // 2
        first = {**call, "index": number, "function": {"name": call["function"]["name"], "arguments": arguments[:half]}}
        rest = {"index": number, "function": {"arguments": arguments[half:]}}
        deltas += [{"tool_calls": [first]}, {"tool_calls": [rest]}]
    chunks: list[dict[str, Any]] = [
        {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
    ]
    reason = answer.finish_reason or ("tool_calls" if answer.tools else "stop")
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": reason, **answer.choice_fields}]})
    if (request.get("stream_options") or {}).get("include_usage"):
        chunks.append({**head, "choices": [], **_usage(answer, request), **answer.answer_fields})
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def _answers_in(path: Path) -> list[ScriptedAnswer]:
    """Return the answers in a file.

    Raises:
        OSError: if it cannot be read.
        ValueError: naming the line that is no answer.
    """
    answers = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            answers.append(ScriptedAnswer(text=value) if isinstance(value, str) else ScriptedAnswer(**value))
        except (ValueError, TypeError) as error:
            raise ValueError(f"line {number} of {path} is no answer: {error}") from None
    if not answers:
        raise ValueError(f"{path} holds no answer")
    return answers


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mlgym_core.testing.model_server",
        description="Serve scripted answers as an OpenAI-compatible server, over and over.",
        epilog='A line of FILE is a JSON text ("Hello") or an object with fields of ScriptedAnswer, such as '
        '{"tools": [["bash", {"command": "ls"}]]} and {"status": 500}.',
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the answers, one a line")
    parser.add_argument("--port", type=int, default=8080, help="0 for any that is free (default: %(default)s)")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds until each answer (default: %(default)s)")
    options = parser.parse_args()
    try:
        answers = _answers_in(options.file)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    asked = [0]

    def answer(_: Body) -> ScriptedAnswer:
        asked[0] += 1
        return answers[(asked[0] - 1) % len(answers)]

    try:
        server = ScriptedModelServer(answer, latency=options.latency, port=options.port)
    except (OSError, OverflowError) as error:
        parser.error(f"port {options.port} cannot be served: {error}")
    with server:
        print(f"Serving at {server.url}; end it with Ctrl-C.", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    _main()
