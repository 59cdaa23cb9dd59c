"""From scores to rewards.

A score is normalised so that the baseline is 0 and the reference 1, then clipped. Rewards telescope: whatever an
agent does, the rewards of an episode add up to what its final submission is worth, so that nothing can be farmed.
"""

from __future__ import annotations

import math

from mlgym_core.errors import UsageError
from mlgym_core.interfaces import Anchors
from mlgym_core.specs import Direction
from mlgym_core.types import RewardScheme

LOWEST = -1.0
HIGHEST = 2.0


def normalize(value: float, anchors: Anchors, direction: Direction) -> float:
    """Return `(φ(value) − φ(baseline)) / (φ(reference) − φ(baseline))`, unclipped.

    φ is the identity, or `−log10|value − optimum|` for tasks that state an optimum. A task without a reference
    states a scale instead, which stands for the denominator.

    Raises:
        UsageError: if the anchors give no scale.
    """

    def phi(number: float) -> float:
        if anchors.optimum is None:
            return number
        return -math.log10(max(abs(number - anchors.optimum), anchors.epsilon))

    gained = phi(value) - phi(anchors.baseline)
    if anchors.reference is not None:
        span = phi(anchors.reference) - phi(anchors.baseline)
    elif anchors.scale is not None:
        better_is_more = direction == "maximize" or anchors.optimum is not None
        span = anchors.scale if better_is_more else -anchors.scale
    else:
        raise UsageError("The task's anchors name neither a reference nor a scale.")
    if span == 0:
        raise UsageError("The task's anchors give a scale of length 0: the reference equals the baseline.")
    return gained / span


def clip(normalized: float) -> float:
    """Return a normalised score as rewards use it."""
    return min(max(normalized, LOWEST), HIGHEST)


class RewardLedger:
    """Pays the rewards of one episode.

    Args:
        scheme: `improvement` pays each validation that beats the best so far; `final` pays only at the end.
        floor: Return of an episode whose final submission is invalid.
    """

    def __init__(self, scheme: RewardScheme, floor: float) -> None:
        self._scheme = scheme
        self._floor = floor
        self._best = 0.0
        self._paid = 0.0

    def copy(self) -> RewardLedger:
        """Return a ledger that goes on from here by itself."""
        twin = RewardLedger(self._scheme, self._floor)
        twin._best, twin._paid = self._best, self._paid
        return twin

    @property
    def paid(self) -> float:
        """The sum of all rewards so far: after the end, the episode's return."""
        return self._paid

    def validation(self, normalized: float | None) -> float:
        """Return the reward of a validation with this score, None if the submission was invalid."""
        if normalized is None or self._scheme == "final":
            return 0.0
        improvement = max(clip(normalized) - self._best, 0.0)
        self._best += improvement
        self._paid += improvement
        return improvement

    def final(self, normalized: float | None) -> float:
        """Return the last reward: what the submission is worth minus what was already paid."""
        worth = self._floor if normalized is None else clip(normalized)
        reward = worth - self._paid
        self._paid = worth
        return reward
