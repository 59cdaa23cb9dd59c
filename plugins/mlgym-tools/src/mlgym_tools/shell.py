"""Questions to the episode's shell, whose answers nothing else in its output can be taken for."""

from __future__ import annotations

import re
import secrets
import shlex

from mlgym_core import ToolContext, ToolError


async def ask(context: ToolContext, script: str) -> str:
    """Run a script in a subshell of the episode's shell and return what it prints.

    Its answer is printed at once between two marks, apart from traces and what background processes print.

    Raises:
        ToolError: if it takes too long or the shell does not answer.
    """
    token = secrets.token_hex(16)
    # A trace of the command would show the marks in two parts. The point keeps the newlines before it.
    mark = f"{token[:16]} {token[16:]}"
    answer = f'"$(set +e; {script}\nbuiltin printf .)"'
    result = await context.run_shell(
        f"{{ builtin printf '<%s%s>%s<%s%s>' {mark} {answer} {mark}; }} 2>/dev/null </dev/null"
    )
    if result.timed_out:
        raise ToolError("That took too long, and was ended. Ask for less: a smaller folder, for instance.")
    found = re.search(rf"<{token}>(.*)\.<{token}>", result.text, re.DOTALL)
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
