"""The tools that search files."""

from __future__ import annotations

import base64
import posixpath
import re

from mlgym_core import Tool, ToolContext, ToolError, ToolResult
from mlgym_tools.documents import Document, escaped, shown_line
from mlgym_tools.shell import ask, quoted, quoted_path
from mlgym_tools.viewer import Viewer, absolute_file

_MOST_HITS = 100
_LONGEST_TEXT = 10_000
_LONGEST_HIT = 1000
# What the shell's output has room for, in base64.
_MOST_BYTES = 45_000
_BOUNDED = f"command head -c {_MOST_BYTES} | command base64 -w 0"
# Whether the sandbox has the programs as they are used here: only then does no hit mean that there is none.
_PROBE = (
    "command find . -prune -exec printf 'xx\\n' ';' | command grep -nIHFZs -e x - | "
    r"command sed 's/\(\x00[0-9]*:.\{1\}\).*/\1/' | command sort -z | command head -z -n 2 | "
    f"command xargs -0 -r printf %s: | {_BOUNDED}"
)
_PROBED = b"(standard input):1:x\n:"
# In a subshell, so that what is set here is set for nothing else.
_IN_FOLDER = "( set +eux; set +o noglob; unset CDPATH GREP_OPTIONS; export LC_ALL=C; command cd {} || exit; {} )"


class SearchDir(Tool):
    """Finds a text in the files of a folder."""

    async def run(self, context: ToolContext, text: str, folder: str = ".") -> ToolResult:
        """Find the lines with a text, letter by letter, in the text files of a folder and the folders in it.

        Binary files and .git are left out.
        """
        _check_one_line(text)
        command = (
            "command find . -name .git -prune -o -type f -print0 | command sort -z | "
            f"command xargs -0 -r grep -nIHFZs -e {quoted(text, 'text')} -- | "
            rf"command sed 's/\(\x00[0-9]*:.\{{{_LONGEST_HIT}\}}\).*/\1/' | "
            f"command head -n {_MOST_HITS + 1} | {_BOUNDED}"
        )
        output = await _in_folder(context, folder, command)
        whole = len(output) < _MOST_BYTES and output.count(b"\n") <= _MOST_HITS
        # A name may hold newlines, but no NUL, which ends it.
        found = re.findall(rb"(?:\A|(?<=\n))([^\0]+)\0(\d+):([^\n]*)\n", output)
        if not found:
            return ToolResult(text=f"No line in {folder} has {text!r}.")
        hits = []
        for path, number, line in found[:_MOST_HITS]:
            name = escaped(_below(folder, path))
            hits.append(f"{name}:{int(number)}:{shown_line(line.decode('utf-8', 'backslashreplace'))}")
        return _hits(hits, whole and len(found) == len(hits), f"lines in {folder} that have {text!r}")


class SearchFile(Tool):
    """Finds a text in a file."""

    async def run(self, context: ToolContext, text: str, path: str = "") -> ToolResult:
        """Find the lines with a text, letter by letter, in a file; without `path`, in the open file."""
        _check_one_line(text)
        absolute = await absolute_file(context, path) if path else (await Viewer.current(context)).path
        document = await Document.read(context, absolute)
        found = [number for number, line in enumerate(document.lines, 1) if text in line.removesuffix("\n")]
        if not found:
            return ToolResult(text=f"No line in {absolute} has {text!r}.")
        hits = [f"{number}:{shown_line(document.lines[number - 1])}" for number in found[:_MOST_HITS]]
        return _hits(hits, len(found) == len(hits), f"lines in {absolute} that have {text!r}")


class FindFile(Tool):
    """Finds files by name."""

    async def run(self, context: ToolContext, name: str, folder: str = ".") -> ToolResult:
        """Find the files with a name in a folder and the folders in it; `*` is any text, `?` any character."""
        if "/" in name:
            raise ToolError("The name holds a slash. Give the folder as `folder`.")
        pattern = re.sub(r"([\[\]\\])", r"\\\1", name)
        command = (
            f"command find . -name {quoted(pattern, 'name')} ! -type d -print0 | command sort -z | "
            f"command head -z -n {_MOST_HITS + 1} | {_BOUNDED}"
        )
        output = await _in_folder(context, folder, command)
        found = output.split(b"\0")[:-1]
        whole = len(output) < _MOST_BYTES
        if not found:
            return ToolResult(text=f"There is no file {name!r} in {folder}.")
        hits = [escaped(_below(folder, path)) for path in found[:_MOST_HITS]]
        return _hits(hits, whole and len(found) == len(hits), f"files in {folder} that are called {name!r}")


def _check_one_line(text: str) -> None:
    if not text:
        raise ToolError("The text is empty.")
    if len(text) > _LONGEST_TEXT:
        raise ToolError(f"The text is too long: {len(text):,} characters, of {_LONGEST_TEXT:,}.")
    if "\n" in text:
        raise ToolError("The text has several lines. Only text within a line is found.")


async def _in_folder(context: ToolContext, folder: str, command: str) -> bytes:
    """Return what a command that ends in `base64` prints in a folder."""
    word = quoted_path(folder, "folder")
    answer = await ask(context, f"[ -d {word} ] && builtin printf d; {_IN_FOLDER.format(word, command)}")
    if not answer.startswith("d"):
        raise ToolError(f"There is no folder {folder}.")
    try:
        output = base64.b64decode(answer[1:], validate=True)
    except ValueError:
        raise ToolError(f"The search gave no answer that can be read: {answer[-200:]!r}") from None
    if not output and command != _PROBE and await _in_folder(context, folder, _PROBE) != _PROBED:
        raise ToolError("The search needs GNU's find, grep, sed, sort, head and xargs, and base64. Use the shell.")
    return output


def _below(folder: str, path: bytes) -> str:
    """Return a path that `find` printed in a folder, as one that starts where the folder's does."""
    relative = path.removeprefix(b"./").decode("utf-8", "backslashreplace")
    return relative if posixpath.normpath(folder) == "." else posixpath.join(folder, relative)


def _hits(hits: list[str], whole: bool, what: str) -> ToolResult:
    if not whole:
        hits = [*hits, f"[There are more than {len(hits)} {what}; these are the first. Search for less.]"]
    return ToolResult(text="\n".join(hits) + "\n", truncated=not whole)
