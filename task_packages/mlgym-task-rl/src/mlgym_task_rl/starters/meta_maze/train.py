"""The baseline: train five recurrent policies independently by PPO, and write their weights to weights.npz.

Lines with `tunable:` declare parameters: values that may be changed within the range given there.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import ppo

# Steps that each policy learns from. The task's budget is what the description says.
STEPS = 500_000  # tunable: int 100000 to 10000000

# How many episodes are played at the same time, and how many steps of each before the policy is changed. What an
# episode teaches about remembering reaches back to the beginning of such a stretch.
EPISODES = 64  # tunable: int 16 to 256
ROLLOUT = 50  # tunable: int 10 to 200

# How often each step is learned from.
EPOCHS = 4  # tunable: int 1 to 10

LEARNING_RATE = 0.001  # tunable: float 0.0001 to 0.01
DISCOUNT = 0.99  # tunable: float 0.9 to 0.9999
TRACE = 0.95  # tunable: float 0 to 1
CLIP = 0.2  # tunable: float 0.05 to 0.5

# What it is worth to act at random.
ENTROPY = 0.01  # tunable: float 0 to 0.05

# Neurons of the layer that remembers.
NEURONS = 64  # tunable: int 16 to 256

POLICIES = 5
SEED = 0

# An observation has the 3 × 3 cells around, the last of 4 moves, what it earned, and the time.
OBSERVED = 15
SCALE = np.array([1.0] * 13 + [10.0, 200.0], np.float32)


class Network:
    """A layer of gated recurrent units (GRU), and on top of it the moves and what is still to be earned."""

    def parameters(self, key: jax.Array) -> Any:
        """Draw the weights of all layers."""
        layers = {
            # Three of each: what is remembered, how much of it is forgotten, and how much of it is used.
            "input": (OBSERVED, 3 * NEURONS, 1.0),
            "memory": (NEURONS, 3 * NEURONS, 1.0),
            "actor": (NEURONS, 4, 0.01),
            "critic": (NEURONS, 1, 1.0),
        }
        parameters = {}
        for (layer, (inputs, outputs, scale)), layer_key in zip(
            layers.items(), jax.random.split(key, len(layers)), strict=True
        ):
            parameters[f"{layer}_weights"] = jax.nn.initializers.orthogonal(scale)(layer_key, (inputs, outputs))
            parameters[f"{layer}_biases"] = jnp.zeros(outputs)
        return parameters

    def memory(self, count: int) -> Any:
        """Nothing is remembered at the beginning."""
        return jnp.zeros((count, NEURONS))

    def apply(self, parameters: Any, memory: Any, observations: jax.Array, begun: jax.Array) -> Any:
        """Return what is remembered, the distributions of the move, and the estimates."""

        def layer(name: str, values: jax.Array) -> jax.Array:
            return values @ parameters[f"{name}_weights"] + parameters[f"{name}_biases"]

        def remember(memory: jax.Array, now: Any) -> Any:
            inputs, begun = now
            memory = jnp.where(begun[:, None], 0.0, memory)
            new, keep, use = jnp.split(inputs, 3, axis=-1)
            old, kept, used = jnp.split(layer("memory", memory), 3, axis=-1)
            share = jax.nn.sigmoid(keep + kept)
            memory = share * memory + (1 - share) * jnp.tanh(new + jax.nn.sigmoid(use + used) * old)
            return memory, memory

        memory, values = jax.lax.scan(remember, memory, (layer("input", observations / SCALE), begun))
        return memory, ppo.Categorical(layer("actor", values)), layer("critic", values)[..., 0]


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
        reward_scale=0.1,
    )
    parameters = ppo.train("MetaMaze-misc", Network(), settings, POLICIES, SEED)
    np.savez("weights.npz", **{name: values for name, values in parameters.items() if not name.startswith("critic")})


if __name__ == "__main__":
    main()
