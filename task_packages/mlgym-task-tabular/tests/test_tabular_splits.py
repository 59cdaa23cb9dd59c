"""What agents see, and what only graders see: sizes, ids, order, and nothing that leads to an answer."""

from __future__ import annotations

import runpy
import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sklearn.model_selection import train_test_split
from tabular_support import VARIANTS, Prepare, Prepared, content_of

from mlgym_core import Preparation
from mlgym_core.builtin.tuner import declared_parameters
from mlgym_task_tabular import house_price, plugin
from mlgym_task_tabular.house_price import HousePrice, paper_split
from mlgym_task_tabular.prediction_task import SPLITS, PredictionTask
from mlgym_task_tabular.tables import read_table
from mlgym_task_tabular.titanic import Titanic


def rows_without_ids(prepared: Prepared, split: str) -> list[tuple[str, ...]]:
    """Return a split's rows with their answers, as in the dataset if that is not changed."""
    table = prepared.table(split)
    if split != "test":
        return [tuple(row[1:]) for row in table.rows]
    place = prepared.table("train").columns.index(prepared.task.target)
    answers = prepared.answers("test")
    return [(*row[1:place], answers[row[0]], *row[place:]) for row in table.rows]


def test_sizes_and_ids(prepared: Prepared) -> None:
    tables = [prepared.table(split) for split in SPLITS]
    assert tuple(len(table.rows) for table in tables) == prepared.task.sizes[prepared.task.variant]
    ids = [row[0] for table in tables for row in table.rows]
    assert ids == [str(number) for number in range(1, len(ids) + 1)]
    assert {table.columns[0] for table in tables} == {prepared.task.id_column}


def test_every_row_is_in_one_split(prepared: Prepared) -> None:
    everything = [row for split in SPLITS for row in rows_without_ids(prepared, split)]
    name = "passengers" if isinstance(prepared.task, Titanic) else prepared.task.variant
    [path] = content_of(type(prepared.task), name).iterdir()
    dataset = read_table(path)
    assert len(everything) == len(dataset.rows)
    if prepared.task.variant != "passengers":
        assert Counter(everything) == Counter(map(tuple, dataset.rows))


def test_test_answers_are_private(prepared: Prepared) -> None:
    task = prepared.task
    assert sorted(path.name for path in prepared.private.iterdir()) == ["test.csv", "validation.csv"]
    expected = ["README.md", "baseline.py", "test.csv", "train.csv", "validation.csv"]
    assert sorted(path.name for path in prepared.public.iterdir()) == expected
    assert set(prepared.table("train").columns) - set(prepared.table("test").columns) == {task.target}
    assert list(prepared.answers("test")) == [row[0] for row in prepared.table("test").rows]
    validation = prepared.table("validation")
    shown = dict(zip(validation.column(task.id_column), validation.column(task.target), strict=True))
    assert prepared.answers("validation") == shown
    for path in prepared.public.iterdir():
        assert (prepared.private / "test.csv").read_bytes() not in path.read_bytes()


def test_no_answers_are_missing_or_of_another_kind(prepared: Prepared) -> None:
    for split in ("validation", "test"):
        for answer in prepared.answers(split).values():
            assert float(answer) > 0 if isinstance(prepared.task, HousePrice) else answer in ("0", "1")


def original_places(prepared: Prepared, split: str) -> list[int]:
    """Return where in the dataset the rows of a split are."""
    if prepared.task.variant == "passengers":
        # What the files show of its rows is not what the dataset has.
        _, splits = prepared.task.splits(Preparation(Path(), Path(), lambda name: content_of(Titanic, name)))
        return list(splits[split])
    name = "passengers" if isinstance(prepared.task, Titanic) else prepared.task.variant
    [path] = content_of(type(prepared.task), name).iterdir()
    places = {tuple(row): place for place, row in enumerate(read_table(path).rows)}
    return [places[row] for row in rows_without_ids(prepared, split)]


