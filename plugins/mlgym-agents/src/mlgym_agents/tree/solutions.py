"""The model's answers as solutions: a plan, files, and a command that makes the submission of them."""

from __future__ import annotations

import posixpath
import re
import shlex
from dataclasses import dataclass

from mlgym_agents.answers import Block, fenced_blocks
from mlgym_core import ModelReply, TaskView

_HEADER = re.compile(r"^[ \t#>*_`-]*(FILE|RUN)[*_`]*[ \t]*:(?:[*_`]+(?=[ \t]))?(.*)$", re.MULTILINE)
_MOST_FILES = 10


class SolutionProblem(Exception):  # noqa: N818 - what is wrong with an answer, in words for the model
    """An answer is no solution; nothing was done. The message is for the model."""


@dataclass(frozen=True)
class Solution:
    """A solution as the model wrote it.

    Attributes:
        plan: What it says it does.
        files: Contents by path.
        command: What makes the submission of them; None if they are the submission.
    """

    plan: str
    files: dict[str, str]
    command: str | None


def parse_solution(reply: ModelReply, task: TaskView) -> Solution:
    """Return the solution in an answer: blocks that stand after the lines `FILE: path` and `RUN:`.

    Raises:
        SolutionProblem: if there is none.
    """
    blocks, is_open = fenced_blocks(reply.text)
    if is_open:
        cut_off = reply.finish_reason == "length"
        raise SolutionProblem(
            "The answer was cut off, since it was too long: write shorter files."
            if cut_off
            else "The last block is not closed by a line of its own with as many backticks as opened it."
        )
    files: dict[str, str] = {}
    command: str | None = None
    plan = ""
    for block in blocks:
        header = _header(block)
        if header is None:
            # A snippet that explains the plan is part of it.
            continue
        if not files and command is None:
            plan = block.before[: header.start()].strip()
        if header[1] == "RUN":
            if command is not None:
                raise SolutionProblem("There is more than one RUN: put all into one block.")
            command = block.content.strip()
        else:
            path = _checked_path(header[2])
            if path in files:
                raise SolutionProblem(f"The file {path} is there twice.")
            files[path] = block.content
    if not files:
        raise SolutionProblem("There is no file: write a line FILE: with its path, and then its content as a block.")
    if len(files) > _MOST_FILES:
        raise SolutionProblem(f"There are {len(files)} files: at most {_MOST_FILES} at a time.")
    return Solution(plan, files, command or _own_command(files, task))


def _header(block: Block) -> re.Match[str] | None:
    """Return the last line before a block that says what it is, if nothing but white space follows it."""
    found = list(_HEADER.finditer(block.before))
    return found[-1] if found and not block.before[found[-1].end() :].strip() else None


def _checked_path(written: str) -> str:
    # Not the underscores, which names such as `__init__.py` begin with.
    path = written.strip("`*\"' \t\r")
    normal = posixpath.normpath(path) if path else ""
    if not normal or normal.startswith(("/", "../")) or normal in (".", "..") or "\0" in normal:
        raise SolutionProblem(f"FILE: {written.strip()[:100]!r} is no path of a file in the workspace.")
    return normal


def _own_command(files: dict[str, str], task: TaskView) -> str | None:
    """Return what to run where the model does not say it: the script that it wrote, unless it wrote a submission."""
    if set(files) & set(task.submission_files):
        return None
    if task.baseline_script in files:
        return f"python3 {shlex.quote(task.baseline_script)}"
    scripts = [path for path in files if path.endswith(".py")]
    if len(scripts) == 1:
        return f"python3 {shlex.quote(scripts[0])}"
    raise SolutionProblem("It is not clear what to run: write a line RUN: and then a block with the command.")
