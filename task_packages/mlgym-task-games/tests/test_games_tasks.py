"""The three tasks as a whole: scores of known strategies, checks of answers, files, descriptions."""

from __future__ import annotations

import importlib
import random
import re
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest

from mlgym_core import InvalidSubmission, Preparation
from mlgym_task_games import plugin
from mlgym_task_games.battle_of_sexes import BattleOfSexes
from mlgym_task_games.blotto import Blotto
from mlgym_task_games.matches import MATCHES, ROUNDS, MatchGame
from mlgym_task_games.prisoners_dilemma import PrisonersDilemma

GAMES: tuple[type[MatchGame[Any]], ...] = (BattleOfSexes, PrisonersDilemma, Blotto)
TUNABLE = re.compile(
    r"^(?P<name>[A-Z_]+) = (?P<value>\S+)  # tunable: "
    r"(?:(?P<kind>float|int) (?P<low>\S+) to (?P<high>\S+)|choice (?P<choices>.+))$",
    re.MULTILINE,
)

Play = Callable[..., float]


def prepared(game: type[MatchGame[Any]], folder: Path) -> Path:
    """Return the public files of a game."""
    public, private = folder / "public", folder / "private"
    public.mkdir(parents=True)
    private.mkdir()
    game().prepare(Preparation(public, private))
    return public


@pytest.mark.parametrize("seed", [1, 0xFFFF_FFFF_FFFF_FFFF])
@pytest.mark.parametrize("game", GAMES)
def test_starter_earns_the_baseline(game: type[MatchGame[Any]], seed: int, play: Play, tmp_path: Path) -> None:
    random.seed(seed)
    assert play(game(), prepared(game, tmp_path), seed) == pytest.approx(game.baseline, abs=0.03)


@pytest.mark.parametrize(
    ("game", "strategy"),
    [
        (BattleOfSexes, lambda history: 0),
        (PrisonersDilemma, lambda history: 1),
        (Blotto, lambda history: (30, 0, 30, 30, 0, 30)),
    ],
)
def test_best_strategy_earns_the_reference(
    game: type[MatchGame[Any]], strategy: Callable[[Any], Any], play: Play
) -> None:
    assert play(game(), strategy, 5) == pytest.approx(game.reference, abs=0.012)


@pytest.mark.parametrize("game", GAMES)
def test_payoff_depends_on_nothing_but_strategy_and_seed(game: type[MatchGame[Any]], play: Play) -> None:
    def strategy(history: list[Any]) -> Any:
        return (len(history), 20, 20, 20, 20, 20) if game is Blotto else len(history) % 2

    payoff = play(game(), strategy, 3)
    random.seed(99)
    assert play(game(), strategy, 3) == payoff
    assert play(game(), strategy, 4) != payoff


def test_matches_are_played_one_after_another_with_the_history_oldest_first(play: Play) -> None:
    seen: list[list[tuple[int, int]]] = []

    def strategy(history: list[tuple[int, int]]) -> bool:
        seen.append(history)
        return len(history) == 3

    play(PrisonersDilemma(), strategy)
    assert len(seen) == MATCHES * ROUNDS
    assert [len(history) for history in seen[: 2 * ROUNDS]] == [*range(ROUNDS), *range(ROUNDS)]
    for before, after in pairwise(seen[:ROUNDS]):
        assert after[:-1] == before
    assert [row for row, _ in seen[ROUNDS - 1]] == [0, 0, 0, 1, 0, 0, 0, 0, 0]
    assert all(type(move) is int for entry in seen[ROUNDS - 1] for move in entry)
    assert all(type(entry) is tuple for entry in seen[ROUNDS - 1])


@pytest.mark.parametrize("game", [BattleOfSexes, PrisonersDilemma])
@pytest.mark.parametrize(
    "answer", [7, -1, 2, 10**4000, 0.0, 1.0, float("nan"), float("inf"), "0", "1", None, [], [0], {}]
)
def test_answers_that_are_not_moves_are_refused(game: type[MatchGame[Any]], answer: Any, play: Play) -> None:
    with pytest.raises(InvalidSubmission, match=r"^row_strategy returned .* in match 1, round 1; expected 0 or 1\.$"):
        play(game(), lambda history: answer)


def test_refusal_names_match_and_round(play: Play) -> None:
    calls = iter(range(10**6))
    with pytest.raises(InvalidSubmission, match=r"returned 7 in match 3, round 4; expected 0 or 1"):
        play(BattleOfSexes(), lambda history: 7 if next(calls) == 23 else 0)


@pytest.mark.parametrize(
    "answer",
    [
        [20] * 5,
        [20] * 7,
        [21, 20, 20, 20, 20, 20],
        [-1, 20, 20, 20, 20, 20],
        [20.0] * 6,
        [float("nan")] * 6,
        [True, 20, 20, 20, 20, 20],
        ["20"] * 6,
        [[20]] * 6,
        [10**4000, 0, 0, 0, 0, 0],
        [120 - 10**30, 10**30, 0, 0, 0, 0],
        [],
        "202020",
        {"a": 1},
        120,
        None,
    ],
)
def test_answers_that_are_not_allocations_are_refused(answer: Any, play: Play) -> None:
    with pytest.raises(
        InvalidSubmission, match=r"in match 1, round 1; expected 6 integers, .* at most 120\.$"
    ) as caught:
        play(Blotto(), lambda history: answer)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("answer", [[0, 1], [False, True]])
def test_moves_of_the_matrix_games(answer: list[Any]) -> None:
    moves = [PrisonersDilemma().checked(value) for value in answer]
    assert moves == [0, 1]
    assert {type(move) for move in moves} == {int}


