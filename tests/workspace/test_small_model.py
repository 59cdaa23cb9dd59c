"""A real language model plays whole episodes: docs/small-model.md, as its reader would follow it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-small-model" / "bin" / "python"
AGENTS = ("react", "thought-action", "tree-search")

# One server for all of them, which answers one request at a time.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("small-model")]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a server with the model; skips where it is not installed."""
    if not PYTHON.exists():
        assert not os.environ.get("MLGYM_REQUIRE_SMALL_MODEL"), "The small model is not installed."
        pytest.skip("make install-small-model has not been called")
    command = [str(PYTHON), str(ROOT / "docs/examples/small-model/serve.py"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        try:
            assert select.select([server.stdout], [], [], 300)[0], "The server does not begin."
            yield server.stdout.readline().split()[-1]
        finally:
            server.terminate()


@pytest.mark.parametrize("agent", AGENTS)
def test_it_plays_an_episode(agent: str, address: str, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("mlgym")), "run", "games/battle-of-sexes", "--agent", agent, "--json"]
    # Few short answers: agents that ask for texts get what is no answer to them, time and again.
    command += ["--model", "openai/smollm2", "--max-steps", "6", "--max-tokens", "12000", "-A", "max_tokens=60"]
    command += ["--runs-dir", str(tmp_path)]
    for option in (f"base_url={address}", "context_tokens=8192", "answer_tokens=400"):
        command += ["-M", option]
    played = subprocess.run(command, capture_output=True, text=True, check=False)
    assert played.returncode == 0, played.stderr
    result: dict[str, Any] = json.loads(played.stdout.splitlines()[0])
    # It is too weak to win anything; what it must do is end in a score.
    assert result["status"] in ("completed", "invalid_submission"), result
    assert result["score"] is not None
    assert result["tokens"]["prompt"] > 0
    assert result["tokens"]["completion"] > 0
    assert result["cost_usd"] is None
    events = [json.loads(line) for line in Path(result["dir"], "trajectory.jsonl").read_text().splitlines()]
    replies = [event for event in events if event["type"] == "model"]
    assert replies
    assert all(event["error"] is None for event in replies)
    if agent == "react":
        assert any(event["type"] == "action" for event in events)
