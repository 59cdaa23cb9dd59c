"""The baseline: train five policies independently by PPO, and write their weights to weights.npz.

Lines with `tunable:` declare parameters: values that may be changed within the range given there.
"""

import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import ppo

# For networks as small as these, one thread is as fast as several, which were once seen to wait for ever.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

# Steps that each policy learns from. The task's budget is what the description says.
STEPS = 500_000  # tunable: int 100000 to 10000000

# How many episodes are played at the same time, and how many steps of each before the policy is changed.
EPISODES = 64  # tunable: int 16 to 256
ROLLOUT = 64  # tunable: int 16 to 512

# How often each step is learned from.
EPOCHS = 4  # tunable: int 1 to 10

LEARNING_RATE = 0.003  # tunable: float 0.0001 to 0.01
DISCOUNT = 0.99  # tunable: float 0.9 to 0.9999
TRACE = 0.95  # tunable: float 0 to 1
CLIP = 0.2  # tunable: float 0.05 to 0.5

# What it is worth to act at random.
ENTROPY = 0.01  # tunable: float 0 to 0.05

# Neurons of each of the two hidden layers.
NEURONS = 64  # tunable: int 16 to 256

POLICIES = 5
SEED = 0


class Network:
    """Two hidden layers for the moves, and as many for what is still to be earned."""

    def parameters(self, key: jax.Array) -> Any:
        """Draw the weights of all layers."""
        parameters = {}
        for (part, outputs), part_key in zip((("actor", 3), ("critic", 1)), jax.random.split(key), strict=True):
            sizes = (10 * 10 * 4, NEURONS, NEURONS, outputs)
            for layer, layer_key in enumerate(jax.random.split(part_key, 3)):
                scale = np.sqrt(2) if layer < 2 else 0.01 if part == "actor" else 1.0
                draw = jax.nn.initializers.orthogonal(scale)
                parameters[f"{part}_weights_{layer}"] = draw(layer_key, sizes[layer : layer + 2])
                parameters[f"{part}_biases_{layer}"] = jnp.zeros(sizes[layer + 1])
        return parameters

    def memory(self, count: int) -> Any:
        """Nothing is remembered."""
        return ()

    def apply(self, parameters: Any, memory: Any, observations: jax.Array, begun: jax.Array) -> Any:
        """Return the distributions of the move, and the estimates."""

        def layers(part: str) -> jax.Array:
            values = observations.reshape(*observations.shape[:2], -1)
            for layer in range(3):
                values = values @ parameters[f"{part}_weights_{layer}"] + parameters[f"{part}_biases_{layer}"]
                values = jax.nn.relu(values) if layer < 2 else values
            return values

        return memory, ppo.Categorical(layers("actor")), layers("critic")[..., 0]


def main() -> None:
    """Train and save."""
    settings = ppo.Settings(
        steps=STEPS,
        episodes=EPISODES,
        rollout=ROLLOUT,
        epochs=EPOCHS,
        minibatches=4,
        learning_rate=LEARNING_RATE,
        discount=DISCOUNT,
        trace=TRACE,
        clip=CLIP,
        entropy=ENTROPY,
    )
    parameters = ppo.train("Breakout-MinAtar", Network(), settings, POLICIES, SEED)
    np.savez("weights.npz", **{name: values for name, values in parameters.items() if not name.startswith("critic")})


if __name__ == "__main__":
    main()
