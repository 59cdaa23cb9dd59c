"""What an episode is made of: who plays, what agents may know of the task, the state, and the values made of them."""

from __future__ import annotations

import asyncio
import datetime
import time
from dataclasses import dataclass, field
from pathlib import Path

from mlgym_core.budgets import Budget, EpisodeClock
from mlgym_core.compute import ComputeLedger
from mlgym_core.errors import UsageError
from mlgym_core.journal import Journal
from mlgym_core.metering import MeteredModel
from mlgym_core.preparation import PreparedTask
from mlgym_core.rewards import RewardLedger
from mlgym_core.specs import Direction
from mlgym_core.types import Action, Observation, Protocol, Score, Split, ToolCall
from mlgym_core.workplace import Workplace, WorkplaceSnapshot


def now() -> str:
    """Return the time in UTC, ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, kw_only=True)
class EpisodeIdentity:
    """Who plays, for the record.

    Attributes:
        episode_id: Name of the episode's folder; None makes a new one at each reset.
        agent: The agent's id.
        model: The model's id.
        repeat: Number of the episode among those with the same task and agent.
    """

    episode_id: str | None = None
    agent: str | None = None
    model: str | None = None
    repeat: int = 0


@dataclass(frozen=True, kw_only=True)
class TaskView:
    """What agents may know of a task besides its description.

    Attributes:
        id: The task's id.
        variant: Which data.
        description: What the agent is told, in Markdown.
        metric: Name of the primary metric.
        direction: Whether more or less of it is better: `maximize` or `minimize`.
        baseline: The starter's value of it on the split that validations use.
        submission_files: Paths in the workspace of the files that make up a submission.
        baseline_script: Path in the workspace of the Python script that writes the baseline's submission, if the
            starter is not itself a submission.
    """

    id: str
    variant: str
    description: str
    metric: str
    direction: Direction
    baseline: float
    submission_files: tuple[str, ...]
    baseline_script: str | None = None


_PAPER_RULES = """

## Rules of this episode

They are those of the 2025 benchmark, whatever is said above: `validate` grades on the **test** split, as often as you
like, and what counts is `{metric.name}`, to be {metric.direction}d.
"""
"""What agents are told besides under the protocol `paper`."""


def task_view(prepared: PreparedTask, protocol: Protocol) -> TaskView:
    """Return what agents may know of a task."""
    metric = prepared.spec.primary_metric_under(protocol)
    return TaskView(
        id=prepared.spec.id,
        variant=prepared.variant,
        description=prepared.task.description() + (_PAPER_RULES.format(metric=metric) if protocol == "paper" else ""),
        metric=metric.name,
        direction=metric.direction,
        baseline=prepared.task.anchors_under(protocol, split_of_validations(protocol)).baseline,
        submission_files=tuple(file.path for file in prepared.task.submission_files()),
        baseline_script=prepared.task.baseline_script,
    )


def split_of_validations(protocol: Protocol) -> Split:
    """Return the split on which `validate` grades."""
    return "validation" if protocol == "strict" else "test"


@dataclass
class ValidationMeter:
    """Counts validations. An episode and all forks of it share one, so that forking yields no further ones."""

    used: int = 0


@dataclass(frozen=True)
class Snapshot:
    """An episode at one moment: files, shell, and how far it had come. Made by `snapshot`, for `fork` and `restore`.

    Attributes:
        episode_id: The episode.
        step: Steps taken until then.
        observation: The last observation before it.
    """

    episode_id: str
    step: int
    observation: Observation
    _workplace: WorkplaceSnapshot = field(repr=False)
    _ledger: RewardLedger = field(repr=False)
    _meter: ValidationMeter = field(repr=False)
    _budget: Budget = field(repr=False)
    _compute: ComputeLedger = field(repr=False)
    _best_validation: float | None = field(repr=False)
    _seed: int = field(repr=False)

    @property
    def background_processes(self) -> int:
        """How many background processes there were. They are not part of it."""
        return self._workplace.background_processes

    @property
    def origin(self) -> dict[str, object]:
        """What records say of it."""
        return {"episode_id": self.episode_id, "step": self.step}


@dataclass
class Episode:
    """The state of the episode that is going on."""

    id: str
    seed: int
    folder: Path | None
    workplace: Workplace
    journal: Journal
    ledger: RewardLedger
    clock: EpisodeClock
    budget: Budget
    compute: ComputeLedger
    model: MeteredModel | None = None
    is_fork: bool = False
    started_at: str = field(default_factory=now)
    steps: int = 0
    meter: ValidationMeter = field(default_factory=ValidationMeter)
    validations: int = 0
    best_validation: float | None = None
    step_reward: float = 0.0
    submitted: bool = False
    observation: Observation | None = None
    fallback: Snapshot | None = None
    grading: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a submission is copied and graded: programs may ask for a validation at any time."""
    is_ending: bool = False
    command_was_ended: bool = False
    """Whether `end_command` ended the last command."""
    watch: asyncio.TimerHandle | None = None
    """When is looked next at what commands use; with the event loop that does it."""
    watching_loop: asyncio.AbstractEventLoop | None = None
    compute_recorded: float = field(default_factory=time.monotonic)
    """When the record was last told what was used."""


def invalid_score(prepared: PreparedTask, split: Split, protocol: Protocol, reason: str) -> Score:
    """Return the score of a submission that never reached the grader."""
    anchors = prepared.task.anchors_under(protocol, split)
    metric = prepared.spec.primary_metric_under(protocol)
    return Score(
        task=prepared.spec.id,
        variant=prepared.variant,
        split=split,
        protocol=protocol,
        valid=False,
        reason=reason,
        primary=metric.name,
        direction=metric.direction,
        baseline=anchors.baseline,
        reference=anchors.reference,
    )


def as_call(action: Action) -> ToolCall:
    """Return an action as a tool call.

    Raises:
        UsageError: if it is no action.
    """
    if isinstance(action, str):
        return ToolCall(tool="bash", arguments={"command": action})
    if isinstance(action, ToolCall):
        return action
    if isinstance(action, dict) and isinstance(action.get("tool"), str):
        arguments = action.get("arguments", {})
        if isinstance(arguments, dict) and set(action) <= {"tool", "arguments"}:
            return ToolCall(tool=action["tool"], arguments=arguments)
    raise UsageError(
        f"{action!r} is not an action: pass a shell command as a string, or "
        '{"tool": name, "arguments": {…}} for a tool call.'
    )


def score_text(score: Score, split: str) -> str:
    """Return a score as the agent reads it."""
    if not score.valid:
        return f"Invalid submission: {score.reason}"
    more = "higher" if score.direction == "maximize" else "lower"
    values = ", ".join(f"{name} = {value:.6g}" for name, value in score.metrics.items())
    return f"{split} score: {values} (baseline {score.baseline:.6g}; {more} {score.primary} is better)."
