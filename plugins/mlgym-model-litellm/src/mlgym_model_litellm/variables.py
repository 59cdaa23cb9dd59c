"""The environment variables, all of them at once: often whether one has changed, seldom what they are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any


def raw_variables() -> Mapping[Any, Any]:
    """Return the environment variables, to be compared with a copy.

    That is what lies below `os.environ`, where there is such: to read each of them through it takes as long as sending
    a call. Another thread may change them at any time.
    """
    return getattr(os.environ, "_data", None) or os.environ


def decoded(variables: Mapping[Any, Any]) -> dict[str, str]:
    """Return a copy of the raw variables as `os.environ` says them."""
    return {os.fsdecode(name): os.fsdecode(value) for name, value in variables.items()}
