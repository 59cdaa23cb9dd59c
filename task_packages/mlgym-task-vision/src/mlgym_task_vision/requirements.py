"""Packages of the agents' sandboxes."""

from __future__ import annotations

SCIKIT_LEARN = ("numpy>=1.26", "scikit-learn==1.9.1")
"""An exact version, since the digits are read from it: data and baseline then share one environment."""

TORCH = ("numpy>=1.26", "torch>=2.2,<2.14")
