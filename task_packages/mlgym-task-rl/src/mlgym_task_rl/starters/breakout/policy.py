"""The policies: how the paddle moves, by neural networks whose weights are in weights.npz."""

from pathlib import Path
from typing import Any

import numpy as np

with np.load(Path(__file__).with_name("weights.npz"), allow_pickle=False) as file:
    WEIGHTS = {name: file[name] for name in file.files}

POLICIES, EPISODES = 5, 256
CHANCE = np.random.default_rng(0)


def reset(policies: int, episodes: int, seed: int) -> None:
    """Begin new episodes. These policies remember nothing, but draw their moves."""
    global POLICIES, EPISODES, CHANCE
    POLICIES, EPISODES, CHANCE = policies, episodes, np.random.default_rng(seed)


def act(observations: bytes) -> np.ndarray:
    """Return the move in each episode of each policy: 0 to stay, 1 to the left, 2 to the right."""

    values: Any = np.frombuffer(observations, np.float32).reshape(POLICIES, EPISODES, -1)
    for layer in range(3):
        values = values @ WEIGHTS[f"actor_weights_{layer}"] + WEIGHTS[f"actor_biases_{layer}"][:, None]
        values = np.maximum(values, 0) if layer < 2 else values
    # The largest of logits to which such noise was added is a draw from their distribution.
    moves: np.ndarray = np.argmax(values + CHANCE.gumbel(size=values.shape), axis=-1)
    return moves
