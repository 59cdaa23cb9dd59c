"""Becomes a program with another controlling terminal: `terminal_runner.py TERMINAL COMMAND…`."""

from __future__ import annotations

import fcntl
import os
import sys
import termios

if __name__ == "__main__":
    # Started as the leader of a new session, which has no terminal yet.
    terminal = os.open(sys.argv[1], os.O_RDWR)
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    os.set_inheritable(terminal, True)
    os.dup2(terminal, 2)
    os.execv(sys.argv[2], sys.argv[2:])
