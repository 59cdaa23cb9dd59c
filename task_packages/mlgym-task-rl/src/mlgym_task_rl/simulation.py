"""Many episodes of a gymnax environment at the same time, step by step. The grader plays them; agents get a copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
import numpy as np

from mlgym_task_rl.actions import ActionSpace

Act = Callable[[np.ndarray], Any]
"""Answers observations of the shape (policies, episodes, …) with an action for each, as nested lists."""


class Simulation:
    """Episodes of one environment, the same number for each of several policies.

    An episode that is over stays in the batch, so that its shape never changes; what it earns from then on is not
    counted.

    Args:
        environment: Its name in gymnax.
        policies: How many policies play.
        episodes: How many episodes each of them plays.

    Attributes:
        returns: What each episode has earned so far, of the shape (policies, episodes).
        steps: How many steps were made.
    """

    def __init__(self, environment: str, policies: int, episodes: int) -> None:
        self._environment, self._parameters = gymnax.make(environment)
        self._shape = (policies, episodes)
        space = self._environment.action_space(self._parameters)
        if hasattr(space, "n"):
            self._actions = ActionSpace(0, int(space.n) - 1, is_discrete=True)
        else:
            self._actions = ActionSpace(float(space.low), float(space.high), is_discrete=False)
        self._reset = jax.jit(jax.vmap(self._environment.reset, in_axes=(0, None)))
        self._step = jax.jit(self._advance)

    def reset(self, seed: int) -> np.ndarray:
        """Begin all episodes, and return what is observed.

        Args:
            seed: 64-bit integer; everything random in the episodes derives from it.
        """
        # `jax.random.key` would drop the upper half of the seed.
        key = jax.random.wrap_key_data(jnp.array([seed >> 32 & 0xFFFFFFFF, seed & 0xFFFFFFFF], jnp.uint32))
        self._key, reset_key = jax.random.split(key)
        count = self._shape[0] * self._shape[1]
        observations, self._states = self._reset(jax.random.split(reset_key, count), self._parameters)
        self._running = jnp.ones(count, bool)
        self.returns = np.zeros(self._shape)
        self.steps = 0
        return self._observed(observations)

    @property
    def is_over(self) -> bool:
        """Whether all episodes are over."""
        return not self._running.any()

    def step(self, answer: Any) -> np.ndarray:
        """Make a step in each episode, and return what is observed.

        Args:
            answer: An action for each episode, as one list for each policy.

        Raises:
            IllegalActions: if it is anything else.
        """
        self._actions.check(answer, *self._shape)
        actions = np.array(answer, np.int32 if self._actions.is_discrete else np.float32)
        self._key, step_key = jax.random.split(self._key)
        observations, self._states, earned, self._running = self._step(
            step_key, self._states, actions.reshape(-1), self._running
        )
        self.returns += np.asarray(earned, np.float64).reshape(self._shape)
        self.steps += 1
        return self._observed(observations)

    def play(self, seed: int, act: Act) -> np.ndarray:
        """Play all episodes to their end, and return what each of them earned."""
        observations = self.reset(seed)
        while not self.is_over:
            observations = self.step(act(observations))
        return self.returns

    def _advance(self, key: Any, states: Any, actions: Any, running: Any) -> Any:
        keys = jax.random.split(key, running.size)
        observations, states, rewards, terminated, truncated, _ = jax.vmap(
            self._environment.step, in_axes=(0, 0, 0, None)
        )(keys, states, actions, self._parameters)
        return observations, states, rewards * running, running & ~(terminated | truncated)

    def _observed(self, observations: Any) -> np.ndarray:
        observed = np.asarray(observations, np.float32)
        return observed.reshape(*self._shape, *observed.shape[1:])
