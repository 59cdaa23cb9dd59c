"""Columns of public tables that are the answers are found, and nothing else is taken for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlgym_core.checks.tables import leaks_of

ROWS = range(12)
ANSWERS = "id,y\n" + "".join(f"{row},{row / 7}\n" for row in ROWS)


def leaks(tmp_path: Path, name: str, content: str, answers: str = ANSWERS) -> list[str]:
    """Return what is found in one public file."""
    public, submission = tmp_path / "public", tmp_path / "submission"
    public.mkdir()
    submission.mkdir()
    (submission / "submission.csv").write_text(answers, encoding="utf-8")
    (public / name).write_text(content, encoding="utf-8")
    return leaks_of(submission, public)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("test.csv", "id,y\n" + "".join(f"{row},{row / 7}\n" for row in ROWS)),
        # In another order, with other columns and rows, another name and other digits.
        ("all.csv", "a,number,b\n" + "".join(f"1,{row},{row / 7:.12f}\n" for row in reversed(range(20)))),
        ("test.tsv", "id\ty\n" + "".join(f"{row}\t{row / 7}\n" for row in ROWS)),
    ],
)
def test_columns_that_are_the_answers_are_found(name: str, content: str, tmp_path: Path) -> None:
    [leak] = leaks(tmp_path, name, content)
    assert f"of {name} has the test split's 'y'" in leak


@pytest.mark.parametrize(
    ("name", "content", "answers"),
    [
        ("test.csv", "id,a\n" + "".join(f"{row},{row}\n" for row in ROWS), ANSWERS),
        # One value is another.
        ("test.csv", ANSWERS.replace("11,", "11,1"), ANSWERS),
        # Rows of another split.
        ("train.csv", "id,y\n" + "".join(f"{row + 100},{row / 7}\n" for row in ROWS), ANSWERS),
        # So few rows, and answers that do not differ, say nothing.
        ("test.csv", "id,y\n1,2\n2,3\n", "id,y\n1,2\n2,3\n"),
        (
            "test.csv",
            "id,y\n" + "".join(f"{row},1\n" for row in ROWS),
            "id,y\n" + "".join(f"{row},1\n" for row in ROWS),
        ),
        # No tables.
        ("test.csv", "", ANSWERS),
        ("test.csv", "id,y\n1\n", ANSWERS),
        ("notes.md", ANSWERS, ANSWERS),
    ],
)
def test_nothing_else_is_taken_for_them(name: str, content: str, answers: str, tmp_path: Path) -> None:
    assert leaks(tmp_path, name, content, answers) == []


def test_what_is_no_text_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "test.csv").write_bytes(b"\xff\xfe\0id")
    (tmp_path / "submission").mkdir()
    (tmp_path / "submission" / "submission.csv").write_text(ANSWERS, encoding="utf-8")
    assert leaks_of(tmp_path / "submission", tmp_path / "public") == []
