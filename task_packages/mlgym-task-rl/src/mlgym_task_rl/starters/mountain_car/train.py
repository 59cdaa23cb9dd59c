"""Trains the policies by proximal policy optimisation (PPO) and writes their weights to weights.npz.

The lines marked "tunable" declare parameters: values that may be changed within the range given there.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import ppo

# Steps that each policy learns from. The task's budget is what the description says.
STEPS = 500_000  # tunable: int 100000 to 20000000

# How many episodes are played at the same time, and how many steps of each before the policy is changed.
EPISODES = 32  # tunable: int 8 to 256
ROLLOUT = 512  # tunable: int 16 to 1024

# How often each step is learned from.
EPOCHS = 4  # tunable: int 1 to 10

LEARNING_RATE = 0.0003  # tunable: float 0.0001 to 0.01
DISCOUNT = 0.999  # tunable: float 0.9 to 0.9999
TRACE = 0.95  # tunable: float 0 to 1
CLIP = 0.2  # tunable: float 0.05 to 0.5

# What it is worth to act at random, and how randomly the policies act at first.
ENTROPY = 0.0  # tunable: float 0 to 0.05
DEVIATION = 1.0  # tunable: float 0.1 to 3

# Neurons of each of the two hidden layers.
NEURONS = 32  # tunable: int 8 to 128

POLICIES = 5
SEED = 0


class Network:
    """Two hidden layers for the force, and as many for what is still to be earned."""

    def parameters(self, key: jax.Array) -> Any:
        """Draw the weights of all layers."""
        sizes = (2, NEURONS, NEURONS, 1)
        parameters = {"log_deviation": jnp.log(DEVIATION)}
        for part, part_key in zip(("actor", "critic"), jax.random.split(key), strict=True):
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
        """Return the distributions of the force, and the estimates."""
        scaled = (observations - jnp.array([-0.3, 0.0])) / jnp.array([0.9, 0.07])

        def layers(part: str) -> jax.Array:
            values = scaled
            for layer in range(3):
                values = values @ parameters[f"{part}_weights_{layer}"] + parameters[f"{part}_biases_{layer}"]
                values = jnp.tanh(values) if layer < 2 else values
            return values[..., 0]

        return memory, ppo.Normal(layers("actor"), parameters["log_deviation"]), layers("critic")


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
    parameters = ppo.train(
        "MountainCarContinuous-v0", Network(), settings, POLICIES, SEED, lambda force: jnp.clip(force, -1, 1)
    )
    np.savez("weights.npz", **{name: values for name, values in parameters.items() if not name.startswith("critic")})


if __name__ == "__main__":
    main()
