"""What the three games share: how matches are played, answers checked and payoffs counted."""

from __future__ import annotations

import abc
import random
import reprlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from mlgym_core import Anchors, Grading, InvalidSubmission, Preparation, SubmissionFile, Task

MATCHES = 10_000
ROUNDS = 10
SUBMISSION = "strategy.py"
FUNCTION = "row_strategy"
NOISE = 0.03
"""By how much a mean payoff per round may differ from what is expected, several standard errors in each game."""
CALL_SECONDS = 1.0
TOTAL_SECONDS = 300.0
"""Well below the time after which a grader counts as hung, so that a slow strategy is told that it is slow."""

PAPER = "MLGym: A New Framework and Benchmark for Advancing AI Research Agents (2025)"

Move = TypeVar("Move")

_STARTERS = Path(__file__).parent / "starters"

_DESCRIPTION = """\
# {title}

Write a strategy for the **row player** of a repeated two-player game. The better it does on average against one
particular opponent, the better your score.

## The game

{rules}
A match is {rounds} rounds between the same two players. In every round both choose at the same time; then both learn
what the other chose. Nothing carries over from one match to the next.

## The opponent

The column player is a program that you cannot see. It is fixed: it plays by the same rules in every match and in
every grading, and it does not learn. It may be random, and it may react to what has been played so far in the match.
It never sees your choice of the current round before it has made its own.

## What to submit

The file `{submission}`, which defines

```python
def {function}(history): ...
```

It is called once for each round, in order, one match after another, and returns your choice for that round:
{expected}. `history` holds the rounds of the current match that are over, oldest first, as a list of tuples
`({row_name}, {column_name})`: your choice, then the opponent's. It is empty in the first round. It is a copy, so
changing it changes nothing. Module-level variables keep their values between calls.

- Python's standard library and numpy are available, and nothing else: no network, and no file besides `{submission}`.
- One call may take {call_seconds:g} second, and all calls of one grading together {total_seconds:g} seconds.
- An answer of any other kind, an exception or a call that takes too long makes the whole submission invalid.

## The score

`payoff`, to be **maximised**: your mean payoff per round over {matches:,} matches. `validate` plays them with other
random draws than the final grading does, so the two differ by a little noise.

The `{submission}` that you start with is the **baseline: {baseline} per round**.

## How to work

Read and change `{submission}` in the workspace, and try it on opponents of your own making. `validate` grades it
against the real opponent and returns the payoff; the number of validations is limited. `submit` hands it in and ends
the task.

Lines of the starter such as `NAME = 0.1  # tunable: float 0 to 1` declare parameters: numbers that can be changed
within their range without understanding the code. You may tune them, or write something else altogether.
"""


class MatchGame(Task, Generic[Move]):
    """A repeated game in which a submitted row strategy meets a fixed opponent.

    Class attributes:
        title: Heading of the description.
        rules: Moves and payoffs, in Markdown.
        expected: What an answer must be, as it completes "expected …".
        move_names: What the description calls the two entries of a round.
        starter: File name of the starter among this package's `starters`.
        baseline: Mean payoff per round of the starter.
        reference: Mean payoff per round of the best strategy known.
        reference_source: Where the reference comes from.
    """

    submission_processes: ClassVar[int] = 1

    title: ClassVar[str]
    rules: ClassVar[str]
    expected: ClassVar[str]
    move_names: ClassVar[tuple[str, str]] = ("row", "column")
    starter: ClassVar[str]
    baseline: ClassVar[float]
    reference: ClassVar[float]
    reference_source: ClassVar[str]

    @abc.abstractmethod
    def opponent(self, generator: random.Random) -> Callable[[list[tuple[Move, Move]]], Move]:
        """Return the column player: a function from the rounds of a match so far to its move.

        It takes all chance from `generator`, and as much of it in every round whatever was played, so that all
        strategies meet the same luck.
        """

    @abc.abstractmethod
    def checked(self, answer: Any) -> Move | None:
        """Return a submitted strategy's answer as a move, or None if it is not one."""

    @abc.abstractmethod
    def payoff(self, row: Move, column: Move) -> int:
        """Return what the row player earns in a round."""

    def grade(self, grading: Grading) -> Mapping[str, float]:
        """Play all matches of a split and return the row player's mean payoff per round."""
        # Out of the submission's reach: the generator lives in the grader's process.
        opponent = self.opponent(random.Random(grading.seed))  # noqa: S311
        call = grading.program(SUBMISSION, call_seconds=CALL_SECONDS, total_seconds=TOTAL_SECONDS).call
        checked, payoff = self.checked, self.payoff
        total = 0
        for match in range(1, MATCHES + 1):
            history: list[tuple[Move, Move]] = []
            for round_number in range(1, ROUNDS + 1):
                # The opponent is asked first: it cannot depend on an answer that does not exist yet.
                column = opponent(history)
                answer = call(FUNCTION, history)
                row = checked(answer)
                if row is None:
                    raise InvalidSubmission(
                        f"{FUNCTION} returned {reprlib.repr(answer)} in match {match}, round {round_number}; "
                        f"expected {self.expected}."
                    )
                total += payoff(row, column)
                history.append((row, column))
        return {"payoff": total / (MATCHES * ROUNDS)}

    def description(self) -> str:
        """Return the task's description in Markdown."""
        return _DESCRIPTION.format(
            title=self.title,
            rules=self.rules,
            expected=self.expected,
            row_name=self.move_names[0],
            column_name=self.move_names[1],
            baseline=self.baseline,
            matches=MATCHES,
            rounds=ROUNDS,
            submission=SUBMISSION,
            function=FUNCTION,
            call_seconds=CALL_SECONDS,
            total_seconds=TOTAL_SECONDS,
        )

    def submission_files(self) -> Sequence[SubmissionFile]:
        """Return the one file that makes up a submission."""
        return (SubmissionFile(path=SUBMISSION),)

    def anchors(self, split: str) -> Anchors:
        """Return the ends of the scale, which are expected values and therefore the same on both splits."""
        return Anchors(
            baseline=self.baseline,
            baseline_source=f"the starter's payoff in {PAPER}",
            reference=self.reference,
            reference_source=self.reference_source,
            band=(self.baseline - NOISE, self.baseline + NOISE),
            # It is the optimum: nothing but luck can exceed it.
            implausible=self.reference + NOISE,
        )

    def prepare(self, preparation: Preparation) -> None:
        """Write the starter and the description. The opponent needs no private file: it is code of this package."""
        (preparation.public / SUBMISSION).write_bytes((_STARTERS / self.starter).read_bytes())
        (preparation.public / "README.md").write_text(self.description(), encoding="utf-8")

    def contamination(self) -> str:
        """Return what is known of the opponent being public."""
        return (
            "The opponent's rules are public, in the source code of this package and in that of the benchmark that "
            f"they come from ({PAPER}), so a language model may have read them."
        )


class MatrixGame(MatchGame[int]):
    """A game with two moves, 0 and 1.

    Class attributes:
        payoffs: What the row player earns, by its own move and the column player's.
    """

    expected = "0 or 1"

    payoffs: ClassVar[tuple[tuple[int, int], tuple[int, int]]]

    def checked(self, answer: Any) -> int | None:
        """Accept the integers 0 and 1, and the Boolean values in their place."""
        if (type(answer) is int or type(answer) is bool) and 0 <= answer <= 1:
            return int(answer)
        return None

    def payoff(self, row: int, column: int) -> int:
        """Look the payoff up."""
        return self.payoffs[row][column]
