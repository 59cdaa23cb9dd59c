"""What an episode has left, in words for its model."""

from __future__ import annotations

from mlgym_core import AsyncEnv


def remaining(env: AsyncEnv) -> list[str]:
    """Return what the episode has left of each thing that is limited, such as `3 steps` and `0.5 USD`."""
    parts = [_counted(env.observation.steps_left, "step")]
    if env.validations_left is not None:
        parts.append(_counted(env.validations_left, "validation"))
    if env.seconds_left is not None:
        parts.append(_duration(env.seconds_left))
    if env.working_seconds_left is not None:
        parts.append(f"{_duration(env.working_seconds_left)} of working time (that in which you think does not count)")
    if env.model is not None and env.model.cost_left_usd is not None:
        cost = env.model.cost_left_usd
        parts.append(f"{cost:.2f} USD" if cost >= 0.1 else f"{cost:.2g} USD")
    if env.model is not None and env.model.tokens_left is not None:
        parts.append(f"{env.model.tokens_left:,} tokens")
    return parts


def remaining_line(env: AsyncEnv) -> str:
    """Return the same as a line for the end of a message."""
    return f"[Left: {', '.join(remaining(env))}]"


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _duration(seconds: float) -> str:
    """Return a duration as people say it: no more precise than helps to plan."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
