"""What this distribution registers with mlgym. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from mlgym_core import SuiteSpec, TaskMetric, TaskSpec, hookimpl

MLGYM_API = 1

_METRICS = (TaskMetric("payoff", "maximize"),)
_REQUIREMENTS = ("numpy>=1.26",)


@hookimpl
def mlgym_tasks() -> Iterable[TaskSpec]:
    """Register the three games."""
    yield TaskSpec(
        "games/battle-of-sexes",
        "mlgym_task_games.battle_of_sexes:BattleOfSexes",
        "Agree with an opponent who prefers the other meeting place",
        metrics=_METRICS,
        tags=("game-theory", "strategy", "cpu"),
        requirements=_REQUIREMENTS,
    )
    yield TaskSpec(
        "games/prisoners-dilemma",
        "mlgym_task_games.prisoners_dilemma:PrisonersDilemma",
        "Cooperate or defect, ten rounds at a time, against a changeable opponent",
        metrics=_METRICS,
        tags=("game-theory", "strategy", "cpu"),
        requirements=_REQUIREMENTS,
    )
    yield TaskSpec(
        "games/blotto",
        "mlgym_task_games.blotto:Blotto",
        "Divide 120 soldiers over six fields and win more fields than the opponent",
        metrics=_METRICS,
        tags=("game-theory", "strategy", "cpu"),
        requirements=_REQUIREMENTS,
    )


@hookimpl
def mlgym_suites() -> Iterable[SuiteSpec]:
    """Register the suite of the three games."""
    yield SuiteSpec(
        "games",
        "Three repeated games against private opponents",
        tasks=("games/battle-of-sexes", "games/prisoners-dilemma", "games/blotto"),
    )
