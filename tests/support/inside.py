"""What tests do inside a sandbox: shell commands and Python programs, through the environment's ordinary tools."""

from __future__ import annotations

import textwrap
from typing import Any

from mlgym_core import Env


def output(env: Env, command: str) -> str:
    """Return what a shell command prints."""
    return env.step(command)[0].text


def python(env: Env, source: str) -> str:
    """Return what a Python program prints, errors included."""
    return output(env, f"python3 - <<'END'\n{textwrap.dedent(source)}\nEND")


def call(tool: str, **arguments: object) -> dict[str, Any]:
    """Return the action that calls a tool."""
    return {"tool": tool, "arguments": arguments}


def tool(env: Env, name: str, **arguments: object) -> str:
    """Return what a tool answers."""
    return env.step(call(name, **arguments))[0].text


def answers(env: Env) -> bool:
    """Return whether the next command answers as it should."""
    return output(env, "/bin/echo $((6 * 7))") == "42\n"
