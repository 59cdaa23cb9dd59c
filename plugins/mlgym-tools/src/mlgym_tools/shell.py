"""Questions to the episode's shell, whose answers nothing else in its output can be taken for."""

from __future__ import annotations

import re
import secrets
import shlex

from mlgym_core import ToolContext, ToolError


async def ask(context: ToolContext, script: str) -> str:
    """Run a script in the episode's own shell and return what it prints.

    Whatever else is printed meanwhile, by traces or background processes, is left out if it comes before or after.

    Raises:
        ToolError: if it takes too long or the shell does not answer.
    """
    token = secrets.token_hex(16)
    # The marks come out whole only here: a trace of the command shows them in two parts. After `if`, a script that
    # fails does not end a shell with `set -e`.
    mark = "builtin printf '<%s%s>' " + f"{token[:16]} {token[16:]}"
    result = await context.run_shell(f"{mark}; if {{ {script}\n}} 2>/dev/null </dev/null; then :; fi; {mark}")
    if result.timed_out:
        raise ToolError("That took too long, and was ended. Ask for less: a smaller folder, for instance.")
    found = re.search(f"<{token}>(.*)<{token}>", result.text, re.DOTALL)
    if found is None:
        raise ToolError(f"The shell gave no answer. It printed: {result.text[-500:]!r}")
    return found[1]


def quoted(text: str, what: str) -> str:
    """Return a text as one word of the shell.

    Raises:
        ToolError: if no word can hold it.
    """
    if not text:
        raise ToolError(f"The {what} is empty.")
    if "\0" in text:
        raise ToolError(f"The {what} holds a NUL character.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ToolError(f"The {what} holds a character that UTF-8 does not have.") from None
    return shlex.quote(text)


def quoted_path(path: str, what: str = "path") -> str:
    """Return a path as one word of the shell, which no program takes for an option.

    Raises:
        ToolError: if it is none.
    """
    word = quoted(path, what)
    return word if path.startswith("/") else f"./{word}"
