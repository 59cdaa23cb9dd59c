"""Try the model of model.py as the grader does, on a part of the training documents that train.py left out.

Usage: python3 try_it.py [SEQUENCES], 8 of them unless given.
"""

import sys
import time
from pathlib import Path

import model
import numpy as np
from scoring import losses

LENGTH = 512
VOCABULARY = 2048
END_OF_TEXT = VOCABULARY - 1


def held_out(count: int) -> np.ndarray:
    """Return sequences of tokens from the last of twenty parts, each as if a document began there."""
    files = sorted(Path().glob("train_*.npy"))
    tokens = np.concatenate([np.load(file, mmap_mode="r") for file in files])
    rest = tokens[-(len(tokens) // 20) :]
    starts = np.linspace(0, len(rest) - LENGTH, count).astype(int)
    return np.stack([np.concatenate([[END_OF_TEXT], rest[start : start + LENGTH]]) for start in starts])


def main(count: int) -> None:
    """Print the loss."""
    sequences = held_out(count)
    model.begin(count, LENGTH, VOCABULARY)
    began = time.monotonic()
    found = losses(sequences, VOCABULARY, model.predict)
    print(f"val_loss: {found.mean():.4f} ± {found.mean(axis=1).std() / count**0.5:.4f}")
    print(f"{found.size:,} tokens in {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8)
