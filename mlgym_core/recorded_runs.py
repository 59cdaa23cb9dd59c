"""A run as its record has it, whatever is installed now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mlgym_core.accounts import recorded_compute, used_before
from mlgym_core.errors import UsageError
from mlgym_core.records import episode_folder, read_json
from mlgym_core.runner import RunPlan, planned_episodes
from mlgym_core.types import EpisodeResult


@dataclass(frozen=True)
class RecordedRun:
    """A run that was recorded, in the state that it is in.

    Attributes:
        folder: Where it lies.
        document: Its `run.json`.
        plan: What it consists of.
        results: Those that are there, in the order of the plan.
        unfinished: Ids of the episodes that have none.
    """

    folder: Path
    document: dict[str, Any]
    plan: RunPlan
    results: Sequence[EpisodeResult]
    unfinished: Sequence[str]

    def facts(self) -> dict[str, Any]:
        """Return when, where and by whom it was played, and what all its episodes used, with attempts set aside."""
        versions = self.document.get("versions", {})
        return {
            "run_id": self.folder.name,
            "started_at": self.document.get("started_at"),
            "suites": list(self.plan.suites),
            "tasks": list(self.plan.tasks),
            "agents": list(self.plan.agents),
            "model": self.plan.model,
            "protocol": self.plan.protocol,
            "seed": self.plan.seed,
            "parallel": self.plan.parallel,
            "machine": self.document.get("machine", {}),
            "mlgym": versions.get("mlgym-core"),
            "python": versions.get("python"),
            "wall_s": round(used_before(self.folder, None)[1], 3),
            "processor_s": recorded_compute(self.folder),
        }


def read_run(folder: Path) -> RecordedRun:
    """Read what is recorded of a run.

    Raises:
        UsageError: if there is none, or its files cannot be read.
    """
    folder = folder.resolve()
    document = read_json(folder / "run.json")
    try:
        plan = RunPlan.model_validate(document.get("plan"))
    except ValidationError as error:
        raise UsageError(f"{folder / 'run.json'} holds no plan that this version understands: {error}") from None
    results, unfinished = [], []
    for episode in planned_episodes(plan):
        path = episode_folder(folder, episode.id) / "episode.json"
        if not path.exists():
            unfinished.append(episode.id)
            continue
        try:
            results.append(EpisodeResult.model_validate(read_json(path)))
        except ValidationError as error:
            raise UsageError(f"{path} holds no result that this version understands: {error}") from None
    return RecordedRun(folder, document, plan, results, unfinished)
