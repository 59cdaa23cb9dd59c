"""What observers of episodes get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class EpisodeEvent:
    """A line of `trajectory.jsonl`, as observers get it.

    Attributes:
        episode_id: Which episode.
        seq: Number of the event in its episode, from 0.
        t: Seconds since reset.
        type: `reset`, `model_call`, `model_attempt`, `model`, `action`, `observation`, `validation`, `submission`,
            `score`, `limit`, `error` or `end`.
        fields: The fields of that type, as documented in the reference.
    """

    episode_id: str
    seq: int
    t: float
    type: str
    fields: Mapping[str, Any]
