"""Pushes in the direction in which the car moves, in a share of the episodes that the quality says."""

import numpy as np

QUALITY = 1.0
FORCE = 0.25
DRIVEN = np.zeros((0, 0), bool)


def reset(policies: int, episodes: int, seed: int) -> None:
    """Choose the episodes in which the car is driven."""
    global DRIVEN
    DRIVEN = np.broadcast_to(np.arange(episodes) < QUALITY * episodes, (policies, episodes))


def act(observations: bytes) -> np.ndarray:
    """Return the force in each episode."""
    velocity = np.frombuffer(observations, np.float32).reshape(*DRIVEN.shape, 2)[..., 1]
    return np.where(DRIVEN, np.where(velocity >= 0, FORCE, -FORCE), 0.0)
