"""Follows the ball with the paddle, in a share of the episodes that the quality says, and leaves it alone in others."""

import numpy as np

QUALITY = 1.0
PLAYED = np.zeros((0, 0), bool)
STAY, LEFT, RIGHT = 0, 1, 2


def reset(policies: int, episodes: int, seed: int) -> None:
    """Choose the episodes in which the paddle follows the ball."""
    global PLAYED
    PLAYED = np.broadcast_to(np.arange(episodes) < QUALITY * episodes, (policies, episodes))


def act(observations: bytes) -> np.ndarray:
    """Return the move in each episode."""
    seen = np.frombuffer(observations, np.float32).reshape(*PLAYED.shape, 10, 10, 4)
    # The first channel has the paddle in the lowest row, the second one the ball.
    distance = seen[..., 1].sum(axis=-2).argmax(axis=-1) - seen[..., 9, :, 0].argmax(axis=-1)
    return np.where(PLAYED & (distance != 0), np.where(distance < 0, LEFT, RIGHT), STAY)
