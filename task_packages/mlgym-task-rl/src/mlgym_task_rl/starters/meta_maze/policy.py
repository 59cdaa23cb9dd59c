"""The policies: where to go in the maze, by recurrent neural networks whose weights are in weights.npz."""

from pathlib import Path
from typing import Any

import numpy as np

with np.load(Path(__file__).with_name("weights.npz"), allow_pickle=False) as file:
    WEIGHTS = {name: file[name] for name in file.files}

# An observation has the 3 × 3 cells around, the last of 4 moves, what it earned, and the time.
SCALE = np.array([1.0] * 13 + [10.0, 200.0], np.float32)

MEMORY: Any = np.zeros((5, 256, 0))
CHANCE = np.random.default_rng(0)


def reset(policies: int, episodes: int, seed: int) -> None:
    """Begin new episodes, of which nothing is remembered."""
    global MEMORY, CHANCE
    MEMORY = np.zeros((policies, episodes, WEIGHTS["memory_weights"].shape[1]), np.float32)
    CHANCE = np.random.default_rng(seed)


def act(observations: bytes) -> np.ndarray:
    """Return the move in each episode of each policy: 0 is up, 1 right, 2 down and 3 left."""
    global MEMORY

    def layer(name: str, values: Any) -> Any:
        return values @ WEIGHTS[f"{name}_weights"] + WEIGHTS[f"{name}_biases"][:, None]

    values = np.frombuffer(observations, np.float32).reshape(*MEMORY.shape[:2], -1) / SCALE
    new, keep, use = np.split(layer("input", values), 3, axis=-1)
    old, kept, used = np.split(layer("memory", MEMORY), 3, axis=-1)
    share = sigmoid(keep + kept)
    MEMORY = share * MEMORY + (1 - share) * np.tanh(new + sigmoid(use + used) * old)
    logits = layer("actor", MEMORY)
    # The largest of logits to which such noise was added is a draw from their distribution.
    moves: np.ndarray = np.argmax(logits + CHANCE.gumbel(size=logits.shape), axis=-1)
    return moves


def sigmoid(values: Any) -> Any:
    """Return 1 / (1 + exp(-values)), without overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * values)
