"""The tasks of classification as a whole: splits, files, descriptions, grading, scales."""

from __future__ import annotations

import csv
import importlib
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from mlgym_core import InvalidSubmission
from mlgym_task_vision import plugin
from mlgym_task_vision.cifar10 import Cifar10
from mlgym_task_vision.classification import SPLITS, ImageClassification, Variant
from mlgym_task_vision.digits import Digits
from mlgym_task_vision.fashion_mnist import FashionMnist

TASKS: dict[str, type[ImageClassification]] = {kind.task_id: kind for kind in (Digits, FashionMnist, Cifar10)}
VARIANTS = [(name, variant) for name, kind in TASKS.items() for variant in kind.variants]
PREPARED = [
    ("vision/digits", "full"),
    ("vision/fashion-mnist", "mini"),
    ("vision/fashion-mnist", "full"),
    # It takes the download of a large archive.
    pytest.param("vision/cifar10", "mini", marks=pytest.mark.slow),
]
TUNABLE = re.compile(r"^([A-Z_]+) = (\S+)  # tunable: (?:float|int) (\S+) to (\S+)$", re.MULTILINE)

Prepared = Callable[..., Path]
Grade = Callable[..., tuple[float, list[str]]]
ContentOf = Callable[[str, str], Path]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def labels_of(folder: Path, split: str) -> dict[str, str]:
    """Return the right labels by id."""
    return {row["id"]: row["label"] for row in table(folder / "private" / "answers.csv") if row["split"] == split}


def submission(labels: dict[str, str]) -> str:
    return "id,label\n" + "".join(f"{row_id},{label}\n" for row_id, label in labels.items())


# ------------------------------------------------------------------------------------------------- splits


@pytest.mark.parametrize(("task_id", "variant"), VARIANTS)
def test_splits_are_disjoint_and_no_larger_than_the_data(task_id: str, variant: str) -> None:
    chosen = TASKS[task_id].variants[variant]
    rows = chosen.rows(task_id, variant)
    assert {split: len(numbers) for split, numbers in rows.items()} == dict(chosen.sizes)
    places = [(chosen.part(split).name, row) for split, numbers in rows.items() for row in numbers]
    assert len(set(places)) == len(places)
    assert all(0 <= row < chosen.part(split).count for split, numbers in rows.items() for row in numbers)
    ids = [row_id for split in SPLITS for row_id in chosen.ids(split)]
    assert ids == list(range(len(places)))


def test_full_variants_keep_the_test_images_of_their_publishers() -> None:
    for kind in (FashionMnist, Cifar10):
        chosen = kind.variants["full"]
        assert sorted(chosen.rows(kind.task_id, "full")["test"]) == list(range(10_000))
        assert chosen.testing.name == "test"
        assert chosen.learning.name == "train"
        assert chosen.sizes["train"] + chosen.sizes["validation"] == chosen.learning.count


@pytest.mark.parametrize(("task_id", "variant"), VARIANTS)
def test_the_order_of_rows_says_nothing(task_id: str, variant: str) -> None:
    for rows in TASKS[task_id].variants[variant].rows(task_id, variant).values():
        rising = sum(second > first for first, second in pairwise(rows)) / (len(rows) - 1)
        assert rising == pytest.approx(0.5, abs=0.06)
        assert sum(place == row for place, row in enumerate(rows)) < 10


@pytest.mark.parametrize(("task_id", "variant"), PREPARED)
def test_prepared_files_hold_what_the_description_says(
    task_id: str, variant: str, prepared: Prepared, content_of: ContentOf
) -> None:
    chosen = TASKS[task_id].variants[variant]
    folder = prepared(task_id, variant)
    public = folder / "public"
    names = {f"{split}{suffix}" for split in SPLITS for suffix in (".csv", "_images.npy")}
    assert {path.name for path in public.iterdir()} == names | {"README.md", "baseline.py"}
    assert [path.name for path in (folder / "private").iterdir()] == ["answers.csv"]

    content = content_of(task_id, chosen.dataset)
    for split, rows in chosen.rows(task_id, variant).items():
        part = chosen.part(split)
        images = np.load(public / f"{split}_images.npy")
        assert images.dtype == np.uint8
        assert (images == np.load(content / f"{part.name}_images.npy")[rows]).all()
        ids = [row["id"] for row in table(public / f"{split}.csv")]
        assert ids == [str(number) for number in chosen.ids(split)]
        right = np.load(content / f"{part.name}_labels.npy")[rows].tolist()
        if split == "train":
            assert [int(row["label"]) for row in table(public / "train.csv")] == right
        else:
            assert labels_of(folder, split) == {row_id: str(label) for row_id, label in zip(ids, right, strict=True)}


