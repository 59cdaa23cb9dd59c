"""What a run looks like while it goes on, and the table at its end."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mlgym_core.cli.result_rows import ResultRow, columns_of, shown_number, shown_seconds
from mlgym_core.interfaces import EpisodeEvent
from mlgym_core.runner import AnswerSoFar, EpisodePlan
from mlgym_core.types import EpisodeResult, Score


@dataclass
class _Row:
    state: str = "waiting"
    steps: int = 0
    validations: int = 0
    best: float | None = None
    result: EpisodeResult | None = None
    began: float | None = None
    said: str = ""


class ProgressTable:
    """A table on standard error with a row for each episode, redrawn while the run goes on.

    Below it stands what a language model is saying, where its answers come in parts.

    Where standard error is not a terminal, each result is a line of its own instead.

    Args:
        episodes: The run's episodes.
        quiet: Show nothing.
        shows_answers: Show what language models are saying.
    """

    def __init__(self, episodes: Sequence[EpisodePlan], *, quiet: bool = False, shows_answers: bool = True) -> None:
        self._rows = {episode.id: _Row() for episode in episodes}
        self._episodes = episodes
        self._console = Console(file=sys.stderr)
        self._quiet = quiet
        self._shows_answers = shows_answers
        self._live = None
        if self._console.is_terminal and not quiet:
            self._live = Live(get_renderable=self._view, console=self._console, refresh_per_second=4)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)

    def finished_before(self, episode: EpisodePlan, result: EpisodeResult) -> None:
        """Show an episode that an earlier start of the run has finished."""
        self._show_result(self._rows[episode.id], result)

    def __call__(self, episode: EpisodePlan, news: EpisodeEvent | EpisodeResult | AnswerSoFar) -> None:
        """Take in an event or the result of an episode, or what its model is saying."""
        row = self._rows[episode.id]
        if isinstance(news, AnswerSoFar):
            row.said = news.text
            return
        row.said = ""
        if isinstance(news, EpisodeResult):
            self._show_result(row, news)
            if self._live is None and not self._quiet:
                self._console.print(result_line(news), highlight=False, markup=False)
            return
        if news.type == "reset":
            self._rows[episode.id] = _Row(state="playing", began=time.monotonic())
        elif news.type == "action":
            row.steps = int(news.fields["step"])
            row.state = {"validate": "validating", "submit": "grading"}.get(news.fields["tool"], "playing")
        elif news.type == "validation":
            row.validations += 1
            row.state = "playing"
            row.best = _better(row.best, Score.model_validate(news.fields["score"]))
        elif news.type == "submission":
            row.state = "grading"

    def _view(self) -> Group:
        return Group(self.table(), *self.answers())

    def answers(self) -> list[Text]:
        """Return the end of each answer that is being given, as one line of plain text."""
        lines = []
        for episode in self._episodes if self._shows_answers else ():
            # Its end is what is new. A model may write control characters, which are commands to a terminal.
            if said := "".join(
                letter if letter.isprintable() else " " for letter in self._rows[episode.id].said[-500:]
            ):
                space = max(self._console.width - len(episode.task) - 3, 20)
                lines.append(Text(f"{episode.task}: {said[-space:]}", style="dim", no_wrap=True, overflow="crop"))
        return lines

    @staticmethod
    def _show_result(row: _Row, result: EpisodeResult) -> None:
        row.result, row.state, row.steps, row.best = result, _state(result), result.steps, result.best_validation
        row.validations = result.validations

    def table(self) -> Table:
        """Return the table as it is now."""
        repeated = any(episode.repeat for episode in self._episodes)
        headings = ["steps", "validation\nbest (tries)", "final\nscore", "time", "state"]
        table = _narrow_table(["task", "agent", *(["repeat"] if repeated else [])], headings)
        for episode in self._episodes:
            row = self._rows[episode.id]
            began = 0.0 if row.began is None else time.monotonic() - row.began
            seconds = row.result.wall_s if row.result is not None else began
            best = f"{shown_number(row.best)} ({row.validations})" if row.validations else shown_number(row.best)
            table.add_row(
                episode.task,
                episode.agent,
                *([str(episode.repeat)] if repeated else []),
                str(row.steps),
                best,
                shown_number(row.result.final if row.result is not None else None),
                f"{seconds:.0f} s",
                row.state,
                style=_style(row),
            )
        return table


def _narrow_table(words: Sequence[str], values: Sequence[str]) -> Table:
    """Return a table that fits into 80 columns with usual names; names are cut before any number is."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for heading in words:
        table.add_column(heading, overflow="fold", vertical="bottom")
    for heading in values:
        table.add_column(
            heading, justify="right", no_wrap=True, vertical="bottom", min_width=max(map(len, heading.split("\n")))
        )
    return table


