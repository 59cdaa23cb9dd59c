"""What every task must be: real gradings of the baseline, better and worse, malformed ones, and attacks."""

from __future__ import annotations

import pytest

from mlgym_core.testing import TaskConformance

pytest_plugins = ["mlgym_core.testing.fixtures"]


# All checks are made for the first of its tests: a training, and some two dozen gradings.
@pytest.mark.timeout(1800)
@pytest.mark.slow
class TestCocoCaptioning(TaskConformance):
    """With the variant `mini`."""

    task = "vision/coco-captioning"