@pytest.mark.parametrize(("task_id", "variant"), PREPARED)
def test_no_public_file_holds_a_test_label(task_id: str, variant: str, prepared: Prepared) -> None:
    folder = prepared(task_id, variant)
    public, test = folder / "public", labels_of(folder, "test")
    assert table(public / "test.csv")[0].keys() == {"id"}
    for split in ("train", "validation"):
        assert not {row["id"] for row in table(public / f"{split}.csv")} & test.keys()
    # The labels of the test split in its order, in whatever way they might be written.
    in_order = "".join(test.values())
    for path in public.iterdir():
        data = path.read_bytes()
        for text in (in_order.encode(), bytes(map(int, in_order)), "\n".join(in_order).encode()):
            assert text[:60] not in data, path.name
    # No file time tells an image from another, and no name does.
    assert [path for path in public.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize(("task_id", "variant"), PREPARED[:2])
def test_preparation_is_reproducible(task_id: str, variant: str, prepared: Prepared) -> None:
    first, second = prepared(task_id, variant), prepared(task_id, variant, again="again")
    paths = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert paths == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    assert [path for path in paths if (first / path).read_bytes() != (second / path).read_bytes()] == []


def test_whoever_has_a_key_has_other_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = Digits.variants["full"]
    before = chosen.rows("vision/digits", "full")
    monkeypatch.setenv("MLGYM_GRADING_KEY", "a secret")
    assert chosen.rows("vision/digits", "full") != before


# ------------------------------------------------------------------------------------------------ grading


@pytest.mark.parametrize(("task_id", "variant"), PREPARED)
@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_right_labels_earn_everything_and_are_flagged_where_some_are_wrong(
    task_id: str, variant: str, split: str, prepared: Prepared, grade: Grade
) -> None:
    right = labels_of(prepared(task_id, variant), split)
    accuracy, flags = grade(task_id, submission(right), variant=variant, split=split)
    assert accuracy == 1
    # Validation labels are in the workspace, so being right about all of them proves nothing.
    flagged = split == "test" and TASKS[task_id].labels_have_errors
    assert flags == (["memorised_answers"] if flagged else [])
    implausible = TASKS[task_id](variant).anchors(split).implausible
    assert (implausible is not None and accuracy >= implausible) == (split == "test")


def test_accuracy_is_the_share_of_right_labels(prepared: Prepared, grade: Grade) -> None:
    labels = labels_of(prepared("vision/digits"), "test")
    wrong = [row_id for place, row_id in enumerate(labels) if place % 4 == 0]
    for row_id in wrong:
        labels[row_id] = str((int(labels[row_id]) + 1) % 10)
    assert grade("vision/digits", submission(labels)) == (0.75, [])
    assert grade("vision/digits", submission(dict(reversed(labels.items())))) == (0.75, [])
    both = labels_of(prepared("vision/digits"), "validation") | labels
    assert grade("vision/digits", submission(both)) == (0.75, [])
    assert grade("vision/digits", submission(both), split="validation") == (1.0, [])


def test_what_means_the_same_is_accepted(prepared: Prepared, grade: Grade) -> None:
    text = submission(labels_of(prepared("vision/digits"), "test"))
    columns = "".join(",".join(reversed(line.split(","))) + "\n" for line in text.splitlines())
    for content in (
        text.encode("utf-8-sig"),
        text.replace("\n", "\r\n"),
        text.rstrip("\n"),
        text + "\n\n",
        columns,
        text.replace(",", " , "),
        re.sub(r"\d+", r'"\g<0>"', text),
    ):
        assert grade("vision/digits", content) == (1.0, [])


def replaced(pattern: str, replacement: str) -> Callable[[str], str]:
    """Return a change of the second line of a submission, which is that of id 1197."""
    return lambda text: re.sub(rf"(?<=\n){pattern}(?=\n)", replacement, text, count=1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: "", "its first line must name the columns id,label; it has nothing"),
        (lambda text: "accuracy\n1.0\n", "its first line must name the columns id,label; it has 'accuracy'"),
        (lambda text: text.replace("label", "Label"), "it has 'id', 'Label'"),
        (lambda text: text.partition("\n")[2], "its first line must name the columns"),
        (lambda text: text.replace(",", ";"), "Separate columns by commas"),
        (replaced(r"1197,\d", "1197"), "line 2: it has 1 values instead of 2"),
        (replaced(r"1197,\d", "1197,1,1"), "line 2: it has 3 values instead of 2"),
        (lambda text: re.sub(r"\n1197,\d", "", text), "has no row for 1 of 600 ids that it must have, such as 1197"),
        (lambda text: text[:100], "has no row for"),
        (lambda text: text + "1197,3\n", "line 602: the id 1197 occurs a second time"),
        (lambda text: text + "0,3\n", "there is no id '0'"),
        (lambda text: text + "1797,3\n", "there is no id '1797'"),
        (replaced(r"1197,\d", "01197,1"), "there is no id '01197'"),
        (replaced(r"1197,\d", "1197.0,1"), r"there is no id '1197\.0'"),
        (replaced(r"1197,\d", "1197,"), "the label of id 1197 is empty"),
        (replaced(r"1197,\d", "1197,nan"), "is 'nan', and it is none of 0, 1, 2"),
        (replaced(r"1197,\d", "1197,inf"), "is 'inf', and it is none of"),
        (replaced(r"1197,\d", "1197,3.0"), r"is '3\.0', and it is none of"),
        (replaced(r"1197,\d", "1197,10"), "is '10', and it is none of"),
        (replaced(r"1197,\d", "1197,-1"), "is '-1', and it is none of"),
        (replaced(r"1197,\d", "1197,three"), "is 'three', and it is none of"),
        (replaced(r"1197,\d", "1197,٣"), "is '٣', and it is none of"),
        (replaced(r"1197,\d", "1197," + "9" * 5000), "and it is none of"),
        (replaced(r"1197,\d", '1197,"3'), "not valid CSV"),
        (replaced(r"1197,\d", "1197,\0"), "it has a zero byte"),
        (lambda text: text.encode("utf-16"), "is UTF-16; write it as UTF-8"),
        (lambda text: text.replace("1197,", "1197,é").encode("latin-1"), "is not UTF-8"),
        (lambda text: b"\x89PNG\r\n\x1a\n" + bytes(1000), "is not UTF-8"),
        (lambda text: bytes(1 << 20), "it has a zero byte"),
        (lambda text: "," * (1 << 20), "its first line must name the columns"),
        (lambda text: "id,label\n" * 100_000, "there is no id 'id'"),
    ],
)
def test_malformed_submissions_are_named(
    change: Callable[[str], str | bytes], says: str, prepared: Prepared, grade: Grade
) -> None:
    text = submission(labels_of(prepared("vision/digits"), "test"))
    assert text.splitlines()[1].startswith("1197,")
    with pytest.raises(InvalidSubmission, match=says) as caught:
        grade("vision/digits", change(text))
    assert len(str(caught.value)) < 400


