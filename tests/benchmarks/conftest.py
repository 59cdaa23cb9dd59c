"""What all benchmarks share: each file of them prints its table when all of its measurements are there."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest
from measuring import TABLE, print_table


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    """Print the measurements when all are there."""
    TABLE.clear()
    yield
    print_table()


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Let this process open as many files as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