def _better(best: float | None, score: Score) -> float | None:
    if score.value is None or best is None:
        return best if score.value is None else score.value
    return max(best, score.value) if score.direction == "maximize" else min(best, score.value)


def _style(row: _Row) -> str:
    if row.result is None:
        return "dim" if row.state == "waiting" else ""
    return {"completed": "green", "infrastructure_failure": "red"}.get(row.result.status, "yellow")


def _state(result: EpisodeResult) -> str:
    return {
        "completed": "done" if result.exit_reason == "submitted" else f"done ({result.exit_reason})",
        "invalid_submission": "invalid submission",
        "infrastructure_failure": "infrastructure failure",
        "interrupted": "interrupted",
    }[result.status]


_WIDE = 100
_WIDE_FOR_SUITES = 140
_ROOM_FOR_ALL = 110
_OUTCOMES = {
    "completed": "scored",
    "invalid_submission": "invalid",
    "infrastructure_failure": "failed",
    "interrupted": "stopped",
}


def shortened(problem: str) -> str:
    """Return the first and the last line: of a grader's traceback, what happened where. The record has all of it."""
    lines = problem.strip().splitlines() or [""]
    return lines[0] if len(lines) < 2 else f"{lines[0]} {lines[-1].strip()}"


def result_line(result: EpisodeResult) -> str:
    """Return a finished episode as one line."""
    detail = f"final {shown_number(result.final)}" if result.final is not None else shortened(result.error or "")
    if result.score is not None and result.score.reason:
        detail = shortened(result.score.reason)
    elif result.final is not None and result.error is not None:
        detail += f": {shortened(result.error)}"
    steps = "1 step" if result.steps == 1 else f"{result.steps} steps"
    return f"{result.task}  {result.agent}  {_state(result)}  {detail}  ({steps}, {result.wall_s:.1f} s)"


def result_table(results: Sequence[EpisodeResult], width: int) -> Table:
    """Return the table of finished episodes: baseline, best validation, final and normalised score, steps, time.

    Args:
        width: Columns of the terminal. Headings are broken where there are fewer than 100.
    """
    done = all(_state(result) == "done" for result in results)
    scores = ["baseline", "validation best", "final score", "normalised score"]
    if width < _WIDE:
        scores = ["base-\nline", "validation\nbest", "final\nscore", "normal-\nised"]
    headings = [*scores, "steps", "time", *([] if done else ["outcome"])]
    table = _narrow_table(["task", "agent"], headings)
    for result in results:
        score = result.score
        table.add_row(
            result.task,
            result.agent or "",
            shown_number(score.baseline if score is not None else None),
            shown_number(result.best_validation),
            shown_number(result.final),
            "–" if score is None or score.normalized is None else f"{score.normalized:+.3f}",
            str(result.steps),
            shown_seconds(result.wall_s),
            *([] if done else [_OUTCOMES[result.status]]),
        )
    return table


def suite_table(rows: Sequence[ResultRow], width: int) -> Table:
    """Return the table of a run of suites: beside each score the baselines, the published one and ours.

    Args:
        width: Columns of the terminal. Headings are broken where there are fewer than 140, and of fewer than 110
            columns some are left out: `mlgym report` has all of them.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    columns = [column for column in columns_of(rows) if width >= _ROOM_FOR_ALL or not column.is_extra]
    for column in columns:
        heading = column.heading if width >= _WIDE_FOR_SUITES else column.short
        if column.is_text:
            table.add_column(heading, overflow="fold", vertical="bottom")
        else:
            narrowest = max(map(len, heading.split("\n")))
            table.add_column(heading, justify="right", no_wrap=True, vertical="bottom", min_width=narrowest)
    for number in range(len(rows)):
        table.add_row(*(column.cells[number] for column in columns))
    return table
