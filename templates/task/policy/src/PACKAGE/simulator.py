"""A pole on a cart, which is pushed to the left or to the right. The grader steps through it; agents get a copy to try.

Replace this: a simulator of your own. Keep it free of what a submission could reach: the grader alone calls it.
"""

from __future__ import annotations

import math
import random

LONGEST_EPISODE = 200
FARTHEST = 2.4
"""How far from the middle the cart may be, in metres."""
STEEPEST = math.radians(12)
"""How far from upright the pole may lean."""

_SECONDS = 0.02
_FORCE = 10.0
_GRAVITY = 9.8
_CART_MASS, _POLE_MASS, _HALF_LENGTH = 1.0, 0.1, 0.5
_MASS = _CART_MASS + _POLE_MASS


class Simulator:
    """One episode after another.

    The equations are those of Barto, Sutton and Anderson (1983), without friction.

    Args:
        generator: Draws where episodes begin.
    """

    def __init__(self, generator: random.Random) -> None:
        self._generator = generator
        self._state = [0.0, 0.0, 0.0, 0.0]
        self._steps = 0

    def reset(self) -> list[float]:
        """Begin an episode near the upright position, and return the observation."""
        self._state = [self._generator.uniform(-0.05, 0.05) for _ in range(4)]
        self._steps = 0
        return list(self._state)

    def step(self, action: int) -> tuple[list[float], float, bool]:
        """Push the cart to the left (0) or to the right (1), and return observation, reward, and whether it is over."""
        position, velocity, angle, turning = self._state
        force = _FORCE if action == 1 else -_FORCE
        push = (force + _POLE_MASS * _HALF_LENGTH * turning**2 * math.sin(angle)) / _MASS
        inertia = _HALF_LENGTH * (4 / 3 - _POLE_MASS * math.cos(angle) ** 2 / _MASS)
        turning_change = (_GRAVITY * math.sin(angle) - math.cos(angle) * push) / inertia
        velocity_change = push - _POLE_MASS * _HALF_LENGTH * turning_change * math.cos(angle) / _MASS
        self._state = [
            position + _SECONDS * velocity,
            velocity + _SECONDS * velocity_change,
            angle + _SECONDS * turning,
            turning + _SECONDS * turning_change,
        ]
        self._steps += 1
        fallen = abs(self._state[0]) > FARTHEST or abs(self._state[2]) > STEEPEST
        return list(self._state), 1.0, fallen or self._steps >= LONGEST_EPISODE
