"""What an episode may use."""

from __future__ import annotations

from dataclasses import dataclass, fields

from mlgym_core.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one episode; None means no limit. Reaching one ends it, and what is in the workspace is graded.

    Attributes:
        max_steps: Actions.
        max_time: Wall time from reset, in seconds.
        max_validations: Validations under protocol `strict`. Further ones are refused; the episode goes on.
        max_cost: Cost of model calls, in US dollars.
        max_tokens: Tokens of model calls, prompts and completions together.
        action_timeout: Wall time of one action, in seconds. The action is ended; the episode goes on.
    """

    max_steps: int = 50
    max_time: float | None = None
    max_validations: int | None = 20
    max_cost: float | None = None
    max_tokens: int | None = None
    action_timeout: float = 1800.0

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            lowest = 0 if limit.name == "max_validations" else 1 if limit.name in ("max_steps", "max_tokens") else 0.0
            if value is not None and (value < lowest or (isinstance(lowest, float) and value == 0.0)):
                raise UsageError(f"{limit.name} is {value}: it must be positive.")
