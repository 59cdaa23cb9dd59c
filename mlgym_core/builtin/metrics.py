"""Metrics that graders use by importing them from `mlgym_core`. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mlgym_core.interfaces import Metric


def _check_lengths(references: Sequence[object], predictions: Sequence[object]) -> None:
    if len(references) != len(predictions) or not references:
        raise ValueError(f"{len(references)} references cannot be compared with {len(predictions)} predictions.")


class Accuracy(Metric):
    """The share of predictions that equal their reference."""

    def compute(self, references: Sequence[object], predictions: Sequence[object]) -> float:
        """Return a number from 0 to 1."""
        _check_lengths(references, predictions)
        hits = sum(reference == prediction for reference, prediction in zip(references, predictions, strict=True))
        return hits / len(references)


class RootMeanSquaredError(Metric):
    """The square root of the mean squared difference, in the unit of the values."""

    def compute(self, references: Sequence[float], predictions: Sequence[float]) -> float:
        """Return a number that is not negative; it is infinite where squares are too large to count with."""
        _check_lengths(references, predictions)
        return math.hypot(*_differences(references, predictions)) / math.sqrt(len(references))


class R2(Metric):
    """The coefficient of determination: 1 minus the squared error's ratio to that of the references' own mean."""

    def compute(self, references: Sequence[float], predictions: Sequence[float]) -> float:
        """Return a number that is at most 1.

        Raises:
            ValueError: if all references are equal.
        """
        _check_lengths(references, predictions)
        mean = math.fsum(references) / len(references)
        spread = math.hypot(*(reference - mean for reference in references))
        if spread == 0:
            raise ValueError("R² is not defined where all references are equal.")
        ratio = math.hypot(*_differences(references, predictions)) / spread
        # Written as a product, since a power that is too large raises.
        return 1 - ratio * ratio


def _differences(references: Sequence[float], predictions: Sequence[float]) -> list[float]:
    return [reference - prediction for reference, prediction in zip(references, predictions, strict=True)]
