"""What a run has used so far, from its record: finished episodes, their forks, and attempts that were set aside."""

from __future__ import annotations

import contextlib
import datetime
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mlgym_core.budgets import Usage
from mlgym_core.interfaces import Model


def used_before(run_folder: Path, model: Model | None) -> tuple[Usage, float]:
    """Return what the recorded model calls of a run used, and for how many seconds its episodes went on.

    A call that began and whose end is not recorded was cut off with its runner: its request counts. Episodes that went
    on at the same time count once.

    Args:
        model: Knows the prices of calls whose cost is not recorded.
    """
    usage = Usage()
    times = []
    for path in (*run_folder.glob("episodes/*/trajectory.jsonl"), *run_folder.glob("episodes/*/attempts/*/*.jsonl")):
        seconds = 0.0
        unanswered: dict[int, int] = {}
        for event in _events(path):
            seconds = float(event["t"])
            if event["type"] == "model_call":
                unanswered[event["number"]] = int(event["request_tokens"])
            elif event["type"] == "model_attempt":
                _add(usage, model, int(event["prompt_tokens"]), int(event["completion_tokens"]), None)
            elif event["type"] == "model":
                unanswered.pop(event.get("number", 0), None)
                if event["prompt_tokens"] is not None:
                    prompt, completion = int(event["prompt_tokens"]), int(event["completion_tokens"])
                    _add(usage, model, prompt, completion, event["cost_usd"])
        for tokens in unanswered.values():
            _add(usage, model, tokens, 0, None)
        end = _ended(path.with_name("episode.json"), seconds) or path.stat().st_mtime
        times.append((end - seconds, end))
    return usage, _covered(times)


def recorded_compute(run_folder: Path) -> float | None:
    """Return the processor time of all attempts at a run's episodes as far as it is recorded, in seconds.

    None if it is unknown of one of them. Of an attempt that was cut off, that is what the record said last, if it had
    come to that. What episodes used in forks counts once, as theirs.
    """
    used = 0.0
    attempts = (*run_folder.glob("episodes/*/trajectory.jsonl"), *run_folder.glob("episodes/*/attempts/*/*.jsonl"))
    for path in attempts:
        last: dict[str, Any] | None = None
        origin: object = None
        for event in _events(path):
            if event["type"] == "reset" and event.get("seq") == 0:
                origin = event.get("origin")
            elif event["type"] == "compute":
                last = event
            elif event["type"] == "end":
                last = event.get("compute") or {}
        if origin is not None or last is None:
            continue
        seconds = last.get("processor_s")
        if not isinstance(seconds, int | float):
            return None
        used += seconds
    return round(used, 3)


def _events(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        # The last line of a runner that was killed may be cut off by a full disk.
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict) and isinstance(event.get("t"), int | float):
                yield event


def _add(usage: Usage, model: Model | None, prompt: int, completion: int, cost_usd: float | None) -> None:
    price = None if model is None else model.price_usd(prompt, completion)
    usage.add(prompt, completion, cost_usd, price or 0.0)


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
