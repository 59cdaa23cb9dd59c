"""What checks report, and how they are run one after another."""

from __future__ import annotations

import abc
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from mlgym_core.errors import MlgymError
from mlgym_core.loading import one_line

Outcome = Literal["passed", "failed", "skipped"]
CheckedKind = Literal["task", "agent", "tool", "metric", "sandbox", "plugin"]
Check = tuple[str, Callable[[], Awaitable[str]]]
"""The name of a check, and what makes it: it returns what was found in a sentence, or raises."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The outcome of one check.

    Attributes:
        kind: A `task`, `agent`, `tool`, `metric` or `sandbox`; or a `plugin` that could not be loaded.
        id: Its id.
        variant: The task's variant; None for all other kinds.
        check: Name of the check.
        outcome: Whether it passed; `skipped` if it could not be made.
        detail: What was found, in a sentence.
        remedy: What to do about it, if it did not pass.
    """

    kind: CheckedKind
    id: str
    variant: str | None
    check: str
    outcome: Outcome
    detail: str
    remedy: str = ""


class CheckFailed(Exception):  # noqa: N818 - a verdict on what is checked, no error of the check
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


class Checks(abc.ABC):
    """The checks of one registered thing. Run `all`.

    Class attributes:
        kind: What kind of thing.

    Args:
        name: Its id.
        variant: The variant, of tasks.

    Attributes:
        goes_on: Whether something that was checked cannot be stopped, so that this process can only be left.
    """

    kind: CheckedKind

    def __init__(self, name: str, variant: str | None = None) -> None:
        self.id = name
        self.variant = variant
        self.goes_on = False

    @abc.abstractmethod
    def checks(self) -> Sequence[Check]:
        """Return the checks, in order."""

    def later_checks(self) -> Sequence[Check]:
        """Return those that are known only after the others."""
        return ()

    async def close(self) -> None:
        """Remove what the checks left."""

    async def all(self) -> AsyncIterator[Finding]:
        """Yield the finding of each check. Later checks are skipped where they need what an earlier one did not get."""
        try:
            for name, check in self.checks():
                yield await self._finding(name, check)
            for name, check in self.later_checks():
                yield await self._finding(name, check)
        finally:
            await self.close()

    async def _finding(self, name: str, check: Callable[[], Awaitable[str]]) -> Finding:
        outcome, detail, remedy = await _outcome_of(check)
        return Finding(
            kind=self.kind, id=self.id, variant=self.variant, check=name, outcome=outcome, detail=detail, remedy=remedy
        )


async def _outcome_of(check: Callable[[], Awaitable[str]]) -> tuple[Outcome, str, str]:
    try:
        return "passed", await check(), ""
    except CheckSkipped as reason:
        return "skipped", str(reason), ""
    except CheckFailed as problem:
        return "failed", str(problem), problem.remedy
    except MlgymError as error:
        return "failed", str(error), "This is an error of the framework or of the plugin's code."
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's code raises anything
        return "failed", one_line(error), "The plugin's code raised it: mend that."
