"""Processes with all their descendants."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from mlgym_core.sandbox.process_tree import ProcessTree

BUSY = """
import os, threading

def work():
    while True:
        os.listdir("/proc")

for _ in range(4):
    os.fork()
for _ in range(3):
    threading.Thread(target=work).start()
work()
"""


def states(process_id: int) -> set[str]:
    """Return what the threads of a process do."""
    return {stat.read_text().rpartition(") ")[2][0] for stat in Path("/proc", str(process_id), "task").glob("*/stat")}


def test_what_is_frozen_stands_still_at_once() -> None:
    with subprocess.Popen([sys.executable, "-c", BUSY], start_new_session=True) as process:
        tree = ProcessTree(process)
        try:
            while len(tree.descendants()) < 15:
                time.sleep(0.01)
            for _ in range(30):
                tree.freeze()
                found = [states(process_id) for process_id in tree.descendants()]
                assert len(found) == 15
                assert all(kinds == {"T"} for kinds in found)
                tree.thaw()
                time.sleep(0.01)
        finally:
            tree.kill_descendants(since=0)
            process.kill()
