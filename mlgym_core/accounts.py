"""What a run has used so far, from its record: finished episodes, their forks, and attempts that were set aside."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from mlgym_core.interfaces import Model
from mlgym_core.metering import Usage


def used_before(run_folder: Path, model: Model | None) -> tuple[Usage, float]:
    """Return what the recorded model calls of a run used, and for how many seconds its episodes went on.

    Episodes that went on at the same time count once.

    Args:
        model: Knows the prices of calls whose cost is not recorded.
    """
    usage = Usage()
    times = []
    for path in (*run_folder.glob("episodes/*/trajectory.jsonl"), *run_folder.glob("episodes/*/attempts/*/*.jsonl")):
        seconds = 0.0
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                event = json.loads(line)
                seconds = float(event["t"])
            except (ValueError, KeyError, TypeError):
                # The last line of a runner that was killed may be cut off by a full disk.
                continue
            if event["type"] == "model" and event["prompt_tokens"] is not None:
                prompt, completion = int(event["prompt_tokens"]), int(event["completion_tokens"])
                price = None if model is None else model.price_usd(prompt, completion)
                usage.add(prompt, completion, event["cost_usd"], price or 0.0)
        end = _ended(path.with_name("episode.json"), seconds) or path.stat().st_mtime
        times.append((end - seconds, end))
    return usage, _covered(times)


def _ended(path: Path, seconds: float) -> float | None:
    """Return when an episode ended, in seconds since the epoch, by its result; None if it has none."""
    try:
        started = json.loads(path.read_text(encoding="utf-8"))["started_at"]
        return datetime.datetime.fromisoformat(started).timestamp() + seconds
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _covered(times: Iterable[tuple[float, float]]) -> float:
    """Return how many seconds lie in at least one of the times, each from the first to the second number."""
    return sum(end - begin for begin, end in _united(times))


def _united(times: Iterable[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    current: tuple[float, float] | None = None
    for begin, end in sorted(times):
        if current is None or begin > current[1]:
            if current is not None:
                yield current
            current = begin, end
        else:
            current = current[0], max(current[1], end)
    if current is not None:
        yield current
