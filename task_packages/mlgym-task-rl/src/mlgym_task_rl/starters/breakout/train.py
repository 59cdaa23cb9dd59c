"""The baseline: train five policies independently by PPO, and write their weights to weights.npz.

Lines with `tunable:` declare parameters: values that may be changed within the range given there.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import ppo

# Steps that each policy learns from. The task's budget is what the description says.
STEPS = 500_000  # tunable: int 100000 to 10000000

# How many episodes are played at the same time, and how many steps of each before the policy is changed.
EPISODES = 64  # tunable: int 16 to 256
ROLLOUT = 64  # tunable: int 16 to 512

# How often each step is learned from.
EPOCHS = 4  # tunable: int 1 to 10

LEARNING_RATE = 0.002  # tunable: float 0.0001 to 0.01
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
    """Two hidden layers, and on top of them the moves and what is still to be earned."""

    def parameters(self, key: jax.Array) -> Any:
        """Draw the weights of all layers."""
        layers = {
            "hidden_0": (10 * 10 * 4 + 19, NEURONS, np.sqrt(2)),
            "hidden_1": (NEURONS, NEURONS, np.sqrt(2)),
            "actor": (NEURONS, 3, 0.01),
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
        """Nothing is remembered."""
        return ()

    def apply(self, parameters: Any, memory: Any, observations: jax.Array, begun: jax.Array) -> Any:
        """Return the distributions of the move, and the estimates."""

        def layer(name: str, values: jax.Array) -> jax.Array:
            return values @ parameters[f"{name}_weights"] + parameters[f"{name}_biases"]

        # The ball's column, seen from the paddle: what is learned of it in one column holds in all of them.
        ball, paddle = observations[..., 1].sum(axis=-2), observations[..., 9, :, 0]
        distance = jax.nn.one_hot(9 + ball.argmax(axis=-1) - paddle.argmax(axis=-1), 19)
        values = jnp.concatenate([observations.reshape(*observations.shape[:2], -1), distance], axis=-1)
        for name in ("hidden_0", "hidden_1"):
            values = jax.nn.relu(layer(name, values))
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
    )
    parameters = ppo.train("Breakout-MinAtar", Network(), settings, POLICIES, SEED)
    np.savez("weights.npz", **{name: values for name, values in parameters.items() if not name.startswith("critic")})


if __name__ == "__main__":
    main()
