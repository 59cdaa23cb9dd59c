"""The table of results of suites: beside each score, what was published as the baseline, and what we measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mlgym_core.specs import Direction, PublishedScore
from mlgym_core.types import EpisodeResult, Status

_ARROWS: dict[Direction, str] = {"maximize": "↑", "minimize": "↓"}
_OUTCOMES: dict[Status, str] = {
    "completed": "scored",
    "invalid_submission": "invalid",
    "infrastructure_failure": "failed",
    "interrupted": "stopped",
}


@dataclass(frozen=True, kw_only=True)
class ResultRow:
    """An episode as a row of the table.

    Attributes:
        task: The task's id.
        variant: Which data.
        agent: The agent's id.
        model: The model's id.
        repeat: Which of several episodes of the same kind, from 0.
        metric: Name of the metric that counts; None if nothing was graded.
        direction: Whether more or less of it is better.
        published_baseline: What was published as the baseline; its metric need not be the one that counts here.
        baseline: What we measured for the same, on this variant.
        score: What the episode's submission earned on the test split.
        normalized: The score where the baseline is 0 and the reference 1, unclipped.
        wall_s: Wall time of the episode, with gradings, in seconds.
        processor_s: Processor time of the agent's processes, in seconds; None if unknown.
        outcome: `scored`, `invalid`, `failed` or `stopped`.
        reason: Why there is no score.
    """

    task: str
    variant: str
    agent: str | None
    model: str | None
    repeat: int
    metric: str | None
    direction: Direction | None
    published_baseline: PublishedScore | None
    baseline: float | None
    score: float | None
    normalized: float | None
    wall_s: float
    processor_s: float | None
    outcome: str
    reason: str | None

    def as_json(self) -> dict[str, Any]:
        """Return the row as JSON has it."""
        return asdict(self)

    @property
    def is_comparable(self) -> bool:
        """Whether the published baseline is of the metric that counts here."""
        return self.published_baseline is None or self.metric in (None, self.published_baseline.metric)


def result_rows(results: Sequence[EpisodeResult], published: Mapping[str, PublishedScore]) -> list[ResultRow]:
    """Return a row for each result, in the same order.

    Args:
        published: The published baselines by task.
    """
    return [_row(result, published.get(result.task)) for result in results]


def _row(result: EpisodeResult, published: PublishedScore | None) -> ResultRow:
    score = result.score
    return ResultRow(
        task=result.task,
        variant=result.variant,
        agent=result.agent,
        model=result.model,
        repeat=result.repeat,
        metric=None if score is None else score.primary,
        direction=None if score is None else score.direction,
        published_baseline=published,
        baseline=None if score is None else score.baseline,
        score=result.final,
        normalized=None if score is None else score.normalized,
        wall_s=result.wall_s,
        processor_s=None if result.compute is None else result.compute.processor_s,
        outcome=_OUTCOMES[result.status],
        reason=result.error or (None if score is None else score.reason),
    )


def shown_number(value: float | None) -> str:
    """Return a number with four digits, or a dash."""
    return "–" if value is None else f"{value:.4g}"


def shown_seconds(value: float | None) -> str:
    """Return a time in seconds, or a dash."""
    return "–" if value is None else f"{value:.1f} s" if value < 100 else f"{value:.0f} s"


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        heading: What stands above it.
        short: The same where there is little room, in several lines.
        cells: Its content, a text for each row.
        is_text: Whether it holds words, not numbers.
        is_extra: Whether it is left out where there is little room.
    """

    heading: str
    short: str
    cells: Sequence[str]
    is_text: bool = False
    is_extra: bool = False


def columns_of(rows: Sequence[ResultRow]) -> list[Column]:
    """Return the columns that rows are shown in. What is the same everywhere and goes without saying has none."""
    columns = [
        Column("task", "task", [row.task for row in rows], is_text=True),
        Column("variant", "variant", [row.variant for row in rows], is_text=True),
    ]
    if len({row.agent for row in rows}) > 1:
        columns.append(Column("agent", "agent", [row.agent or "–" for row in rows], is_text=True))
    if len({row.model for row in rows}) > 1:
        columns.append(Column("model", "model", [row.model or "–" for row in rows], is_text=True))
    if any(row.repeat for row in rows):
        columns.append(Column("repeat", "re-\npeat", [str(row.repeat) for row in rows]))
    columns += [
        Column("metric", "metric", [_metric(row) for row in rows], is_text=True, is_extra=True),
        Column("published baseline", "pub-\nlished", [_published(row) for row in rows]),
        Column("our baseline", "base-\nline", [shown_number(row.baseline) for row in rows]),
        Column("score", "score", [shown_number(row.score) for row in rows]),
        Column("normalised", "normal-\nised", [_normalized(row) for row in rows]),
        Column("time", "time", [shown_seconds(row.wall_s) for row in rows]),
        Column("processor time", "processor\ntime", [shown_seconds(row.processor_s) for row in rows], is_extra=True),
    ]
    if any(row.outcome != "scored" for row in rows):
        columns.append(Column("outcome", "outcome", [row.outcome for row in rows], is_text=True))
    return columns


def _metric(row: ResultRow) -> str:
    return "–" if row.metric is None or row.direction is None else f"{row.metric} {_ARROWS[row.direction]}"


def _published(row: ResultRow) -> str:
    if row.published_baseline is None:
        return "–"
    return shown_number(row.published_baseline.value) + ("" if row.is_comparable else "*")


def _normalized(row: ResultRow) -> str:
    return "–" if row.normalized is None else f"{row.normalized:+.3f}"


def notes_of(rows: Sequence[ResultRow]) -> list[str]:
    """Return what readers of the table must know besides: where published numbers come from, and what they measure."""
    published = {row.task: row.published_baseline for row in rows if row.published_baseline is not None}
    others = {row.task: row.published_baseline for row in rows if row.published_baseline and not row.is_comparable}
    notes = [
        f"Published baselines: {source}, on the data of that publication."
        for source in dict.fromkeys(baseline.source for baseline in published.values())
    ]
    return notes + [
        f"* {task}: published in another metric, {baseline.metric}; compare it with nothing here."
        for task, baseline in others.items()
    ]


def markdown_table(rows: Sequence[ResultRow]) -> str:
    """Return the table and its notes as Markdown."""
    columns = columns_of(rows)
    lines = [
        [column.heading for column in columns],
        ["---" if column.is_text else "---:" for column in columns],
        *([_cell(column, number) for column in columns] for number in range(len(rows))),
    ]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([table, *(note.replace("*", r"\*", 1) for note in notes_of(rows))])


def _cell(column: Column, number: int) -> str:
    text = column.cells[number].replace("*", r"\*").replace("|", r"\|")
    return f"`{text}`" if column.heading == "task" else text
