from __future__ import annotations

from typing import Any

import pytest

from mlgym_core.errors import UsageError
from mlgym_core.limits import Limits
from mlgym_core.specs import EPISODE_LIMITS, AgentSpec, MetricSpec, SuiteSpec, TaskMetric, TaskSpec


def task(task_id: str = "games/chess", target: str = "chess:Chess", **options: Any) -> TaskSpec:
    return TaskSpec(task_id, target, "Win", **({"metrics": (TaskMetric("payoff"),)} | options))


def test_a_task_fills_in_what_follows_from_the_rest() -> None:
    spec = task(metrics=[TaskMetric("loss", "minimize"), TaskMetric("accuracy")], tags=["cpu"])
    assert spec.domain == "games"
    assert spec.primary_metric == TaskMetric("loss", "minimize")
    assert spec.tags == ("cpu",), "lists become tuples, so that specs stay frozen"
    assert isinstance(hash(spec), int)
    assert task(domain="board-games").domain == "board-games"


@pytest.mark.parametrize("target", ["chess", "chess:", ":Chess", "chess.Chess", "chess:Chess()", "chess:a.b", "a b:C"])
def test_a_target_is_a_module_and_a_class(target: str) -> None:
    with pytest.raises(UsageError, match=r"package\.module:Class"):
        task(target=target)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ()}, "names no metric"),
        ({"metrics": TaskMetric("payoff")}, "`metrics`"),
        ({"metrics": ("payoff",)}, "`metrics`"),
        ({"variants": ()}, "no variant"),
        ({"variants": "full"}, "`variants`"),
        ({"tags": "cpu"}, "`tags`"),
        ({"requirements": "numpy"}, "`requirements`"),
        ({"version": 1}, "`version`"),
    ],
)
def test_a_malformed_task_says_what_is_wrong(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        task(**options)


def test_directions_are_checked() -> None:
    wrong: Any = "up"
    with pytest.raises(UsageError, match="'maximize' or 'minimize'"):
        TaskMetric("payoff", wrong)
    with pytest.raises(UsageError, match="'maximize' or 'minimize'"):
        MetricSpec("accuracy", "metrics:Accuracy", "Share of correct labels", direction=wrong)


def test_ids_and_summaries_are_checked() -> None:
    nothing: Any = None
    with pytest.raises(UsageError, match="domain/name"):
        task("chess")
    with pytest.raises(UsageError, match="not a valid name"):
        AgentSpec("my/agent", "agents:Mine", "Mine")
    with pytest.raises(UsageError, match="`summary`"):
        AgentSpec("mine", "agents:Mine", nothing)
    with pytest.raises(UsageError, match="domain/name"):
        SuiteSpec("games", "Games", tasks=("chess",))
    with pytest.raises(UsageError, match="`tasks`"):
        SuiteSpec("games", "Games", tasks="games/chess")  # type: ignore[arg-type]


def test_what_agents_bring_along_is_checked() -> None:
    assert tuple(Limits.__annotations__) == EPISODE_LIMITS
    spec = AgentSpec("mine", "agents:Mine", "Mine", tools=["bash"], limits={"max_steps": 3, "max_validations": None})  # type: ignore[arg-type]
    assert spec.tools == ("bash",)
    assert spec.limits == {"max_steps": 3, "max_validations": None}
    wrong: Any = "3"
    for options, says in (
        ({"limits": {"max_step": 3}}, "there are only: max_steps"),
        ({"limits": {"max_steps": wrong}}, "write a number"),
        ({"tools": "bash"}, "`tools`"),
    ):
        with pytest.raises(UsageError, match=says):
            AgentSpec("mine", "agents:Mine", "Mine", **options)
