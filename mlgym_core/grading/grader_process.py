"""The grader's process: runs a task's `grade` on a submission and reports to the host over a pipe.

It imports the task's package and the standard library only, plus what the task's `grader_requirements` name.
"""

from __future__ import annotations

import importlib
import json
import marshal
import math
import os
import socket
import struct
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from mlgym_core.errors import GraderError, InvalidSubmission
from mlgym_core.grading.submission_runtime.wire import (
    ERROR,
    RESULT,
    FrameReader,
    FrameTooLarge,
    WireClosed,
    listen,
    write_frame,
)
from mlgym_core.interfaces import Grading, Kept, SubmittedProgram, Task

if TYPE_CHECKING:
    from mlgym_core.types import Protocol, Split

_LOAD_SECONDS = 60.0
"""Time for loading a submitted file with what it imports."""
_REASON_LENGTH = 1500


class _ProcessEnded(InvalidSubmission):
    """The submission process is gone; what it printed last may say why."""


class _Program(SubmittedProgram):
    """The grader's end of the wire to a submission process."""

    def __init__(
        self, wire: socket.socket, path: str, *, call_seconds: float, total_seconds: float, answer_bytes: int
    ) -> None:
        wire.setblocking(True)
        self._wire = wire
        self._descriptor = wire.fileno()
        self._reader = FrameReader(self._descriptor, answer_bytes)
        self._answer_bytes = answer_bytes
        self._path = path
        self._kept: set[str] = set()
        self._seconds = 0.0
        self._left = total_seconds
        self._total = total_seconds
        self._set_limit(call_seconds)

    def _set_limit(self, seconds: float) -> None:
        self._seconds = seconds
        # The kernel keeps the time of a read, which costs nothing per call.
        limit = struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))
        self._wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self._wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    def load(self, path: str, seed: int) -> None:
        call_seconds = self._seconds
        self._set_limit(_LOAD_SECONDS)
        self._exchange(f"{self._path}, when it is loaded,", ("load", path, (seed,)))
        self._set_limit(call_seconds)

    def keep(self, name: str, value: Any) -> Kept:
        # Marshalled by itself, so that the other side can keep bytes, and make a copy of them for each call.
        self._exchange(f"{self._path}, when it was sent a value,", ("keep", name, (marshal.dumps(value, 2),)))
        self._kept.add(name)
        return Kept(name)

    def call(self, function: str, *arguments: Any) -> Any:
        if Kept not in map(type, arguments):
            return self._exchange(function, ("call", function, arguments))
        places = {place: argument.name for place, argument in enumerate(arguments) if isinstance(argument, Kept)}
        if missing := set(places.values()) - self._kept:
            raise GraderError(f"The task calls {function} with values that it did not have kept: {missing}.")
        sent = [None if place in places else argument for place, argument in enumerate(arguments)]
        return self._exchange(function, ("call with kept", function, (sent, places)))

    def _exchange(self, subject: str, request: tuple[str, str, tuple[Any, ...]]) -> Any:
        started = time.monotonic()
        try:
            return self._answer(subject, request, started)
        finally:
            # Reading an answer counts, too: it may have been made to be slow to read.
            self._left -= time.monotonic() - started

    def _answer(self, subject: str, request: tuple[str, str, tuple[Any, ...]], started: float) -> Any:
        if self._left < 0:
            raise InvalidSubmission(f"{self._path} took more than {self._total:g} s for all calls together.")
        reader = self._reader
        try:
            write_frame(self._descriptor, marshal.dumps(request, 2))
            while (frame := reader.complete()) is None:
                reader.receive()
                # A read ends with any byte; the limit is for the whole answer.
                if time.monotonic() - started > self._seconds:
                    raise BlockingIOError
        except BlockingIOError:
            raise InvalidSubmission(f"{subject} took longer than {self._seconds:g} s.") from None
        except WireClosed:
            raise _ProcessEnded(f"{subject} ended its process (it exited, crashed or ran out of memory).") from None
        except FrameTooLarge:
            raise InvalidSubmission(f"{subject} returned more than {self._answer_bytes:,} bytes.") from None
        if frame[:1] == RESULT:
            try:
                return json.loads(frame[1:])
            except (ValueError, RecursionError):
                raise InvalidSubmission(f"{subject} gave an answer that cannot be read.") from None
        if frame[:1] == ERROR:
            raise InvalidSubmission(f"{subject} raised {frame[1:].decode('utf-8', 'backslashreplace')}")
        raise InvalidSubmission(f"{subject} gave an answer that cannot be read.")


class _Grading(Grading):
    def __init__(self, order: Mapping[str, Any]) -> None:
        self.submission = Path(order["submission"])
        self.private = Path(order["private"])
        self.variant: str = order["variant"]
        self.split: Split = order["split"]
        self.protocol: Protocol = order["protocol"]
        self.seed: int = order["seed"]
        self._submission_seed: int = order["submission_seed"]
        self._submission_inside: str = order["submission_inside"]
        self._wires = [listen(folder) for folder in order["wires"]]
        self.flags: dict[str, None] = {}

    def flag(self, name: str) -> None:
        self.flags[name] = None

    def program(
        self, path: str, *, call_seconds: float = 1.0, total_seconds: float = 300.0, answer_bytes: int = 1 << 20
    ) -> SubmittedProgram:
        if not self._wires:
            raise GraderError("The task loads more programs than its `submission_processes` says.")
        with self._wires.pop(0) as listener:
            try:
                wire, _ = listener.accept()
            except TimeoutError:
                raise GraderError("The submission process did not connect.") from None
        program = _Program(
            wire,
            path,
            call_seconds=call_seconds,
            total_seconds=total_seconds,
            answer_bytes=answer_bytes,
        )
        program.load(f"{self._submission_inside}/{path}", self._submission_seed)
        return program


def _grade(order: Mapping[str, Any]) -> dict[str, Any]:
    module, _, name = order["target"].partition(":")
    task_class = getattr(importlib.import_module(module), name)
    task: Task = task_class(order["variant"])
    grading = _Grading(order)
    try:
        metrics = task.grade(grading)
    except InvalidSubmission as error:
        return {"invalid": _printable(str(error)), "process_ended": isinstance(error, _ProcessEnded)}
    return {"metrics": {key: _finite(key, value) for key, value in metrics.items()}, "flags": list(grading.flags)}


def _printable(reason: str) -> str:
    # Part of it may be the submission's own words.
    text = "".join(character if character.isprintable() or character == "\n" else "�" for character in reason)
    return text if len(text) <= _REASON_LENGTH else text[:_REASON_LENGTH] + " …"


def _finite(name: str, value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise GraderError(f"The task's grade for {name!r} is {number}, which is not a finite number.")
    return number


def main() -> NoReturn:
    """Read the order from standard input, grade, and write the outcome, one JSON document, to standard output."""
    outcome_pipe = os.dup(1)
    # Whatever the task's code prints is for the log.
    os.dup2(2, 1)
    order = json.loads(sys.stdin.buffer.read())
    try:
        outcome = _grade(order)
    except BaseException:  # noqa: BLE001 - whatever broke, the host must hear of it
        outcome = {"error": traceback.format_exc()}
    content = json.dumps(outcome).encode()
    while content:
        content = content[os.write(outcome_pipe, content) :]
    sys.stderr.flush()
    # The outcome is written; nothing that the task's code left running may hold this process up.
    os._exit(0)


if __name__ == "__main__":
    main()
