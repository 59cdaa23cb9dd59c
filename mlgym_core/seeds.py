"""Where all randomness of an episode and its grading comes from."""

from __future__ import annotations

import hashlib
import json
import os

GRADING_KEY_VARIABLE = "MLGYM_GRADING_KEY"
"""A secret that goes into the seeds of graders and the order of rows in splits, so that nobody can foresee them."""
_DEFAULT_KEY = "mlgym"


def grading_key() -> bytes:
    """Return the key of all hashes that randomness comes from: the variable `MLGYM_GRADING_KEY`, or a public one."""
    return os.environ.get(GRADING_KEY_VARIABLE, _DEFAULT_KEY).encode()


def has_own_key() -> bool:
    """Return whether `MLGYM_GRADING_KEY` makes draws and splits others than those of the world."""
    return grading_key() != _DEFAULT_KEY.encode()


def derive_seed(purpose: str, *, seed: int, task: str, variant: str, repeat: int = 0, split: str = "") -> int:
    """Return a 64-bit seed for one purpose, by a keyed hash (BLAKE2b) of what it depends on.

    It does not depend on the agent, so that agents are compared on the same draws. The key is the environment
    variable `MLGYM_GRADING_KEY`; set it to a secret where agents might know this code and guess the run's seed.
    """
    text = json.dumps([purpose, seed, task, variant, repeat, split]).encode()
    key = hashlib.sha256(grading_key()).digest()
    return int.from_bytes(hashlib.blake2b(text, key=key, digest_size=8).digest(), "big")