def test_a_split_needs_its_own_rows(prepared: Prepared, grade: Grade) -> None:
    text = submission(labels_of(prepared("vision/digits"), "validation"))
    assert grade("vision/digits", text, split="validation") == (1.0, [])
    with pytest.raises(InvalidSubmission, match="has no row for 600 of 600 ids"):
        grade("vision/digits", text)
    with pytest.raises(InvalidSubmission, match="is 'x', and it is none of"):
        grade("vision/digits", re.sub(r"\n900,\d", "\n900,x", text), split="validation")


def test_a_submission_is_no_larger_than_it_need_be(prepared: Prepared) -> None:
    (file,) = FashionMnist("full").submission_files()
    folder = prepared("vision/fashion-mnist", "full")
    needed = len(submission(labels_of(folder, "validation") | labels_of(folder, "test")))
    assert 2 * needed < file.max_bytes <= 1 << 20
    assert file.path == "submission.csv"


def test_grading_20_000_rows_takes_well_under_a_second(prepared: Prepared, grade: Grade) -> None:
    folder = prepared("vision/fashion-mnist", "full")
    text = submission(labels_of(folder, "validation") | labels_of(folder, "test"))
    began = time.process_time()
    grade("vision/fashion-mnist", text)
    assert time.process_time() - began < 0.5


# --------------------------------------------------------------------------- what the tasks say of themselves


