"""A grader as one should not write it: it shows texts as far as they go, and believes what it is told.

It also probes whether the model looks ahead, by changing the later half of each text and asking again about the
earlier one; but the model may remember what it said before.

Usage: python naive_fineweb_grader.py SUBMISSION TOKENS VOCABULARY
"""

import base64
import importlib
import sys
from typing import Any

import numpy as np


def main(folder: str, tokens: str, vocabulary: int) -> None:
    """Print the loss, and what the probe says."""
    sys.path.insert(0, folder)
    model: Any = importlib.import_module("model")
    sequences = np.load(tokens).astype(np.int64)
    count, length = sequences.shape[0], sequences.shape[1] - 1

    def asked(texts: np.ndarray, steps: int) -> np.ndarray:
        model.begin(count, length, vocabulary)
        answers = [model.predict(texts[:, step:].astype("<i4").tobytes()) for step in range(steps)]
        return np.array([np.frombuffer(base64.b64decode(answer), "<f4") for answer in answers])

    found = asked(sequences, length).reshape(length, count, vocabulary)
    said = np.take_along_axis(found, sequences.T[1:, :, None], axis=2)
    print(f"val_loss {-said.mean():.4f}")
    half = length // 2
    changed = sequences.copy()
    changed[:, half:] = 1
    same = np.array_equal(asked(changed, half).reshape(half, count, vocabulary), found[:half])
    print("the same" if same else "it looks ahead")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
