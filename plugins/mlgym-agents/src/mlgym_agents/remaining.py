"""What an episode has left, in words for its model."""

from __future__ import annotations

from mlgym_core import AsyncEnv


def remaining(env: AsyncEnv, *, validates: bool) -> list[str]:
    """Return what the episode has left of each thing that is limited, such as `3 steps` and `0.5 USD`.

    Args:
        env: The environment.
        validates: Whether the model can have its work validated.
    """
    parts = [_counted(env.observation.steps_left, "step")]
    if validates and env.validations_left is not None:
        parts.append(_counted(env.validations_left, "validation"))
    if env.seconds_left is not None:
        parts.append(_duration(env.seconds_left))
    if env.working_seconds_left is not None:
        parts.append(f"{_duration(env.working_seconds_left)} of working time (that in which you think does not count)")
    if env.model is not None and env.model.cost_left_usd is not None:
        parts.append(_money(env.model.cost_left_usd))
    if env.model is not None and env.model.tokens_left is not None:
        parts.append(f"{env.model.tokens_left:,} tokens")
    return parts


def remaining_line(env: AsyncEnv, *, validates: bool) -> str:
    """Return the same as a line for the end of a message."""
    return f"[Left: {', '.join(remaining(env, validates=validates))}]"


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _money(dollars: float) -> str:
    """Return an amount as people write it, also a small one."""
    if dollars >= 0.1:
        return f"{dollars:.2f} USD"
    return f"{dollars:.6f}".rstrip("0").rstrip(".") + " USD" if dollars >= 1e-6 else "less than 0.000001 USD"


def _duration(seconds: float) -> str:
    """Return a duration as people say it: no more precise than helps to plan."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
