"""What every task must be: real gradings of the baseline, better and worse, malformed and hostile submissions."""

from __future__ import annotations

import pytest

from mlgym_core.testing import TaskConformance

pytest_plugins = ["mlgym_core.testing.fixtures"]


# All checks are made for the first of its tests, a training among them.
@pytest.mark.timeout(1800)
@pytest.mark.slow
class TestMultiNli(TaskConformance):
    """With the variant `mini`."""

    task = "language/mnli"
