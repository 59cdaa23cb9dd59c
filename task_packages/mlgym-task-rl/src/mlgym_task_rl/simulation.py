"""Many episodes of a gymnax environment at the same time, step by step. The grader plays them; agents get a copy."""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
import numpy as np

POLICIES = 5
EPISODES = 256
"""How many policies are graded, and in how many episodes each, as in the paper that introduced the tasks."""

Act = Callable[[np.ndarray], Any]
"""Answers observations of the shape (policies, episodes, …) with an action for each, as nested lists."""


class IllegalActions(ValueError):  # noqa: N818 - an answer that was given
    """An answer that is not one action for each episode."""


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
        self._is_discrete = hasattr(space, "n")
        self._lowest: float
        self._highest: float
        self._lowest, self._highest = (0, space.n - 1) if self._is_discrete else (float(space.low), float(space.high))
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
        actions = self._actions(answer)
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

    def _actions(self, answer: Any) -> np.ndarray:
        policies, episodes = self._shape
        if type(answer) is not list or len(answer) != policies:
            raise IllegalActions(f"{_shown(answer)}; expected {policies} lists, one for each policy")
        kinds = {int} if self._is_discrete else {int, float}
        for policy, actions in enumerate(answer):
            if type(actions) is not list or len(actions) != episodes:
                raise IllegalActions(
                    f"{_shown(actions)} for policy {policy}; expected {episodes} numbers, one for each episode"
                )
            if set(map(type, actions)) <= kinds and all(self._lowest <= action <= self._highest for action in actions):
                continue
            episode, action = next(
                (episode, action)
                for episode, action in enumerate(actions)
                if type(action) not in kinds or not self._lowest <= action <= self._highest
            )
            raise IllegalActions(
                f"{_shown(action)} for policy {policy} in episode {episode}; expected "
                f"{'an integer' if self._is_discrete else 'a number'} from {self._lowest:g} to {self._highest:g}"
            )
        return np.array(answer, np.int32 if self._is_discrete else np.float32)


def _shown(value: Any) -> str:
    if type(value) is list:
        return f"a list of {len(value)}"
    return reprlib.repr(value)
