"""A shell that keeps its state from command to command, driven over a pipe.

Bash runs as an interactive shell without a terminal: an interrupt then ends whatever it is doing, a loop of builtins
included, and leaves variables and functions as they were. Each command is handed to `eval`; the line after it prints
an end marker with a random word that the command does not know, the exit status and the working directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mlgym_core.errors import SandboxError
from mlgym_core.interfaces import Sandbox, SandboxProcess
from mlgym_core.sandbox.pipes import resolve
from mlgym_core.sandbox.shell_state import ShellState, printing

_BASH = ("/bin/bash", "--norc", "--noprofile", "--noediting", "+H", "+o", "history", "-i")
# Commands read from and write to descriptors that they do not usually touch: an empty input, and the pipe to us. What
# the shell itself has to say between commands (prompts, the end of jobs) is for nobody.
_SETUP = b"unset PROMPT_COMMAND; exec 200</dev/null 201>&1 >/dev/null 2>&1\n"
_COMMAND_LINE = b"\\builtin eval '%s' <&200 >&201 2>&201\n"
# The path ends with NUL, which no path contains. A shell that has lost its way to us ends, and a new one is started.
_MARKER_LINE = b"\\builtin printf '\\036%%s %%s %%s\\0' %s $? \"$PWD\" <&200 >&201||\\builtin exit\n"
_LONGEST_MARKER = 1 << 14
# Bash says this when a signal ended a command, since it would like to reset the terminal that it does not have.
_TERMINAL_COMPLAINT = re.compile(rb"(?:/bin/)?bash: \[\d+: \d+ \(\d+\)\] tcsetattr: Inappropriate ioctl for device\n")
_PIPE_BYTES = 1 << 18
_START_SECONDS = 30.0
_LARGEST_STATE = 16 << 20
_LISTENING_SECONDS = 0.5
_WORTH_A_LOOK_SECONDS = 0.005
"""No command comes up against a limit in less time, unless it fails."""
_INTERRUPT_SECONDS = (0.2, 0.3, 0.7, 1.5)
"""How long the shell gets to answer each of the interrupts after a command's time is up."""


@dataclass(frozen=True)
class ShellResult:
    """What a command did.

    Attributes:
        output: Standard output and error, as they came; its middle is left out if it was longer than the limit.
        exit_code: None if the command was ended at its time limit.
        working_directory: Of the shell, after the command.
        omitted_bytes: How much of the output was left out.
        timed_out: Whether the time limit ended it.
        restarted: Whether the shell ended, so that a new one had to be started.
        limits_reached: Names of the limits that the command came up against: `memory`, `processes`, `cpu`, `disk`, or
            `file` (a single one that became too large).
    """

    output: bytes
    exit_code: int | None
    working_directory: str
    omitted_bytes: int = 0
    timed_out: bool = False
    restarted: bool = False
    limits_reached: tuple[str, ...] = ()

    def with_limit(self, name: str) -> ShellResult:
        """Return the same with one more limit that the command came up against."""
        return replace(self, limits_reached=(*self.limits_reached, name))

    def stopped_at(self, name: str) -> ShellResult:
        """Return the same of a command that was ended because of a limit, not of its time."""
        return replace(self.with_limit(name), timed_out=False, exit_code=None)


class _Capture:
    """Collects output up to a limit: the first half of it from the head, the other half from the tail."""

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._tail_bytes = 0

    def add(self, chunk: bytes) -> None:
        room = self._half - len(self._head)
        if room > 0:
            self._head += chunk[:room]
            chunk = chunk[room:]
        if chunk:
            self._tail_bytes += len(chunk)
            self._tail += chunk[-self._half :]
            if len(self._tail) > 4 * self._half + _PIPE_BYTES:
                del self._tail[: -self._half]

    def result(self) -> tuple[bytes, int]:
        """Return the output and how many bytes are missing in its middle, where a note says so."""
        kept = min(self._tail_bytes, self._half)
        omitted = self._tail_bytes - kept
        if not omitted:
            return _TERMINAL_COMPLAINT.sub(b"", bytes(self._head + self._tail)), 0
        note = f"\n[… {omitted:,} bytes left out …]\n".encode()
        return bytes(self._head + note + self._tail[-kept:]), omitted


class _ShellEnded(Exception):  # noqa: N818 - an event
    pass


class _NotBegun(_ShellEnded):
    """The shell had ended before it was told anything."""


