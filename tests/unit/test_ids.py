from __future__ import annotations

import pytest

from mlgym_core.errors import UsageError
from mlgym_core.ids import check_plain_id, check_task_id, domain_of, near_misses, slug


@pytest.mark.parametrize("task_id", ["games/blotto", "algorithms/3sat-heuristic", "rl/meta_maze", "a/b"])
def test_task_ids(task_id: str) -> None:
    assert check_task_id(task_id) == task_id


@pytest.mark.parametrize(
    "task_id", ["", "blotto", "games/", "/blotto", "games/a/b", "Games/blotto", "games/-b", "games/b-", "a/b\n", "ä/b"]
)
def test_what_is_no_task_id(task_id: str) -> None:
    with pytest.raises(UsageError, match="domain/name"):
        check_task_id(task_id)


@pytest.mark.parametrize("plain_id", ["bash", "read_file", "tree-search", "v0"])
def test_plain_ids(plain_id: str) -> None:
    assert check_plain_id(plain_id) == plain_id


@pytest.mark.parametrize("plain_id", ["", "games/blotto", "read__file", "_x", "x_", "a b", "../x", "Bash", "bash\n"])
def test_what_is_no_plain_id(plain_id: str) -> None:
    with pytest.raises(UsageError, match="not a valid name"):
        check_plain_id(plain_id)


def test_parts_of_an_id() -> None:
    assert domain_of("games/blotto") == "games"
    assert slug("games/blotto") == "games-blotto"
    assert slug("../Odd name!") == "odd-name"


def test_near_misses_find_tasks_by_either_part_best_first() -> None:
    names = ["games/blotto", "games/battle-of-sexes", "tabular/titanic"]
    assert near_misses("bloto", names) == ["games/blotto"]
    assert near_misses("games/bloto", names)[0] == "games/blotto"
    assert near_misses("quantum-chess", names) == []
    assert len(near_misses("aaaa", ["aaab", "aaac", "aaad", "aaae"], limit=2)) == 2
