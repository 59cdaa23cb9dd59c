"""A runner at a terminal: what runs in its sandboxes must not type into it, read from it or change it."""

from __future__ import annotations

import fcntl
import inspect
import os
import struct
import sys
import termios
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import terminal_runner
from runners import Runner

TYPING = """
import fcntl, glob, os, termios
for path in {paths}:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        continue
    for byte in b"evil":
        try:
            fcntl.ioctl(descriptor, termios.TIOCSTI, bytes([byte]))
            print("typed", path)
        except OSError:
            pass
    if os.isatty(descriptor):
        print("terminal", path)
for descriptor in range(256):
    try:
        os.isatty(descriptor) and print("terminal", descriptor)
    except OSError:
        pass
print("tried")
"""
EVERYWHERE = (
    '["/dev/tty", "/dev/console", "/dev/tty1", {name!r}, '
    '*glob.glob("/dev/pts/[0-9]*"), *glob.glob("/proc/[0-9]*/fd/*")]'
)
"""To be tried in sandboxes only: it would type into all the terminals of this machine."""


@dataclass
class Terminal:
    """A pseudo-terminal: the end of whoever sits at it, and the name of the end of the programs."""

    screen: int
    name: str

    def typed(self) -> int:
        """Return how many characters wait to be read, that somebody typed and no program has read yet."""
        terminal = os.open(self.name, os.O_RDWR | os.O_NOCTTY)
        try:
            settings = termios.tcgetattr(terminal)
            settings[3] &= ~termios.ICANON
            termios.tcsetattr(terminal, termios.TCSANOW, settings)
            (count,) = struct.unpack("i", fcntl.ioctl(terminal, termios.FIONREAD, bytes(4)))
            return int(count)
        finally:
            os.close(terminal)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """A pseudo-terminal of this test."""
    screen, programs = os.openpty()
    yield Terminal(screen, os.ttyname(programs))
    os.close(screen)
    os.close(programs)


def at(terminal: Terminal) -> list[str]:
    """Return a command that makes this the controlling terminal of the one that follows it."""
    return [sys.executable, inspect.getfile(terminal_runner), terminal.name]


def test_nobody_types_into_the_terminal_of_the_runner(
    isolated_sandbox: str, terminal: Terminal, tmp_path: Path
) -> None:
    with Runner(isolated_sandbox, tmp_path, before=at(terminal)) as runner:
        program = TYPING.format(paths=EVERYWHERE.format(name=terminal.name))
        assert runner.step(f"python3 - <<'END'\n{program}\nEND") == "tried\n"
        assert "Inappropriate ioctl" in runner.step("stty -a; stty raw")
        assert runner.step("read line < /dev/tty; echo [$line]").endswith("[]\n")
        assert runner.step("echo painted > /dev/tty; tput reset > /dev/tty; echo $?").endswith("1\n")
    assert terminal.typed() == 0


def test_the_terminal_can_be_typed_into_where_nothing_isolates(terminal: Terminal, tmp_path: Path) -> None:
    """Otherwise the test above would prove nothing. Newer kernels ask for a privilege that only root has."""
    setting = Path("/proc/sys/dev/tty/legacy_tiocsti")
    if os.getuid() != 0 and setting.exists() and setting.read_text().strip() == "0":
        pytest.skip("this kernel lets only root type into terminals")
    with Runner("process", tmp_path, before=at(terminal)) as runner:
        said = runner.step(f"python3 - <<'END'\n{TYPING.format(paths=[terminal.name])}\nEND")
        assert f"typed {terminal.name}" in said
    assert terminal.typed() >= 4