@pytest.mark.parametrize(("task_id", "variant"), VARIANTS)
def test_description_says_what_an_agent_needs(task_id: str, variant: str) -> None:
    task = TASKS[task_id](variant)
    chosen = task.chosen
    text = task.description()
    for words in (
        "accuracy",
        "maximised",
        f"baseline's is {chosen.anchors['test'].baseline}",
        *(f"{size:,}" for size in chosen.sizes.values()),
        *task.classes,
        f"\n{chosen.ids('test')[0]},3\n",
        "`submission.csv`",
        "`id,label`",
        "no network",
        "GiB of memory",
        "`validate`",
        "`submit`",
        "python3 baseline.py",
        "tunable",
    ):
        assert words in text
    assert "{" not in text


@pytest.mark.parametrize(("task_id", "variant"), VARIANTS)
def test_starter_declares_parameters_within_their_ranges(task_id: str, variant: str) -> None:
    source = TASKS[task_id](variant)._starter()
    declared = TUNABLE.findall(source)
    assert 2 <= len(declared) <= 5
    assert len(declared) == source.count("# tunable:")
    assert all(float(low) <= float(value) <= float(high) for _, value, low, high in declared)
    for name, value in TASKS[task_id].variants[variant].starter_values.items():
        assert f"\n{name} = {value}  #" in source


@pytest.mark.parametrize(("task_id", "variant"), VARIANTS)
def test_scale_runs_from_baseline_to_reference_to_what_is_implausible(task_id: str, variant: str) -> None:
    for split in ("validation", "test"):
        anchors = TASKS[task_id](variant).anchors(split)
        assert anchors.reference is not None
        assert anchors.baseline + 0.05 < anchors.reference < 1
        assert anchors.baseline_source
        assert anchors.reference_source
        if anchors.band is not None:
            low, high = anchors.band
            assert low <= anchors.baseline <= high < anchors.reference
        # Whoever learns from the validation images, too, may know all of their labels.
        assert (anchors.implausible is not None) == (split == "test")
        assert anchors.implausible is None or anchors.reference < anchors.implausible < 1


@pytest.mark.parametrize("kind", TASKS.values())
def test_contamination_is_stated(kind: type[ImageClassification]) -> None:
    text = kind(next(iter(kind.variants))).contamination()
    for words in (
        "public",
        "neither their order nor their ids",
        "MLGYM_GRADING_KEY",
        "cannot be stopped",
        "public_answers",
    ):
        assert words in text
    assert ("memorised_answers" in text) == kind.labels_have_errors
    assert kind.answers_public


def test_plugin_registers_the_tasks() -> None:
    specs = {spec.id: spec for spec in plugin.mlgym_tasks() if spec.primary_metric.name == "accuracy"}
    assert specs.keys() == TASKS.keys()
    for spec in specs.values():
        module, _, name = spec.target.partition(":")
        kind: type[ImageClassification] = getattr(importlib.import_module(module), name)
        assert kind is TASKS[spec.id]
        assert spec.variants == tuple(kind.variants)
        assert all(isinstance(variant, Variant) for variant in kind.variants.values())
        assert (spec.primary_metric.name, spec.primary_metric.direction) == ("accuracy", "maximize")
        assert spec.resources is not None
        assert spec.resources.memory_bytes == kind.memory_gib << 30
        for requirement in spec.requirements:
            assert f"`{re.split('[<>=]', requirement)[0]}`" in kind.packages
        assert spec.grader_requirements == ()
        assert {variant.dataset for variant in kind.variants.values()} == {dataset.name for dataset in kind.datasets}
    (suite,) = plugin.mlgym_suites()
    assert set(suite.tasks) == set(specs)


def test_graders_need_the_standard_library_alone() -> None:
    modules = ["plugin", "digits", "fashion_mnist", "cifar10", "coco_captioning"]
    heavy = ("numpy", "PIL", "pyarrow", "torch", "sklearn", "fontTools", "sacrebleu")
    program = (
        f"import sys\nfor name in {modules}: __import__(f'mlgym_task_vision.{{name}}')\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(("task_id", "variant"), PREPARED)
def test_classes_are_about_equally_frequent_in_each_split(task_id: str, variant: str, prepared: Prepared) -> None:
    for split in ("validation", "test"):
        labels = labels_of(prepared(task_id, variant), split)
        counts = Counter(labels.values())
        assert set(counts) == {str(label) for label in range(10)}
        assert max(counts.values()) < 2 * min(counts.values())
