"""Every exception that mlgym raises on purpose.

A message says what happened and what the reader can do about it. The command line turns each class into the
exit code it carries, so that no command ends in a traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar


class MlgymError(Exception):
    """Base of all errors of mlgym; `exit_code` is what the command line ends with."""

    exit_code: ClassVar[int] = 1


class UsageError(MlgymError):
    """The request itself cannot be carried out as asked: a wrong option, value or combination."""

    exit_code: ClassVar[int] = 2


class UnknownNameError(UsageError):
    """No such task, agent, tool, …; the message suggests near misses.

    Args:
        kind: What was looked up, in the singular (`"task"`).
        name: What the user wrote.
        suggestions: Existing names that look like it, best first.
        remedy: A sentence on how to see what exists.
    """

    def __init__(self, kind: str, name: str, suggestions: Iterable[str] = (), remedy: str = "") -> None:
        self.kind = kind
        self.name = name
        self.suggestions = tuple(suggestions)
        message = f"There is no {kind} {name!r}."
        if self.suggestions:
            message += f" Did you mean {' or '.join(repr(suggestion) for suggestion in self.suggestions)}?"
        if remedy:
            message += f" {remedy}"
        super().__init__(message)


class ConflictError(UsageError):
    """Two distributions provide the same id, so that neither can be used."""


class ConfigurationError(UsageError):
    """A setting (flag, environment variable or `mlgym.toml`) is not valid."""


class PluginError(MlgymError):
    """A plugin could not be loaded, or what it registered could not be imported."""


class SandboxUnavailableError(UsageError):
    """The sandbox asked for does not work on this machine; the message names the remedy."""


class CapabilityError(UsageError):
    """A sandbox was asked for something that it states it cannot do."""


class DataError(MlgymError):
    """A dataset cannot be had, or what was had is not the dataset. The message names the remedy."""


class InfrastructureError(MlgymError):
    """Something that is nobody's submission broke: a sandbox, a grader, a disk. Never a score."""


class SandboxError(InfrastructureError):
    """A sandbox, or a process in it, could not be started or died on its own."""


class GraderError(InfrastructureError):
    """The grader itself failed (as opposed to finding the submission invalid)."""


class ModelError(InfrastructureError):
    """The provider of a language model failed, even after having been tried again."""


class ContextTooLong(ModelError):  # noqa: N818 - what is too long, in a word
    """A conversation does not fit into a model's context. Shorten it and ask again."""


class RequestRefused(ModelError):  # noqa: N818 - what happened, in a word
    """The provider refused what it was asked, and would do so again: the fault lies with the request."""


class BudgetExhausted(MlgymError):  # noqa: N818 - what happened, in a word
    """A limit on time, tokens or money is reached, or the next call of a model would exceed it.

    Args:
        limit: Its name, such as `max_cost`.
        message: What it is and what was used, in a sentence.
    """

    def __init__(self, limit: str, message: str) -> None:
        super().__init__(message)
        self.limit = limit


class InvalidSubmission(MlgymError):  # noqa: N818 - a verdict on the submission more than an error of ours
    """The submission cannot be graded; `str(error)` is the reason, written for the agent to read.

    Tasks raise it while grading. It is an outcome, never a score.
    """

    exit_code: ClassVar[int] = 3


class ToolError(MlgymError):
    """A tool could not do what its arguments asked for; the message is what the agent reads."""


class EpisodeOver(MlgymError):  # noqa: N818 - the name in the public contract
    """`step` was called after the episode ended; call `reset` first."""
