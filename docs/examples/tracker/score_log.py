"""A tracker for mlgym: adds a row to a CSV file for each validation and each final score, when it happens."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from mlgym_core import EpisodeEvent, hookimpl

MLGYM_API = 1

COLUMNS = ("episode", "task", "seconds", "split", "metric", "value", "normalized")


@hookimpl
def mlgym_episode_events(event: EpisodeEvent) -> None:
    """Write the row of an event, if it has a score."""
    if event.type not in ("validation", "score"):
        return
    score = event.fields["score"]
    add_row(
        Path(os.environ.get("SCORE_LOG", "scores.csv")),
        {
            "episode": event.episode_id,
            "task": score["task"],
            "seconds": f"{event.t:.1f}",
            "split": score["split"],
            "metric": score["primary"],
            # None, and so an empty cell, if the submission was invalid.
            "value": score["value"],
            "normalized": score["normalized"],
        },
    )


def add_row(path: Path, row: dict[str, object]) -> None:
    """Add a row in one write, so that episodes that run at the same time do not write into each other's."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    if not path.exists():
        writer.writeheader()
    writer.writerow(row)
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write(text.getvalue())
