"""Metrics that compare predictions with references."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any


class Metric(abc.ABC):
    """A metric that compares predictions with references."""

    @abc.abstractmethod
    def compute(self, references: Sequence[Any], predictions: Sequence[Any]) -> float:
        """Return the metric of equally long sequences, in the same order."""
