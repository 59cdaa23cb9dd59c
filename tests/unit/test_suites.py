"""Suites: what they name is checked, and told where it does not exist."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from example_plugin import ExamplePlugin

from mlgym_core import Host, PublishedScore, SuiteSpec, UsageError, hookimpl
from mlgym_core.cli.result_rows import columns_of, markdown_table, notes_of, result_rows
from mlgym_core.runner import RunPlan
from mlgym_core.suites import chosen_tasks, published_baselines
from mlgym_core.types import EpisodeResult, Score

PUBLISHED = PublishedScore(value=0.5, metric="value", source="A paper")


class Suites:
    """Registers suites of the small tasks."""

    MLGYM_API = 1

    @hookimpl
    def mlgym_suites(self) -> Iterator[SuiteSpec]:
        tasks = ("examples/number", "examples/lines")
        baselines = {"examples/number": PUBLISHED}
        yield SuiteSpec("first", "First", tasks=tasks, published_baselines=baselines, limits={"max_steps": 3})
        yield SuiteSpec("trusted", "Trusted", tasks=tasks, variants={"examples/lines": "trusted"})
        yield SuiteSpec("full", "As by default", tasks=tasks, variants={"examples/lines": "full"})
        yield SuiteSpec("huge", "No such variant", tasks=tasks, variants={"examples/lines": "huge"})
        missing = ("examples/number", "proteins/folding", "proteins/docking", "stars/mass")
        distributions = dict.fromkeys(missing[1:3], "mlgym-task-proteins")
        yield SuiteSpec("missing", "Not installed", tasks=missing, distributions=distributions)


@pytest.fixture
def host() -> Host:
    return Host.of(ExamplePlugin(), Suites())


def test_tasks_come_with_the_variants_and_limits_of_their_suites(host: Host) -> None:
    chosen = chosen_tasks(host, ["examples/small", "examples/lines"], ["trusted"])
    assert chosen.tasks == ("examples/small", "examples/lines", "examples/number")
    assert chosen.variants == {"examples/lines": "trusted"}
    assert chosen_tasks(host, [], ["first"]).limits["examples/number"] == {"max_steps": 3}
    # What the user says wins, also over suites that disagree or name a variant that is not there.
    assert chosen_tasks(host, [], ["trusted", "full", "huge"], "full").variants == {}


@pytest.mark.parametrize(
    ("suites", "says"),
    [
        (["huge"], "runs examples/lines in the variant 'huge', which .* does not have. It has: full, trusted"),
        (["trusted", "full"], "want different variants of examples/lines: 'trusted' and 'full'"),
        (["first", "full"], "limit examples/number differently"),
        (["missing"], "proteins/folding, proteins/docking, stars/mass. To have them: pip install mlgym-task-proteins "),
        (["frist"], "Did you mean 'first'"),
    ],
)
def test_what_cannot_be_chosen_is_named(host: Host, suites: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        chosen_tasks(host, [], suites)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"variants": {"games/chess": "mini"}}, "`variants` names games/chess, which is none of its tasks"),
        ({"variants": {"games/blotto": 3}}, "`variants` is"),
        ({"variants": "mini"}, "`variants` is 'mini'"),
        ({"limits": {"max_step": 3}}, "there are only: max_steps"),
        ({"limits": {"max_steps": "3"}}, "write a number"),
        ({"limits": {"max_steps": None}}, "every episode has one"),
        ({"distributions": {"games/go": "mlgym-task-games"}}, "`distributions` names games/go"),
        ({"published_baselines": {"games/blotto": 0.5}}, "`published_baselines` is"),
        ({"tasks": ("games/blotto", "games/blotto")}, "names a task twice"),
    ],
)
def test_specs_are_checked(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        SuiteSpec("mine", "Mine", **{"tasks": ("games/blotto",)} | options)


def test_a_published_score_is_a_number_with_a_source() -> None:
    wrong: Any = "high"
    with pytest.raises(UsageError, match="write a number"):
        PublishedScore(value=wrong, metric="accuracy", source="A paper")
    nothing: Any = None
    with pytest.raises(UsageError, match="`source`"):
        PublishedScore(value=0.5, metric="accuracy", source=nothing)


def test_of_the_limits_of_a_suite_and_an_agent_the_tighter_holds() -> None:
    plan = RunPlan(
        tasks=("examples/number",),
        agents=("busy", "calm"),
        max_steps=40,
        limits_of_agents={"busy": {"max_steps": 20, "max_cost": None, "max_time": 5.0}},
        limits_of_tasks={"examples/number": {"max_steps": 30, "max_cost": 2.0, "max_time": None}},
    )
    busy, calm = plan.limits_of("busy", "examples/number"), plan.limits_of("calm", "examples/number")
    assert (busy["max_steps"], busy["max_cost"], busy["max_time"]) == (20, 2.0, 5.0)
    assert (calm["max_steps"], calm["max_cost"], calm["max_time"]) == (30, 2.0, None)
    assert plan.limits_of("calm", "examples/other")["max_steps"] == 40


def result(**fields: Any) -> EpisodeResult:
    score = Score(
        task="examples/number", variant="full", split="test", protocol="strict", valid=True, primary="value",
        value=0.25, direction="maximize", normalized=0.25, baseline=0.0,
    )  # fmt: skip
    known: dict[str, Any] = {
        "episode_id": "e", "task": "examples/number", "task_version": "1", "data_hash": "", "variant": "full",
        "protocol": "strict", "reward": "improvement", "sandbox": "bwrap", "agent": "baseline", "seed": 0,
        "started_at": "", "status": "completed", "exit_reason": "submitted", "steps": 1, "wall_s": 2.0, "score": score,
        "final": 0.25,
    }  # fmt: skip
    return EpisodeResult(**known | fields)


def test_the_table_says_what_its_numbers_are(host: Host) -> None:
    published = published_baselines(host, ["first", "gone"])
    text = markdown_table(result_rows([result(), result(task="examples/lines")], published))
    assert "| `examples/number` | full | value ↑ | 0.5 | 0 | 0.25 | +0.250 | 2.0 s | – |" in text
    assert "| `examples/lines` | full | value ↑ | – | 0 | 0.25" in text
    assert "outcome" not in text
    assert text.endswith("Published baselines: A paper, on the data of that publication.")


def test_another_metric_and_what_has_no_score() -> None:
    published = {"examples/number": PublishedScore(value=16.158, metric="seconds", source="A paper")}
    rows = result_rows(
        [
            result(),
            result(status="infrastructure_failure", error="no | disk", score=None, final=None, repeat=1, agent="other"),
        ],
        published,
    )
    assert [column.heading for column in columns_of(rows)][-1] == "outcome"
    assert {"agent", "repeat"} <= {column.heading for column in columns_of(rows)}
    text = markdown_table(rows)
    assert r"| 16.16\* |" in text
    assert "| failed |" in text
    assert notes_of(rows)[1] == "* examples/number: published in another metric, seconds; compare it with nothing here."
    assert rows[1].as_json()["reason"] == "no | disk"
