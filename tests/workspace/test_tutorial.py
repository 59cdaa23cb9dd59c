"""The tutorial, as its reader would follow it: all commands and programs, in order, in one folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What a reader types while he plays himself.
TYPED = "cat strategy.py\n:submit\n"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_tutorial_works_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    steps = re.findall(r"^```(sh|python)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    binaries = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{binaries}:{os.environ['PATH']}"}
    said: dict[str, str] = {}
    for language, code in steps:
        if code.startswith("def row_strategy"):
            (tmp_path / "mine").mkdir()
            (tmp_path / "mine" / "strategy.py").write_text(code)
            continue
        command = [sys.executable, "-c", code] if language == "python" else ["bash", "-euo", "pipefail", "-c", code]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, input=TYPED, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{code}{done.stdout}{done.stderr}"
        said[code] = done.stdout

    def what(beginning: str) -> str:
        [output] = [output for code, output in said.items() if beginning in code]
        return output

    assert "1.016" in what("run games/battle-of-sexes --agent baseline")
    assert len(re.findall(r"^tabular/titanic +(?:baseline|tuner)", what("compare\n"), re.MULTILINE)) == 4
    leaderboard = what("returns = defaultdict").splitlines()
    assert [line.split()[0] for line in leaderboard] == ["tuner", "baseline"]
    assert all("over 2 episodes" in line for line in leaderboard)
    assert "1.4" in what("mlgym grade")
    assert " human " in what("--agent human")
    final, total = what("mlgym.make(").split()[-2:]
    assert float(final) > 1.4
    assert 0.9 < float(total) < 1.1
