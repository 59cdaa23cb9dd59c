"""What an episode and a run may use."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from mlgym_core.errors import UsageError
from mlgym_core.types import ExitReason

_WHOLE = ("max_steps", "max_tokens", "max_run_tokens")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one episode; None means no limit. Reaching one ends it, and what is in the workspace is graded.

    Attributes:
        max_steps: Actions.
        max_time: Wall time from reset, in seconds.
        max_working_time: Wall time from reset without that in which a language model was waited for, in seconds.
        max_processor_time: Processor time of all processes that the agent starts, in seconds.
        max_validations: Validations under protocol `strict`. Further ones are refused; the episode goes on.
        max_cost: Cost of model calls, in US dollars.
        max_tokens: Tokens of model calls, prompts and completions together.
        action_timeout: Wall time of one action, in seconds. The action is ended; the episode goes on.
    """

    max_steps: int = 50
    max_time: float | None = None
    max_working_time: float | None = None
    max_processor_time: float | None = None
    max_validations: int | None = 20
    max_cost: float | None = None
    max_tokens: int | None = None
    action_timeout: float = 1800.0

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, kw_only=True)
class RunLimits:
    """Limits of all episodes of a run together; None means no limit.

    Reaching one ends the episodes that are going on, which are graded, and no further ones begin.

    Attributes:
        max_run_cost: Cost of model calls, in US dollars.
        max_run_tokens: Tokens of model calls, prompts and completions together.
        max_run_time: Wall time while episodes go on, in seconds.
    """

    max_run_cost: float | None = None
    max_run_tokens: int | None = None
    max_run_time: float | None = None

    def __post_init__(self) -> None:
        _check(self)


def exit_reason_of(limit: str) -> ExitReason:
    """Return the exit reason of an episode that a limit ended, such as `max_time` for `max_working_time`."""
    if limit.endswith("_time"):
        return "max_time"
    if limit.endswith("_cost"):
        return "max_cost"
    return "max_tokens" if limit.endswith("_tokens") else "max_steps"


def _check(limits: Any) -> None:
    for limit in fields(limits):
        value = getattr(limits, limit.name)
        lowest = 0 if limit.name == "max_validations" else 1 if limit.name in _WHOLE else 0.0
        is_number = value is None or math.isfinite(value)
        if not is_number or (value is not None and (value < lowest or (isinstance(lowest, float) and value == 0.0))):
            raise UsageError(f"{limit.name} is {value}: it must be positive.")
