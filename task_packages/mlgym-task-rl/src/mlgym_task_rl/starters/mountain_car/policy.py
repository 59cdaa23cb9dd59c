"""The policies: how the engine pushes, by neural networks whose weights are in weights.npz."""

from pathlib import Path
from typing import Any

import numpy as np

with np.load(Path(__file__).with_name("weights.npz"), allow_pickle=False) as file:
    WEIGHTS = {name: file[name] for name in file.files}

POLICIES, EPISODES = 5, 256


def reset(policies: int, episodes: int, seed: int) -> None:
    """Begin new episodes. These policies remember nothing, and draw nothing."""
    global POLICIES, EPISODES
    POLICIES, EPISODES = policies, episodes


def act(observations: bytes) -> np.ndarray:
    """Return the force in each episode of each policy, from -1 to 1."""
    values: Any = np.frombuffer(observations, np.float32).reshape(POLICIES, EPISODES, 2)
    values = (values - np.array([-0.3, 0.0], np.float32)) / np.array([0.9, 0.07], np.float32)
    for layer in range(3):
        values = values @ WEIGHTS[f"actor_weights_{layer}"] + WEIGHTS[f"actor_biases_{layer}"][:, None]
        values = np.tanh(values) if layer < 2 else values
    forces: np.ndarray = np.clip(values[..., 0], -1.0, 1.0)
    return forces
