"""How a language model is graded: token by token, each shown after its probability was said. Agents get a copy.

In each step, the model is told the next token of every sequence, and answers with the logarithms of the probabilities
of all tokens that may come after it. Only then is it told which one came. So there is no future that a model could
look at: causality needs no probe, since it follows from the order of what is sent.
"""

from __future__ import annotations

import base64
import reprlib
from collections.abc import Callable
from typing import Any

import numpy as np

Predict = Callable[[bytes], Any]
"""Gets the next token of each sequence (little-endian integers of 32 bits), and answers with the text of
`encoded` for what may follow."""

TOLERANCE = 1e-3
"""By how much the logarithm of the sum of probabilities may differ from 0. Sums in 32-bit numbers are within 1e-5."""


class IllegalAnswer(ValueError):  # noqa: N818 - an answer that was given
    """An answer that is not a distribution for each sequence."""


def encoded(log_probabilities: np.ndarray) -> str:
    """Return log-probabilities of the shape (sequences, vocabulary) as they are sent: Base64 of 32-bit floats."""
    return base64.b64encode(np.ascontiguousarray(log_probabilities, "<f4").tobytes()).decode()


def answer_bytes(sequences: int, vocabulary: int) -> int:
    """Return the size of an answer on the wire, with some room for what surrounds it."""
    return sequences * vocabulary * 4 * 4 // 3 + 1024


def losses(sequences: np.ndarray, vocabulary: int, predict: Predict) -> np.ndarray:
    """Return the negative log-probability of each token after the first, in nats.

    Args:
        sequences: Tokens, of the shape (sequences, length).
        vocabulary: How many tokens there are.
        predict: Asks the model.

    Returns:
        An array of the shape (sequences, length - 1).

    Raises:
        IllegalAnswer: if an answer is not one normalised distribution for each sequence.
    """
    rows = np.arange(len(sequences))
    found = np.empty((len(sequences), sequences.shape[1] - 1))
    for step in range(found.shape[1]):
        answer = predict(sequences[:, step].astype("<i4").tobytes())
        try:
            distributions = _distributions(answer, len(sequences), vocabulary)
        except IllegalAnswer as error:
            raise IllegalAnswer(f"{error} (in step {step + 1} of {found.shape[1]})") from None
        found[:, step] = -distributions[rows, sequences[:, step + 1]]
    return found


def _distributions(answer: Any, sequences: int, vocabulary: int) -> np.ndarray:
    """Return the log-probabilities that an answer has, as 64-bit numbers, made to sum to 1 exactly.

    Small errors of rounding are allowed, and taken out here, so that they are worth nothing.
    """
    if type(answer) is not str:
        kind = f"a {type(answer).__name__}" if isinstance(answer, list | dict) else reprlib.repr(answer)
        raise IllegalAnswer(f"{kind}; expected a string, base64.b64encode(…).decode() of 32-bit floats")
    try:
        data = base64.b64decode(answer, validate=True)
    except ValueError as error:
        raise IllegalAnswer(f"a string that is not Base64 ({error})") from None
    if len(data) != sequences * vocabulary * 4:
        raise IllegalAnswer(
            f"{len(data):,} bytes; expected {sequences * vocabulary * 4:,}, which are 32-bit floats of the shape "
            f"({sequences}, {vocabulary})"
        )
    values = np.frombuffer(data, "<f4").reshape(sequences, vocabulary).astype(np.float64)
    if not np.isfinite(values).all():
        sequence, token = np.argwhere(~np.isfinite(values))[0]
        raise IllegalAnswer(
            f"{values[sequence, token]} for token {token} of sequence {sequence}; expected "
            "the logarithm of a probability, which is finite"
        )
    highest = values.max(axis=1, keepdims=True)
    # What is far from a probability may overflow here, and is refused below.
    with np.errstate(over="ignore"):
        totals = highest + np.log(np.exp(values - highest).sum(axis=1, keepdims=True))
    worst = int(np.abs(totals).argmax())
    if abs(totals[worst, 0]) > TOLERANCE:
        raise IllegalAnswer(
            f"probabilities for sequence {worst} whose sum has the logarithm {totals[worst, 0]:.6g}; expected 0 within "
            f"{TOLERANCE:g}: use log_softmax in 32-bit numbers"
        )
    distributions: np.ndarray = values - totals
    return distributions
