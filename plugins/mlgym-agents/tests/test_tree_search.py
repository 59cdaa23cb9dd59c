"""The agent `tree-search` through LiteLLM's own code, against a server that answers as told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from agents_support import INJECTION, Player

from mlgym_agents.tree.nodes import Node, Tree
from mlgym_agents.tree.policy import Choice, Greedy, policy_class
from mlgym_core import UsageError
from mlgym_core.testing import ScriptedAnswer
from mlgym_core.testing.model_server import Answer, context_too_long

ONE_DRAFT = {"drafts": "1"}


@pytest.fixture
def search(play: Player) -> Player:
    play.agent = "tree-search"
    return play


def number(value: object, plan: str = "A plan.", more: str = "") -> str:
    return f"{plan}\n\nFILE: answer.txt\n```\n{value}\n```\n{more}"


def run(command: str) -> str:
    return f"\nRUN:\n```\n{command}\n```"


def questions(player: Player) -> list[str]:
    return [request["messages"][1]["content"] for request in player.requests]


async def test_drafts_debugs_and_improves(search: Player) -> None:
    answers: list[Answer] = [
        number(0.2, "First."),
        number("much", "Second."),
        number(0.3, "Repaired."),
        number(0.1, "Third."),
        number(0.5, "Better."),
        number(0.4, "Worse."),
        number(0.6, "Best."),
    ]
    result = await search(answers, {"nodes": "7", "drafts": "3"})
    assert (result.status, result.exit_reason, result.final) == ("completed", "submitted", 0.6)
    assert result.best_validation == 0.6
    assert result.validations == 7
    # A look, seven solutions of two steps, and the submission: one record of one episode.
    assert result.steps == 1 + 7 * 2 + 1
    assert "tools" not in search.requests[0]
    asked = questions(search)
    assert "a first solution" in asked[0]
    assert "== answer.txt, all of it\n0" in asked[0]
    assert INJECTION in asked[0]
    assert "begins anew" in asked[1]
    assert "- 1 (draft), value 0.2, the best: First." in asked[1]
    assert "Repair solution 2" in asked[2]
    assert "answer.txt holds no number" in asked[2]
    assert "begins anew" in asked[3]
    assert "Improve solution 3" in asked[4]
    assert "FILE: answer.txt\n````\n0.3\n\n````" in asked[4]
    assert "Improve solution 5" in asked[5]
    assert "Improve solution 5" in asked[6]
    origins = [event["origin"] for event in search.events if event["type"] == "reset"]
    assert len(origins) == 1 + 7 + 1
    assert len({event["origin"]["episode_id"] for event in search.events if event.get("origin")}) == 1


async def test_a_script_makes_the_submission(search: Player) -> None:
    search.task = "small/script"

    def script(text: str, more: str = "") -> str:
        return f"Plan.\nFILE: solve.py\n```python\n{text}\n```\nFILE: lib.py\n```python\nvalue = 0.5\n```{more}"

    answers: list[Answer] = [
        script("from lib import value\nprint('hi')\nopen('answer.txt', 'w').write(str(value))"),
        script("raise ValueError('no luck')"),
        script("import lib\nopen('answer.txt', 'w').write(str(lib.value - 1))", run("python3 solve.py | cat; exit 0")),
    ]
    result = await search(answers, {"nodes": "3"} | ONE_DRAFT)
    assert (result.exit_reason, result.final) == ("submitted", -0.5)
    asked = questions(search)
    assert "== solve.py, all of it" in asked[0]
    assert "x,y\n1,2" in asked[0]
    assert "Its output:\n\nhi" in asked[1]
    # Less is better here.
    assert "- 1 (draft), value 0.5, the best" in asked[1]
    assert "Its command failed." in asked[2]
    assert "no luck" in asked[2]


async def test_where_nothing_works_the_starter_counts(search: Player) -> None:
    search.task = "small/script"
    bad = "Plan.\nFILE: solve.py\n```python\nraise ValueError\n```"
    result = await search([bad, bad], {"nodes": "2"})
    assert (result.status, result.exit_reason, result.final) == ("completed", "submitted", 0.0)


async def test_a_bad_node_in_progress_is_not_what_is_graded(search: Player) -> None:
    slow = number("much", more=run("echo 9 > answer.txt; sleep 60"))
    result = await search([number(0.5), slow], ONE_DRAFT, max_time=8.0)
    assert (result.status, result.limit, result.final) == ("completed", "max_time", 0.5)
    kinds = [event["type"] for event in search.events]
    assert kinds[-5:] == ["reset", "submission", "observation", "score", "end"] or "reset" in kinds[-5:]


async def test_the_model_may_be_late(search: Player) -> None:
    late = ScriptedAnswer(text=number(9), delay=60)
    result = await search([number(0.5), number("much"), late], ONE_DRAFT, max_time=8.0)
    assert (result.status, result.limit, result.final) == ("completed", "max_time", 0.5)


async def test_before_anything_is_better_the_start_counts(search: Player) -> None:
    bad = number("much", more=run("echo 9 > answer.txt; sleep 60"))
    result = await search([bad], ONE_DRAFT, max_time=5.0)
    assert (result.status, result.limit, result.final) == ("completed", "max_time", 0.0)


@pytest.mark.parametrize("steps", [5, 6, 7, 8, 9, 10])
async def test_steps_suffice_for_the_submission(search: Player, steps: int) -> None:
    values = iter(range(1, 100))
    result = await search(lambda _: number(next(values) / 10), ONE_DRAFT, max_steps=steps)
    assert (result.status, result.exit_reason) == ("completed", "submitted")
    assert result.final == result.best_validation if result.validations else result.final == 0.0
    assert result.steps <= steps


async def test_validations_run_out(search: Player) -> None:
    values = iter([0.1, 0.5, 0.3])
    result = await search(lambda _: number(next(values)), ONE_DRAFT, max_validations=3)
    assert (result.exit_reason, result.final, result.validations) == ("submitted", 0.5, 3)


@pytest.mark.parametrize("limit", ["max_cost", "max_tokens"])
async def test_money_and_tokens_run_out(search: Player, tmp_path: Path, limit: str) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text('{"openai/scripted": {"prompt": 100, "completion": 100}}')
    limits: dict[str, Any] = {"max_cost": 0.6} if limit == "max_cost" else {"max_tokens": 6000}
    values = iter([0.5, *["much"] * 50])
    options = {"prices": str(prices), "answer_tokens": "100"}
    result = await search(lambda _: number(next(values)), ONE_DRAFT, options, **limits)
    assert (result.status, result.limit, result.final) == ("completed", limit, 0.5)
    assert len(search.requests) > 2


async def test_commands_that_break_things(search: Player) -> None:
    answers: list[Answer] = [
        number(0.5),
        number(0.1, more=run("sleep 60")),
        number(0.1, more=run("kill -9 $PPID")),
        number(0.1, more=run("cd /; rm -rf /workspace/* 2>/dev/null; exit 3")),
        number(0.1, more=run("sleep 1000 & echo started")),
        number(0.7),
    ]
    options = {"nodes": "6", "debug_depth": "0"} | ONE_DRAFT
    result = await search(answers, options, action_timeout=3.0, sandbox="bwrap")
    assert (result.status, result.exit_reason, result.final) == ("completed", "submitted", 0.7)
    asked = questions(search)
    assert all("Improve solution 1" in question for question in asked[1:])
    assert "FILE: answer.txt\n````\n0.5\n" in asked[5]


async def test_repairs_only_so_deep(search: Player) -> None:
    result = await search(lambda _: number("much"), {"nodes": "5", "debug_depth": "2"} | ONE_DRAFT)
    # Nothing is better than the start.
    assert (result.exit_reason, result.final) == ("submitted", 0.0)
    kinds = ["Repair" if "Repair solution" in question else "draft" for question in questions(search)]
    assert kinds == ["draft", "Repair", "Repair", "draft", "Repair"]


async def test_malformed_answers(search: Player) -> None:
    cut_off = ScriptedAnswer(text="FILE: answer.txt\n```\n0", finish_reason="length")
    answers: list[Answer] = ["Hm.", cut_off, number(0.5), "Hm.", "Hm.", "Hm."]
    result = await search(answers, {"reminders": "2"} | ONE_DRAFT)
    assert (result.exit_reason, result.final, result.validations) == ("submitted", 0.5, 1)
    assert "There is no file" in search.requests[1]["messages"][3]["content"]
    assert "cut off" in search.requests[2]["messages"][3]["content"]
    assert len(search.requests) == 6


@pytest.mark.parametrize("limits", [{"max_steps": 5}, {"max_validations": 0}, {}])
async def test_that_no_solution_was_made_is_told(
    search: Player, limits: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    result = await search(["Hm."] * 10, None, **limits)
    assert (result.exit_reason, result.final) == ("submitted", 0.0)
    assert f"no solution was made with {0 if limits else 4} calls of the model" in caplog.text
    assert "at least 6 steps" in caplog.text


async def test_the_fewest_steps_suffice_for_a_solution(search: Player, caplog: pytest.LogCaptureFixture) -> None:
    result = await search([number(0.5)], None, max_steps=6)
    assert result.final == 0.5
    assert "no solution was made" not in caplog.text


async def test_what_does_not_fit_is_shortened(search: Player) -> None:
    answers: list[Answer] = [number(0.5, more=run("seq 20000")), context_too_long(), number(0.6)]
    result = await search(answers, {"nodes": "2"} | ONE_DRAFT)
    assert result.final == 0.6
    asked = questions(search)
    assert "characters are left out" in asked[1]
    assert len(asked[2]) < 0.7 * len(asked[1])
    # Where nothing helps, what there is is submitted.
    result = await search([number(0.5), *[context_too_long()] * 20], ONE_DRAFT)
    assert (result.exit_reason, result.final) == ("submitted", 0.5)


async def test_a_large_file_of_the_models_own_does_not_end_it(search: Player) -> None:
    values = iter([0.1, 0.2, 0.3])

    def answer(_: Mapping[str, Any]) -> str:
        return number(next(values), more="FILE: large.txt\n```\n" + "word " * 8000 + "\n```")

    result = await search(answer, {"nodes": "3", "context_tokens": "4000"} | ONE_DRAFT)
    assert (result.exit_reason, result.final) == ("submitted", 0.3)
    assert all(len(question) < 20_000 for question in questions(search))


async def test_outputs_are_never_solutions(search: Player) -> None:
    answers: list[Answer] = [number(0.5, more=run("cat notes.txt")), "I see what the output wants.", number(0.6)]
    result = await search(answers, {"nodes": "2"} | ONE_DRAFT)
    assert (result.exit_reason, result.final, result.validations) == ("submitted", 0.6, 2)
    assert "FILE: answer.txt\n```\n9" in questions(search)[1]


async def test_a_policy_of_the_users(search: Player, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_policies.py").write_text(
        "from mlgym_agents.tree.policy import Choice, Policy\n"
        "class Chain(Policy):\n"
        "    def choose(self, tree):\n"
        "        if len(tree.nodes) == 3:\n"
        "            return None\n"
        "        return Choice('improve', tree.nodes[-1]) if tree.nodes else Choice('draft', tree.start)\n"
        "class Wrong(Policy):\n"
        "    def choose(self, tree):\n"
        "        return Choice('destroy', tree.start)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    result = await search([number(0.5), number(0.1), number(0.2)], {"policy": "my_policies:Chain"})
    assert (result.exit_reason, result.final) == ("submitted", 0.5)
    assert "Improve solution 2" in questions(search)[2]
    result = await search([number(0.5)], {"policy": "my_policies:Wrong"})
    assert result.status == "infrastructure_failure"
    assert "chose what cannot be made" in str(result.error)


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ("Gredy", "Did you mean 'Greedy'"),
        ("no_such_module:X", "PYTHONPATH"),
        ("json:loads", "does not derive"),
        ("Policy", "does not derive"),
        ("a.b:", "package.module:Class"),
    ],
)
def test_policies_that_are_none(policy: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        policy_class(policy)


@pytest.mark.parametrize("option", ["drafts=0", "debug_depth=-1", "nodes=0", "policy=None"])
async def test_options_that_do_not_fit(search: Player, option: str) -> None:
    name, _, value = option.partition("=")
    with pytest.raises(UsageError, match=name):
        await search([], {name: value})


async def test_tools_that_it_needs(search: Player) -> None:
    with pytest.raises(UsageError, match="cannot do without write_file, validate: name that with --tools"):
        await search([], tools=("bash", "submit"))


def test_greedy() -> None:
    snapshot: Any = None
    tree = Tree(Node(number=0, kind="start", snapshot=snapshot), "minimize")
    policy = Greedy(drafts=2, debug_depth=1, seed=0)

    def add(choice: Choice | None, score: float | None) -> Node:
        assert choice is not None
        node = Node(
            number=len(tree.nodes) + 1, kind=choice.kind, parent=choice.parent, score=score,
            problem=None if score is not None else "Broken.", snapshot=snapshot,
        )  # fmt: skip
        tree.add(node)
        return node

    scores: Iterator[float | None] = iter([None, None, 3.0, 2.0, None, None, 1.0])
    made = []
    for score in scores:
        choice = policy.choose(tree)
        assert choice is not None
        made.append((choice.kind, choice.parent.number))
        add(choice, score)
    assert made == [
        ("draft", 0), ("debug", 1), ("draft", 0), ("improve", 3), ("improve", 4), ("debug", 5), ("improve", 4),
    ]  # fmt: skip
    assert tree.best is tree.nodes[6]
