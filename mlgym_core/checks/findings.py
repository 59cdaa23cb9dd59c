"""What checks report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The outcome of one check.

    Attributes:
        task: The task's id.
        variant: Its variant.
        check: Name of the check.
        outcome: Whether it passed; `skipped` if it could not be made.
        detail: What was found, in a sentence.
        remedy: What to do about it, if it did not pass.
    """

    task: str
    variant: str
    check: str
    outcome: Outcome
    detail: str
    remedy: str = ""


class CheckFailed(Exception):  # noqa: N818 - a verdict on the task, no error of the check
    """A check did not pass.

    Args:
        detail: What was found.
        remedy: What to do about it.
    """

    def __init__(self, detail: str, remedy: str) -> None:
        super().__init__(detail)
        self.remedy = remedy


class CheckSkipped(Exception):  # noqa: N818 - likewise
    """A check could not be made; the message says why."""
