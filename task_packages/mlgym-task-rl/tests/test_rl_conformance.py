"""What every task must be: real gradings of the baseline, better and worse, malformed and hostile policies."""

from __future__ import annotations

import pytest

from mlgym_core.testing import TaskConformance

pytest_plugins = ["mlgym_core.testing.fixtures"]


# All checks of a task are made for the first of its tests: a training, and some two dozen gradings.
@pytest.mark.timeout(1800)
@pytest.mark.slow
class TestMountainCar(TaskConformance):
    """With the variant `mini`."""

    task = "rl/mountain-car-continuous"


@pytest.mark.timeout(1800)
@pytest.mark.slow
class TestBreakout(TaskConformance):
    """With the variant `mini`."""

    task = "rl/breakout-minatar"


@pytest.mark.timeout(1800)
@pytest.mark.slow
class TestMetaMaze(TaskConformance):
    """With the variant `mini`."""

    task = "rl/meta-maze"
