"""A task whose module imports what only its functions need."""

from __future__ import annotations

import numpy as np
from faulty_tasks import Sound


class Heavy(Sound):
    """Uses numpy for nothing."""

    zero = np.int64(0)
