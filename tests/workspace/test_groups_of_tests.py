"""Tests of a group run in one process, also those of a conformance suite: what they share takes minutes to make."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

_TESTS = """
import os

import pytest

from mlgym_core.testing import ToolConformance


@pytest.fixture(autouse=True)
def process(request):
    with open("processes", "a") as file:
        print(request.cls.__name__, os.environ["PYTEST_XDIST_WORKER"], file=file)


class TestReadFile(ToolConformance):
    tool = "read_file"


@pytest.mark.xdist_group("twelve")
class TestGroup:
    @pytest.mark.parametrize("number", range(12))
    def test_it(self, number):
        pass
"""


@pytest.mark.slow
def test_tests_of_a_group_run_in_one_process(tmp_path: Path) -> None:
    (tmp_path / "test_groups.py").write_text(_TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--rootdir={tmp_path}", "-n", "2", "-q"]
    done = subprocess.run(
        [*command, "--dist", "loadgroup"], cwd=tmp_path, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    processes = defaultdict(set)
    for line in (tmp_path / "processes").read_text().splitlines():
        group, process = line.split()
        processes[group].add(process)
    assert {group: len(names) for group, names in processes.items()} == {"TestReadFile": 1, "TestGroup": 1}
