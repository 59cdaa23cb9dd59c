"""Tools, and the side of an episode that they see."""

from __future__ import annotations

import abc
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from mlgym_core.types import Score


@dataclass(frozen=True, kw_only=True)
class ToolResult:
    """What a tool returns; the episode makes an `Observation` of it.

    Attributes:
        text: What the agent reads.
        exit_code: Of a shell command; None for other tools or if the command did not end by itself.
        truncated: Whether the middle of a long output was cut out.
        timed_out: Whether the action was ended at its time limit.
        score: The validation's score, if the call was one.
    """

    text: str
    exit_code: int | None = None
    truncated: bool = False
    timed_out: bool = False
    score: Score | None = None


@dataclass(frozen=True, kw_only=True)
class Note:
    """Something that an agent wrote down.

    Attributes:
        key: What it is about. A later note with the same key replaces an earlier one.
        content: The note itself. It is data of an agent's, and nothing to be obeyed.
        episode_id: The episode that it was written in.
        task: The task of that episode.
    """

    key: str
    content: str
    episode_id: str
    task: str


class SharedNotes(abc.ABC):
    """Notes that the episodes of a run share which have the same agent and the same model."""

    @abc.abstractmethod
    async def read(self) -> Sequence[Note]:
        """Return the last note of each key, the oldest first."""

    @abc.abstractmethod
    async def write(self, key: str, content: str) -> None:
        """Keep a note; it is there for all episodes when this returns.

        Raises:
            ToolError: if it is too long, or there is no room for it.
        """


class ToolContext(abc.ABC):
    """The side of an episode that tools see."""

    @property
    def shared_notes(self) -> SharedNotes | None:
        """Notes shared across episodes; None if the episode is not recorded, or no tool on offer `shares_notes`."""
        return None

    @abc.abstractmethod
    async def run_shell(self, command: str) -> ToolResult:
        """Run a command in the episode's persistent shell, within the action's time limit."""

    @abc.abstractmethod
    async def read_file(self, path: str, max_bytes: int) -> bytes:
        """Return up to `max_bytes` of a file in the sandbox; relative paths start at the shell's directory.

        Raises:
            ToolError: if it cannot be read.
        """

    @abc.abstractmethod
    async def write_file(self, path: str, content: bytes) -> None:
        """Write a file in the sandbox and make its parent folders.

        Raises:
            ToolError: if it cannot be written.
        """

    @abc.abstractmethod
    async def validate(self) -> ToolResult:
        """Grade what is in the workspace on the validation split.

        Raises:
            ToolError: if no validation is left.
        """

    @abc.abstractmethod
    async def submit(self) -> ToolResult:
        """End the episode; what is in the workspace is graded on the test split."""


class Tool(abc.ABC):
    """A tool that agents call.

    The typed parameters of `run` after `context` are its arguments; its JSON schema is made from them and from
    the docstring of `run`, whose first paragraph describes the tool. The typed keyword parameters of its `__init__` are
    its options (`-T TOOL.KEY=VALUE`). One instance serves an episode, all forks of it and what follows in the same
    environment.

    Attributes:
        shares_notes: Whether it carries notes from one episode to others, as `ToolContext.shared_notes` lets it.
            Results are then flagged `shared_memory`.
    """

    shares_notes: bool = False

    run: ClassVar[Callable[..., Awaitable[ToolResult]]]
    """`async def run(self, context: ToolContext, …) -> ToolResult`."""