def test_neither_order_nor_ids_say_where_a_row_was(prepared: Prepared) -> None:
    start = 0
    for split in SPLITS:
        places = original_places(prepared, split)
        rising = sum(first < second for first, second in pairwise(places)) / (len(places) - 1)
        assert 0.4 < rising < 0.6
        assert sum(place == start + number for number, place in enumerate(places)) < 5
        start += len(places)


def test_files_are_the_same_each_time(prepared: Prepared, prepare: Prepare) -> None:
    again = prepare(type(prepared.task), prepared.task.variant)
    for folder, other in ((prepared.public, again.public), (prepared.private, again.private)):
        for path in folder.iterdir():
            assert (other / path.name).read_bytes() == path.read_bytes()


def test_another_key_gives_other_splits(prepare: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = prepare(Titanic, "passengers")
    monkeypatch.setenv("MLGYM_GRADING_KEY", "another")
    assert prepare(Titanic, "passengers").table("test").rows != usual.table("test").rows


def answers_by_derived_order(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return what the attack submits that derives the order from the public key."""
    [attack] = [attack for attack in prepared.task.attacks() if attack.name == "derives the order from the public key"]
    [dataset] = attack.dataset_names
    copy = prepared.public / "public_copy"
    shutil.copytree(content_of(type(prepared.task), dataset), copy)
    monkeypatch.chdir(prepared.public)
    runpy.run_path(str(attack.program), run_name="__main__")
    return {row[0]: row[1] for row in read_table(prepared.public / "submission.csv").rows}


@pytest.mark.parametrize(("task", "variant"), VARIANTS)
def test_the_public_key_gives_the_order_away(
    task: type[PredictionTask], variant: str, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLGYM_GRADING_KEY", raising=False)
    prepared = prepare(task, variant)
    assert answers_by_derived_order(prepared, monkeypatch) == prepared.answers("test")
    assert "flagged" in {attack.outcome for attack in prepared.task.attacks() if "public key" in attack.name}


@pytest.mark.parametrize(("task", "variant"), VARIANTS)
def test_a_secret_key_does_not(
    task: type[PredictionTask], variant: str, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLGYM_GRADING_KEY", "a secret")
    prepared = prepare(task, variant)
    assert len(set(answers_by_derived_order(prepared, monkeypatch).values())) == 1
    assert "stopped" in {attack.outcome for attack in prepared.task.attacks() if "public key" in attack.name}


# ----------------------------------------------------------------------------- the paper's and Kaggle's splits


@pytest.mark.parametrize("key", [None, "another", "a third"])
def test_huge_houses_are_training_rows(key: str | None, prepare: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    if key is not None:
        monkeypatch.setenv("MLGYM_GRADING_KEY", key)
    prepared = prepare(HousePrice, "ames")
    huge = {split: sum(float(area) > 4000 for area in prepared.table(split).column("GrLivArea")) for split in SPLITS}
    assert huge == {"train": 5, "validation": 0, "test": 0}
    assert "4,000" in prepared.task.description()


@pytest.mark.parametrize("count", [1460, 1459, 1461, 100, 37])
def test_the_paper_s_split_is_scikit_learn_s(count: int) -> None:
    rest, test = train_test_split(range(count), test_size=0.2, random_state=42)
    train, validation = train_test_split(rest, test_size=0.125, random_state=42)
    assert paper_split(count) == {"train": set(train), "validation": set(validation), "test": set(test)}


def test_kaggle_s_houses_are_split_as_in_the_paper(prepare: Prepare) -> None:
    prepared = prepare(HousePrice, "kaggle")
    for split, members in paper_split(1460).items():
        assert set(original_places(prepared, split)) == members


def test_kaggle_s_test_passengers_are_the_test_rows(prepare: Prepare) -> None:
    prepared = prepare(Titanic, "kaggle")
    [path] = content_of(Titanic, "kaggle").iterdir()
    labelled = set(read_table(path).column("Ticket"))
    assert set(prepared.table("train").column("Ticket")) <= labelled
    names = set(prepared.table("test").column("Name"))
    assert "Kelly, Mr. James" in names
    assert "Ware, Mr. Frederick" in names
    assert "Braund, Mr. Owen Harris" not in names


# ------------------------------------------------------------------------------------------------- names


def test_passengers_have_no_names(prepare: Prepare) -> None:
    prepared = prepare(Titanic, "passengers")
    text = b"".join(path.read_bytes() for path in prepared.public.iterdir())
    for word in (b"Allison", b"Elisabeth", b"113781", b"PC 17", b"C22", b"Countess"):
        assert word not in text
    table = prepared.table("train")
    assert set(table.column("Title")) == {"Mr", "Mrs", "Miss", "Master", "Dr", "Rev", "Other"}
    assert set(table.column("Deck")) <= {"", *"ABCDEFGT"}


def test_families_and_parties_stay_together(prepare: Prepare) -> None:
    named, numbered = prepare(Titanic, "kaggle"), prepare(Titanic, "passengers")

    def sizes(prepared: Prepared, column: str, group: Any) -> Counter[int]:
        values = [group(value) for split in SPLITS for value in prepared.table(split).column(column)]
        return Counter(Counter(values).values())

    assert sizes(numbered, "Ticket", str) == sizes(named, "Ticket", str)
    assert sizes(numbered, "Family", str) == sizes(named, "Name", lambda name: name.partition(",")[0])
    first = [int(number) for number in numbered.table("train").column("Ticket")]
    assert first[0] == 1, "numbers are given in the order of the new rows"
    assert all(number <= max(first[:place], default=0) + 1 for place, number in enumerate(first))


# -------------------------------------------------------------------------------------- what is said of it


def test_description(prepared: Prepared) -> None:
    task = prepared.task
    text = task.description()
    assert (prepared.public / "README.md").read_text(encoding="utf-8") == text
    for column in prepared.table("train").columns:
        assert f"`{column}`" in text
    baseline = task.anchors("test").baseline
    for words in (
        f"{task.id_column},{task.target}",
        "maximised",
        f"baseline: {'r2' if baseline > 0.8 else 'accuracy'}",
    ):
        assert words in text
    assert f"{baseline:.3f}" in text
    for words in ("`validate`", "`submit`", "no network", "tunable", "installed", "test.csv", "baseline.py"):
        assert words in text
    assert "{" not in text


def test_anchors_and_contamination(prepared: Prepared) -> None:
    for split in ("validation", "test"):
        anchors = prepared.task.anchors(split)
        assert anchors.band is not None
        assert anchors.band[0] < anchors.baseline < anchors.band[1]
        assert anchors.reference is not None
        assert anchors.reference > anchors.baseline
        assert anchors.reference_source
    implausible = prepared.task.anchors("test").implausible
    assert implausible is not None
    assert implausible > (prepared.task.anchors("test").reference or 1)
    for words in ("public", "order", "ids", "flagged", "MLGYM_GRADING_KEY"):
        assert words in prepared.task.contamination()


def test_starters_declare_parameters(prepared: Prepared) -> None:
    parameters = declared_parameters((prepared.public / "baseline.py").read_text(encoding="utf-8"))
    assert 2 <= len(parameters) <= 6


def test_plugin_registers_the_tasks() -> None:
    specs = {spec.id: spec for spec in plugin.mlgym_tasks()}
    assert {spec.variants for spec in specs.values()} == {("ames", "kaggle"), ("passengers", "kaggle")}
    assert specs["tabular/house-price"].primary_metric.name == "r2"
    assert "scikit-learn" not in " ".join(specs["tabular/titanic"].requirements)
    [suite] = plugin.mlgym_suites()
    assert set(suite.tasks) == set(specs)
    assert (Path(house_price.__file__).parent / "starters" / HousePrice.starter).is_file()