class Shell:
    """A persistent bash in a sandbox.

    Args:
        sandbox: Where it runs.
        output_limit: How many bytes of a command's output are kept.
    """

    def __init__(self, sandbox: Sandbox, *, output_limit: int = 1 << 16) -> None:
        self._sandbox = sandbox
        self._output_limit = output_limit
        self._process: SandboxProcess | None = None
        self._stdin = -1
        self._stdout = -1
        self._carry = b""
        self._answer: tuple[bytes, bytes] | None = None
        self._awaited: asyncio.Future[None] | None = None
        self._reached: Mapping[str, int] = {}
        self._deadline: asyncio.Timeout | None = None
        self._abandoned: tuple[bytes, _Capture, float] | None = None
        self._starting: tuple[bytes, _Capture, ShellState | None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_over = False
        self.working_directory = sandbox.layout.working_directory

    async def start(self) -> None:
        """Start the shell and wait until it answers.

        Raises:
            SandboxError: if it does not.
        """
        await self.begin()
        await self.ready()

    async def begin(self, state: ShellState | None = None) -> None:
        """Start the shell, in a state that another one was in, and do not wait until it answers: `ready` does.

        Raises:
            SandboxError: if it cannot be started.
        """
        if self._is_over:
            raise SandboxError("The shell was closed while a command ran.")
        for mount in self._sandbox.layout.mounts:
            # An agent may have locked itself out of its folders; these stay ours.
            if mount.writable:
                mount.source.chmod(mount.source.stat().st_mode | 0o700)
        stdin, self._stdin = os.pipe()
        self._stdout, stdout = os.pipe()
        os.set_blocking(self._stdin, False)
        with contextlib.suppress(OSError):  # a smaller pipe is only slower
            fcntl.fcntl(self._stdout, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        try:
            self._process = await self._sandbox.spawn(_BASH, stdin=stdin, stdout=stdout, stderr=stdout, leader=True)
        finally:
            os.close(stdin)
            os.close(stdout)
        self._carry = b""
        self._reached = {}
        word = secrets.token_hex(8).encode()
        capture = _Capture(4096)
        loading = () if state is None else state.loading()
        told = [_SETUP, self._file_limit(), *(_command_line(f"{{ {part}\n}} 2>/dev/null") for part in loading)]
        if state is not None:
            self.working_directory = state.working_directory
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self._write(b"".join(told) + _MARKER_LINE % word)
        except (TimeoutError, _ShellEnded):
            pass  # it will not answer either
        self._starting = (word, capture, state)

    async def ready(self) -> None:
        """Wait until a shell that was started answers. One that a state brings to its end is started without it.

        Raises:
            SandboxError: if it does not answer.
        """
        starting = self._starting
        if starting is None:
            return
        word, capture, state = starting
        try:
            async with asyncio.timeout(_START_SECONDS):
                _, self.working_directory = await self._read(word, capture)
            self._starting = None
        except (TimeoutError, _ShellEnded) as error:
            await self.close()
            if state is not None:
                await self.start()
                return
            said = capture.result()[0].decode("utf-8", "backslashreplace").strip()
            raise SandboxError(f"The sandbox's shell did not start: {said or 'no answer'}") from error

    def _file_limit(self) -> bytes:
        """Return a command that limits the size of each file, which the kernel holds at once and for good."""
        resources = self._sandbox.layout.resources
        if resources is None or resources.disk_bytes is None:
            return b""
        return b"ulimit -f %d\n" % -(-resources.disk_bytes // 1024)

    async def dump_state(self) -> ShellState:
        """Return variables, functions, aliases, traps, options and the working directory.

        Raises:
            SandboxError: if the shell does not tell.
        """
        word = secrets.token_hex(16)
        result = await self.run(printing(word), _START_SECONDS, output_limit=_LARGEST_STATE)
        if result.timed_out or result.restarted or result.omitted_bytes:
            raise SandboxError("The shell did not tell its state.")
        try:
            return ShellState.parsed(result.output.decode("utf-8", "surrogateescape"), word, result.working_directory)
        except ValueError as error:
            raise SandboxError(str(error)) from error

    async def run(self, command: str, seconds: float | None = None, *, output_limit: int | None = None) -> ShellResult:
        """Run a command and wait for its end, or end it and everything it started when its time is up.

        If the command ends the shell, a new one is started.

        Raises:
            SandboxError: if the shell ended and no new one can be started.
        """
        restarted = await self._settle()
        for _ in range(2):
            if self._process is None:
                await self.start()
            await self.ready()
            try:
                result = await self._run(command, seconds, output_limit or self._output_limit)
            except _NotBegun:
                # It ended between commands (by itself, or from outside), so that nothing of this one was carried out.
                await self.close()
                restarted = True
                continue
            return replace(result, restarted=True) if restarted else result
        raise SandboxError("The shell ends as soon as it is started.")

    async def _settle(self) -> bool:
        """End what is left of a command whose caller gave up on it, and return whether that took a new shell."""
        abandoned, self._abandoned = self._abandoned, None
        if abandoned is None or self._process is None:
            return False
        try:
            return (await self._after_timeout(*abandoned)).restarted
        except _ShellEnded:
            await self.close()
            return True

    async def _run(self, command: str, seconds: float | None, output_limit: int) -> ShellResult:
        assert self._process is not None
        self._loop = asyncio.get_running_loop()
        word = secrets.token_hex(8).encode()
        capture = _Capture(output_limit)
        started = time.clock_gettime(_BOOT_CLOCK)
        reached = self._reached
        try:
            try:
                async with asyncio.timeout(seconds) as self._deadline:
                    await self._write(_command_line(command) + _MARKER_LINE % word)
                    status, self.working_directory = await self._read(word, capture)
            except TimeoutError:
                return await self._after_timeout(word, capture, started)
            except asyncio.CancelledError:
                self._abandoned = (word, capture, started)
                if self._process is not None:
                    self._process.kill_descendants(started)
                    self._process.interrupt(started)
                raise
            finally:
                self._deadline = None
        except _NotBegun:
            raise
        except _ShellEnded:
            if self._process is None:
                raise SandboxError("The shell was closed while a command ran.") from None
            limits = self._limits_since(reached, waited=False)  # forgotten once the process is waited for
            status = await self._process.wait()
            return await self._restarted(capture, status, limits)
        output, omitted = capture.result()
        took = time.clock_gettime(_BOOT_CLOCK) - started
        looks = status != 0 or took > _WORTH_A_LOOK_SECONDS
        limits = self._limits_since(reached, waited=False) if looks else ()
        return ShellResult(output, status, self.working_directory, omitted, limits_reached=limits)

    def _limits_since(self, before: Mapping[str, int], *, waited: bool = True) -> tuple[str, ...]:
        """Return the limits that were reached since; that of processor time only explains why one waited."""
        assert self._process is not None
        self._reached = self._process.limits_reached()
        reached = (name for name, count in self._reached.items() if count > before.get(name, 0))
        return tuple(name for name in reached if waited or name != "cpu")

    async def _after_timeout(self, word: bytes, capture: _Capture, started: float) -> ShellResult:
        assert self._process is not None
        for attempt, seconds in enumerate(_INTERRUPT_SECONDS):
            # First as a terminal does it: the shell goes on with the next command of a list unless the one that it
            # waits for dies of the interrupt, too. Whatever ignores that is killed.
            if attempt > 0:
                self._process.kill_descendants(started)
            self._process.interrupt(started)
            try:
                async with asyncio.timeout(seconds):
                    _, self.working_directory = await self._read(word, capture)
            except TimeoutError:
                continue
            # What the command left in the background goes, too.
            self._process.kill_descendants(started)
            if not await self._listens():
                break
            output, omitted = capture.result()
            limits = self._limits_since(self._reached)
            return ShellResult(output, None, self.working_directory, omitted, timed_out=True, limits_reached=limits)
        return await self._restarted(capture, None, self._limits_since(self._reached), timed_out=True)

    async def _listens(self) -> bool:
        """Return whether the shell reads what it is told: an interrupt that comes late makes it forget a line."""
        for _ in _INTERRUPT_SECONDS:
            word = secrets.token_hex(8).encode()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LISTENING_SECONDS):
                    await self._write(_MARKER_LINE % word)
                    await self._read(word, _Capture(4096))
                    return True
        return False

    async def _restarted(
        self, capture: _Capture, status: int | None, limits: tuple[str, ...], *, timed_out: bool = False
    ) -> ShellResult:
        await self.close()
        await self.start()
        output, omitted = capture.result()
        return ShellResult(
            output,
            status,
            self.working_directory,
            omitted,
            timed_out=timed_out,
            restarted=True,
            limits_reached=limits,
        )

    def expire(self) -> bool:
        """Let the time of the command that is running be up now, and return whether one was running."""
        if self._deadline is None or self._deadline.expired():
            return False
        self._deadline.reschedule(asyncio.get_running_loop().time())
        return True

    def expire_soon(self) -> bool:
        """The same as `expire`, for other threads than that of the event loop."""
        deadline, loop = self._deadline, self._loop
        if deadline is None or loop is None or loop.is_closed():
            return False

        def expire() -> None:
            if self._deadline is deadline:  # and not that of a later command
                self.expire()

        loop.call_soon_threadsafe(expire)
        return True

    def kill_descendants(self) -> None:
        """Kill every process of the shell but itself."""
        if self._process is not None:
            self._process.kill_descendants(0)

    def background_processes(self) -> int:
        """Return how many processes it has besides itself, between commands."""
        return 0 if self._process is None else len(self._process.descendants())

    def open_files(self) -> Sequence[Path]:
        """Return the host's links (`/proc/…/fd/…`) to what its processes have open."""
        return () if self._process is None else self._process.open_files()

    def freeze(self) -> None:
        """Stop every process of the shell until `thaw`."""
        if self._process is not None:
            self._process.freeze()

    def thaw(self) -> None:
        """Let the shell's processes go on."""
        if self._process is not None:
            self._process.thaw()

    async def end(self) -> None:
        """End the shell and everything it started, for good: it cannot be started again."""
        self._is_over = True
        await self.close()

    async def close(self) -> None:
        """End the shell and everything it started. A command that still runs fails."""
        process, self._process = self._process, None
        self._abandoned = self._starting = None
        if self._awaited is not None and not self._awaited.done():
            asyncio.get_running_loop().remove_reader(self._stdout)
            self._awaited.set_exception(_ShellEnded())
        for descriptor in (self._stdin, self._stdout):
            if descriptor >= 0:
                os.close(descriptor)
        self._stdin = self._stdout = -1
        if process is not None:
            await process.kill()

    async def _write(self, content: bytes) -> None:
        loop = asyncio.get_running_loop()
        view = memoryview(content)
        while view:
            if self._stdin < 0:
                raise _ShellEnded
            try:
                view = view[os.write(self._stdin, view) :]
            except BlockingIOError:
                ready = loop.create_future()
                loop.add_writer(self._stdin, resolve, ready)
                try:
                    await ready
                finally:
                    loop.remove_writer(self._stdin)
            except BrokenPipeError as error:
                raise (_NotBegun if len(view) == len(content) else _ShellEnded) from error

    async def _read(self, word: bytes, capture: _Capture) -> tuple[int, str]:
        """Read output until the marker with `word` and return its exit status and working directory."""
        loop = asyncio.get_running_loop()
        start = b"\x1e" + word + b" "
        ended: asyncio.Future[None] = loop.create_future()
        marker = b""

        def on_readable() -> None:
            nonlocal marker
            if ended.done():
                return
            chunk = os.read(self._stdout, _PIPE_BYTES)
            if not chunk:
                capture.add(self._carry)
                self._carry = b""
                ended.set_exception(_ShellEnded())
                return
            window = self._carry + chunk
            position = window.find(start)
            if position < 0:
                keep = len(start) - 1
                capture.add(window[:-keep])
                self._carry = window[-keep:]
                return
            end = window.find(b"\0", position)
            if end < 0 and len(window) - position < _LONGEST_MARKER:
                capture.add(window[:position])
                self._carry = window[position:]
                return
            capture.add(window[:position])
            marker, self._carry = window[position + len(start) : end], window[end + 1 :]
            ended.set_result(None)

        if self._answer is not None and self._answer[0] == word:
            marker = self._answer[1]
        else:
            stdout, self._awaited = self._stdout, ended
            loop.add_reader(stdout, on_readable)
            try:
                await ended
            except asyncio.CancelledError:
                # It may have been read at the very moment at which time was up; it will not come again.
                answered = ended.done() and not ended.cancelled() and ended.exception() is None
                self._answer = (word, marker) if answered else None
                raise
            finally:
                self._awaited = None
                if self._stdout == stdout:
                    loop.remove_reader(stdout)
        self._answer = None
        status, _, directory = marker.partition(b" ")
        return int(status), directory.decode("utf-8", "surrogateescape")


_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _command_line(command: str) -> bytes:
    """Return what makes the shell carry out a command."""
    return _COMMAND_LINE % _as_bytes(command).replace(b"\0", b"").replace(b"'", b"'\\''")


def _as_bytes(command: str) -> bytes:
    """Return a command in UTF-8; surrogates that stand for other bytes become those bytes."""
    try:
        return command.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return command.encode("utf-8", "backslashreplace")


def as_text(output: bytes) -> str:
    """Return output as text; bytes that are not UTF-8 become `\\xff`."""
    return output.decode("utf-8", "backslashreplace")
