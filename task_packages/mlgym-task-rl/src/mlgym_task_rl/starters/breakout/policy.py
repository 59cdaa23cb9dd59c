"""The policies: how the paddle moves, by neural networks whose weights are in weights.npz."""

from pathlib import Path
from typing import Any

import numpy as np

with np.load(Path(__file__).with_name("weights.npz"), allow_pickle=False) as file:
    WEIGHTS = {name: file[name] for name in file.files}

# From -9 to 9 columns.
DISTANCES = np.eye(19, dtype=np.float32)

POLICIES, EPISODES = 5, 256
CHANCE = np.random.default_rng(0)


def reset(policies: int, episodes: int, seed: int) -> None:
    """Begin new episodes. These policies remember nothing, but draw their moves."""
    global POLICIES, EPISODES, CHANCE
    POLICIES, EPISODES, CHANCE = policies, episodes, np.random.default_rng(seed)


def act(observations: bytes) -> np.ndarray:
    """Return the move in each episode of each policy: 0 to stay, 1 to the left, 2 to the right."""

    def layer(name: str, values: Any) -> Any:
        return values @ WEIGHTS[f"{name}_weights"] + WEIGHTS[f"{name}_biases"][:, None]

    seen = np.frombuffer(observations, np.float32).reshape(POLICIES, EPISODES, 10, 10, 4)
    distance = seen[..., 1].sum(axis=-2).argmax(axis=-1) - seen[..., 9, :, 0].argmax(axis=-1)
    # As in training: the ball's column, seen from the paddle, besides all that is seen.
    values: Any = np.concatenate([seen.reshape(POLICIES, EPISODES, -1), DISTANCES[9 + distance]], axis=-1)
    for name in ("hidden_0", "hidden_1"):
        values = np.maximum(layer(name, values), 0)
    logits = layer("actor", values)
    # The largest of logits to which such noise was added is a draw from their distribution.
    moves: np.ndarray = np.argmax(logits + CHANCE.gumbel(size=logits.shape), axis=-1)
    return moves
