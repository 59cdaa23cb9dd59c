"""Whether the text of a file is what its name says. Nothing of it is executed."""

from __future__ import annotations

import asyncio
import json
import posixpath
import subprocess
import sys
from dataclasses import dataclass

_LARGEST = 1 << 20
_SECONDS = 10
_KINDS = {".py": "python", ".pyi": "python", ".json": "json", ".ipynb": "json"}

# A process of its own: a text can be made so that parsing it takes all memory, or the interpreter down.
_CHECK = """
import json, resource, sys, warnings
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
warnings.simplefilter("ignore")
content = sys.stdin.buffer.read()
try:
    if sys.argv[1] == "python":
        compile(content, "file", "exec", dont_inherit=True)
    else:
        json.loads(content)
except SyntaxError as error:
    answer = [error.lineno, error.msg]
except json.JSONDecodeError as error:
    answer = [error.lineno, error.msg]
except ValueError as error:
    answer = [None, str(error)]
else:
    answer = []
print(json.dumps(answer))
"""


@dataclass(frozen=True)
class SyntaxProblem:
    """Why a text is not what its name says.

    Attributes:
        line: Where, if that is known.
        message: What is wrong there.
    """

    line: int | None
    message: str

    def __str__(self) -> str:
        return self.message if self.line is None else f"line {self.line}: {self.message}"


class NotChecked(Exception):  # noqa: N818 - not an error of the file
    """The text could not be checked."""


async def syntax_problem(path: str, content: bytes) -> SyntaxProblem | None:
    """Return what is wrong with the text of a Python or JSON file, or None; other files have no syntax.

    Raises:
        NotChecked: if it is too large, or too deep for the parser.
    """
    kind = _KINDS.get(posixpath.splitext(path)[1].lower())
    if kind is None:
        return None
    if len(content) > _LARGEST:
        raise NotChecked
    command = [sys.executable, "-I", "-S", "-c", _CHECK, kind]
    try:
        done = await asyncio.to_thread(
            subprocess.run, command, input=content, capture_output=True, timeout=_SECONDS, env={}
        )
    except subprocess.TimeoutExpired:
        raise NotChecked from None
    if done.returncode != 0:
        raise NotChecked
    answer = json.loads(done.stdout)
    return SyntaxProblem(answer[0], str(answer[1])) if answer else None