def test_allocations_may_leave_soldiers_at_home() -> None:
    assert Blotto().checked([0] * 6) == (0,) * 6
    assert Blotto().checked([120, 0, 0, 0, 0, 0]) == (120, 0, 0, 0, 0, 0)


def test_payoffs() -> None:
    moves = list(product((0, 1), repeat=2))
    assert [BattleOfSexes().payoff(*pair) for pair in moves] == [2, 0, 0, 1]
    assert [PrisonersDilemma().payoff(*pair) for pair in moves] == [3, 0, 5, 1]
    even = (20,) * 6
    assert Blotto().payoff(even, even) == 0
    assert Blotto().payoff((30, 30, 30, 30, 0, 0), even) == 1
    assert Blotto().payoff(even, (30, 30, 30, 30, 0, 0)) == -1
    assert Blotto().payoff((60, 60, 0, 0, 0, 0), (59, 59, 2, 0, 0, 0)) == 1
    assert Blotto().payoff((61, 59, 0, 0, 0, 0), (60, 60, 0, 0, 0, 0)) == 0


@pytest.mark.parametrize("game", GAMES)
def test_preparation_is_reproducible(game: type[MatchGame[Any]], tmp_path: Path) -> None:
    first, second = prepared(game, tmp_path / "a"), prepared(game, tmp_path / "b")
    names = sorted(path.name for path in first.iterdir())
    assert names == ["README.md", "strategy.py"]
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)
    assert [file.path for file in game().submission_files()] == ["strategy.py"]
    assert (first / "README.md").read_text(encoding="utf-8") == game().description()


@pytest.mark.parametrize("game", GAMES)
def test_description_says_what_an_agent_needs(game: type[MatchGame[Any]]) -> None:
    text = game().description()
    for words in (
        "row_strategy(history)",
        game.expected,
        "oldest first",
        "10,000 matches",
        "10 rounds",
        "One call may take 1 second",
        "numpy",
        "no network",
        f"baseline: {game.baseline} per round",
        "maximised",
        "`validate`",
        "`submit`",
        "tunable",
    ):
        assert words in text
    assert "{" not in text
    assert "0.8" not in text, "the opponent's rules are private"


@pytest.mark.parametrize("game", GAMES)
def test_scale_runs_from_baseline_to_reference(game: type[MatchGame[Any]]) -> None:
    for split in ("validation", "test"):
        anchors = game().anchors(split)
        assert anchors.baseline == game.baseline
        assert anchors.reference is not None
        assert anchors.reference > anchors.baseline + 0.2
        assert anchors.baseline_source
        assert anchors.reference_source


@pytest.mark.parametrize("game", GAMES)
def test_every_corner_of_the_declared_parameters_gives_moves(game: type[MatchGame[Any]], tmp_path: Path) -> None:
    source = (prepared(game, tmp_path) / "strategy.py").read_text(encoding="utf-8")
    declared = list(TUNABLE.finditer(source))
    assert len(declared) >= 5
    assert len(declared) == len(re.findall("# tunable:", source))
    extremes: list[list[str]] = []
    for match in declared:
        if match["choices"]:
            values = match["choices"].split(", ")
            assert match["value"] in values
        else:
            assert float(match["low"]) <= float(match["value"]) <= float(match["high"])
            values = [match["low"], match["high"]]
        extremes.append(values)
    history = {
        True: [((20,) * 6, (20,) * 6)],
        False: [(0, 1)],
    }[game is Blotto]
    for corner in product(*extremes):
        changed = source
        for match, value in zip(declared, corner, strict=True):
            changed = changed.replace(f"{match['name']} = {match['value']}  #", f"{match['name']} = {value}  #")
        namespace: dict[str, Any] = {}
        exec(compile(changed, "strategy.py", "exec"), namespace)
        for rounds in ([], history):
            for _ in range(5):
                assert game().checked(namespace["row_strategy"](rounds)) is not None, corner


@pytest.mark.parametrize(
    ("game", "values", "gain"),
    [
        (BattleOfSexes, {"PLAY_ZERO": "1"}, 0.1),
        (PrisonersDilemma, {"AFTER_ZERO_PLAY_ZERO": "0"}, 0.1),
        (Blotto, {"OTHER_FIELD": "True"}, 0.1),
        (Blotto, {"OTHER_FIELD": "True", "FEWEST_TIMES": "4", "MOST_TIMES": "4", "FEWEST_ADDED": "30"}, 0.3),
    ],
)
def test_changed_parameters_beat_the_baseline(
    game: type[MatchGame[Any]], values: dict[str, str], gain: float, play: Play, tmp_path: Path
) -> None:
    path = prepared(game, tmp_path) / "strategy.py"
    source = path.read_text(encoding="utf-8")
    for name, value in values.items():
        source, count = re.subn(rf"^{name} = \S+", f"{name} = {value}", source, flags=re.MULTILINE)
        assert count == 1
    path.write_text(source, encoding="utf-8")
    assert play(game(), path.parent, 2) > game.baseline + gain


def test_plugin_registers_the_games() -> None:
    specs = {spec.id: spec for spec in plugin.mlgym_tasks()}
    assert set(specs) == {"games/battle-of-sexes", "games/prisoners-dilemma", "games/blotto"}
    for spec in specs.values():
        module, _, name = spec.target.partition(":")
        assert getattr(importlib.import_module(module), name) in GAMES
        assert spec.primary_metric.name == "payoff"
        assert spec.primary_metric.direction == "maximize"
    (suite,) = plugin.mlgym_suites()
    assert set(suite.tasks) == set(specs)
