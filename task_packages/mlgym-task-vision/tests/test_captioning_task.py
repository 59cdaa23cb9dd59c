"""Captioning as a whole: splits, files, grading by BLEU, attacks, scales."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import io
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sacrebleu

from mlgym_core import Content, InvalidSubmission, Preparation
from mlgym_task_vision import captioning, plugin
from mlgym_task_vision.bleu import SACREBLEU, SIGNATURE, corpus_bleu
from mlgym_task_vision.captioned_images import read_captions, read_images, write_captions, write_images
from mlgym_task_vision.captions import LONGEST, parse_caption
from mlgym_task_vision.classification import SPLITS
from mlgym_task_vision.coco_captioning import CocoCaptioning

TASK = "vision/coco-captioning"
ATTACKS = Path(captioning.__file__).parent / "attacks"
DATASETS = ("noto-emoji", "emoji-names")
FIRST_TEST_ID = 2200

Prepared = Callable[..., Path]
ContentOf = Callable[[str, str], Path]
Grade = Callable[..., tuple[float, list[str]]]
Grader = Callable[..., tuple[float, list[str]]]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def references_of(folder: Path, split: str) -> dict[str, list[str]]:
    """Return the captions of a split that the grader has, by id."""
    references: dict[str, list[str]] = {}
    for row in table(folder / "private" / "references.csv"):
        if row["split"] == split:
            references.setdefault(row["id"], []).append(row["caption"])
    return references


def submission(captions: dict[str, str]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([("id", "caption"), *captions.items()])
    return text.getvalue()


@pytest.fixture
def mini(prepared: Prepared) -> Path:
    """The prepared variant `mini`."""
    return prepared(TASK, "mini")


@pytest.fixture
def right(mini: Path) -> dict[str, str]:
    """The first caption of each test image."""
    return {row_id: several[0] for row_id, several in references_of(mini, "test").items()}


@pytest.fixture
def score(grade: Grade) -> Grader:
    """Return `score(content, …)`: BLEU and flags of a submission with this content in `mini`."""

    def run(content: str | bytes, **options: str) -> tuple[float, list[str]]:
        earned, flags = grade(TASK, content, variant="mini", **options)
        return round(earned, 9), flags

    return run


# ------------------------------------------------------------------------------------------------- splits


def test_no_group_of_images_is_in_two_splits(mini: Path, content_of: ContentOf) -> None:
    images, names = (content_of(TASK, name) for name in DATASETS)
    known = read_captions(names, "cldr")
    listed = [image for image in read_images(images, "noto") if image.image in known]
    divided = CocoCaptioning.variants["mini"].divided(TASK, "mini", {"noto": listed})
    sizes = CocoCaptioning.variants["mini"].sizes
    assert {split: len(found) for split, found in divided.items()} == dict(sizes)
    groups = {split: {image.group for image in found} for split, found in divided.items()}
    pixels = {
        split: {image.tobytes() for image in np.load(mini / "public" / f"{split}_images.npy")} for split in SPLITS
    }
    for first, second in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert not groups[first] & groups[second]
        assert not pixels[first] & pixels[second]
    assert len({image.row for found in divided.values() for image in found}) == sum(sizes.values())
    # Variations of an emoji are apart, too.
    followers = zip(divided["test"], divided["test"][1:], strict=False)
    assert sum(one.group == next_one.group for one, next_one in followers) < 30


def test_words_of_test_captions_can_be_learned(mini: Path) -> None:
    known = {word for row in table(mini / "public" / "train_captions.csv") for word in row["caption"].lower().split()}
    words = [word for several in references_of(mini, "test").values() for word in several[0].lower().split()]
    assert sum(word in known for word in words) / len(words) > 0.75


def test_prepared_files_hold_what_the_description_says(mini: Path, content_of: ContentOf) -> None:
    public = mini / "public"
    names = {f"{split}{suffix}" for split in SPLITS for suffix in (".csv", "_images.npy")}
    captions = {f"{split}_captions.csv" for split in ("train", "validation")}
    assert {path.name for path in public.iterdir()} == names | captions | {"README.md", "baseline.py"}
    assert [path.name for path in (mini / "private").iterdir()] == ["references.csv"]
    images, named = (content_of(TASK, name) for name in DATASETS)
    known = read_captions(named, "cldr")
    pixels = np.load(images / "noto_images.npy")
    # Equal images have names of their own.
    captions_of: dict[bytes, list[list[str]]] = {}
    for image in read_images(images, "noto"):
        captions_of.setdefault(pixels[image.row].tobytes(), []).append(known.get(image.image, []))
    start = 0
    for split, size in CocoCaptioning.variants["mini"].sizes.items():
        ids = [row["id"] for row in table(public / f"{split}.csv")]
        assert ids == [str(number) for number in range(start, start + size)]
        start += size
        found: dict[str, list[str]] = {}
        for row in table(public / f"{split}_captions.csv") if split != "test" else []:
            found.setdefault(row["id"], []).append(row["caption"])
        if split != "train":
            graded = references_of(mini, split)
            assert found in ({}, graded)
            found = graded
        for row_id, image in zip(ids, np.load(public / f"{split}_images.npy"), strict=True):
            assert found[row_id] in captions_of[image.tobytes()]


def test_preparation_is_reproducible(mini: Path, prepared: Prepared) -> None:
    again = prepared(TASK, "mini", again="again")
    paths = sorted(path.relative_to(mini) for path in mini.rglob("*") if path.is_file())
    assert [path for path in paths if (mini / path).read_bytes() != (again / path).read_bytes()] == []


def test_full_takes_its_test_images_from_the_validation_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"train": 20, "validation": 6, "test": 8}
    small = dataclasses.replace(CocoCaptioning.variants["full"], sizes=sizes)
    monkeypatch.setattr(CocoCaptioning, "variants", {"full": small})
    content, public, private = (tmp_path / name for name in ("content", "public", "private"))
    for folder in (content, public, private):
        folder.mkdir()
    for part, count, first in (("train", 26, 0), ("val", 8, 100)):
        # The number of an image is its colour, too.
        numbers = range(first, first + count)
        named = [(str(number), str(number)) for number in numbers]
        write_images(Content(content), part, (96, 96, 3), named, (bytes([number]) * 96 * 96 * 3 for number in numbers))
        captions = {str(number): [f"photograph {number} seen by {person}" for person in range(5)] for number in numbers}
        write_captions(Content(content), part, captions)
    task = CocoCaptioning("full")
    task.prepare(Preparation(public, private, lambda name: content if name == "coco-2017" else tmp_path / "none"))

    captions_of: dict[str, list[str]] = {}
    for path in (public / "train_captions.csv", public / "validation_captions.csv", private / "references.csv"):
        for row in table(path):
            if path.parent == public or row["split"] == "test":
                captions_of.setdefault(row["id"], []).append(row["caption"])
    seen = []
    for split, size in sizes.items():
        images = np.load(public / f"{split}_images.npy")
        assert images.shape == (size, 96, 96, 3)
        ids = [row["id"] for row in table(public / f"{split}.csv")]
        for row_id, image in zip(ids, images, strict=True):
            number = int(image[0, 0, 0])
            assert (number >= 100) == (split == "test")
            assert captions_of[row_id] == [f"photograph {number} seen by {person}" for person in range(5)]
            seen.append(number)
    assert sorted(seen) == [*range(26), *range(100, 108)]
    assert seen[:20] != sorted(seen[:20])
    assert "STEPS = 40000" in (public / "baseline.py").read_text()

    shutil.copytree(content, public / "public_copy")
    assert "in the order of vision/coco-captioning full" in attack("captions_by_derived_order.py", public)
    submitted = [row["caption"] for row in table(public / "submission.csv")]
    assert submitted == [captions_of[str(row_id)][0] for row_id in task.chosen.ids("test")]


# ------------------------------------------------------------------------------------------------ grading


def test_bleu_is_what_sacrebleu_documents() -> None:
    # The example in its README, whose result there is 48.53.
    references = [
        ["The dog bit the man.", "The dog had bit the man."],
        ["It was not unexpected.", "No one was surprised."],
        ["The man bit him first.", "The man had bitten the dog."],
    ]
    captions = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]
    assert corpus_bleu(captions, references) == pytest.approx(0.4853, abs=5e-5)
    assert corpus_bleu([caption.upper() for caption in captions], references) == pytest.approx(0.4853, abs=5e-5)
    streams = [list(stream) for stream in zip(*references, strict=True)]
    assert corpus_bleu(captions, references) == sacrebleu.corpus_bleu(captions, streams, lowercase=True).score / 100


def test_bleu_is_computed_over_all_captions_together() -> None:
    # Of 6, 5, 4 and 3 sequences in the first caption and none beyond words in the second, 5/7, 4/5, 3/4 and 2/3 are
    # right; the captions have 7 words, the closest references 8.
    score = corpus_bleu(["a cat sits on a chair", "dog"], [["a cat sits on a table"], ["two big", "one two three"]])
    expected = (5 / 7 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25 * math.exp(1 - 8 / 7)
    assert score == pytest.approx(expected, abs=1e-9)


def test_images_have_different_numbers_of_references() -> None:
    captions = ["a b c d e", "f g h i j"]
    assert corpus_bleu(captions, [["a b c d e"], ["x", "f g h i j", "y z"]]) == pytest.approx(1)
    assert corpus_bleu(captions, [["a b c d e"], ["x y z x y"]]) < 0.6
    # A reference that is not there is not a short one, that would spare a short caption its penalty.
    lengthy = [["a b c d e f g h i j k l"], ["f g h i j", "x"]]
    assert corpus_bleu(captions, lengthy) == pytest.approx(math.exp(1 - 17 / 10))


def test_the_signature_is_that_of_the_settings() -> None:
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU(lowercase=True, tokenize="13a", smooth_method="exp", effective_order=False)
    metric.corpus_score(["a b c d", "a"], [["a b c d", "a"], ["b", None]])  # type: ignore[list-item]
    assert str(metric.get_signature()) == SIGNATURE
    assert f"sacrebleu=={sacrebleu.__version__}" == SACREBLEU


def test_references_earn_everything_and_are_flagged(mini: Path, right: dict[str, str], score: Grader) -> None:
    assert score(submission(right)) == (1, ["memorised_answers"])
    validation = {row_id: several[0] for row_id, several in references_of(mini, "validation").items()}
    # Captions of validation images are in the workspace, so knowing all of them proves nothing.
    assert score(submission(validation), split="validation") == (1, [])
    assert score(submission(right | validation)) == (1, ["memorised_answers"])
    last = {row_id: several[-1].upper() + "." for row_id, several in references_of(mini, "test").items()}
    assert "memorised_answers" in score(submission(last))[1]


def test_fewer_references_word_for_word_are_not_flagged(right: dict[str, str], score: Grader) -> None:
    keep = int(0.49 * len(right))
    captions = {row_id: caption if place < keep else "zebra" for place, (row_id, caption) in enumerate(right.items())}
    earned, flags = score(submission(captions))
    assert 0.1 < earned < 0.7
    assert flags == []


def test_better_submissions_earn_more(mini: Path, tmp_path: Path, score: Grader) -> None:
    task = CocoCaptioning("mini")
    earned = []
    for quality in (0.0, 0.3, 0.7, 1.0):
        folder = tmp_path / str(quality)
        folder.mkdir()
        assert task.oracle(mini / "private", "test", quality, folder)
        earned.append(score((folder / "submission.csv").read_bytes())[0])
    assert earned == sorted(earned)
    assert earned[0] < task.anchors("test").baseline < earned[1]
    assert earned[-1] == pytest.approx(1)


def test_what_means_the_same_is_accepted(right: dict[str, str], score: Grader) -> None:
    text = submission(dict.fromkeys(right, "man in lotus position  "))
    expected = score(text)
    for content in (
        text.encode("utf-8-sig"),
        text.replace("\n", "\r\n"),
        text.replace("man in", "  man \u00a0 in"),
        text.replace("man in", "ＭＡＮ in"),
        submission(dict(reversed(dict.fromkeys(right, "Man in lotus position").items()))),
    ):
        assert score(content) == expected


def replaced(line: str) -> Callable[[str], str]:
    """Return a change of the row of the first test image."""
    return lambda text: re.sub(rf"(?<=\n){FIRST_TEST_ID},[^\n]*(?=\n)", lambda _: line, text, count=1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: "", "its first line must name the columns id,caption; it has nothing"),
        (lambda text: "bleu\n1.0\n", "its first line must name the columns id,caption; it has 'bleu'"),
        (lambda text: text.replace("\n", ",0.9\n").replace("caption,0.9", "caption,score"), "'id', 'caption', 'score'"),
        (lambda text: text.replace("caption", "label"), "it has 'id', 'label'"),
        (replaced("2200,a cat,0.9"), "line 2: it has 3 values instead of 2"),
        (replaced("2200"), "line 2: it has 1 values instead of 2"),
        (replaced("2200,"), "the caption of id 2200 is empty"),
        (replaced("2200,  \u00a0"), "the caption of id 2200 is empty"),
        (replaced('2200,"a cat\nand a dog"'), "and it has more than one line"),
        (replaced('2200,"a cat\u2028and a dog"'), "and it has more than one line"),
        (replaced("2200,a cat\x0cand a dog"), "and it has more than one line"),
        (replaced("2200," + "a" * 501), "it has 501 characters, and no caption has more than 500"),
        (replaced("2200," + "\ufdfa" * 30), "it has 540 characters, and no caption has more than 500"),
        (replaced("2200," + "a " * 10_000), "and it has 19,999 characters"),
        (replaced("2200,a \x07 cat"), "it has characters that cannot be printed"),
        (replaced("2200,a \u202e cat"), "it has characters that cannot be printed"),
        (replaced("2200,a \0 cat"), "it has a zero byte"),
        (replaced("2200,<skipped>"), "it has <skipped>, which BLEU does not see"),
        (replaced("2200,a cat ＜SKIPPED＞"), "it has <skipped>, which BLEU does not see"),
        (replaced('2200,"a cat'), "not valid CSV|more than one line"),
        (lambda text: text + "2200,a cat\n", "line 902: the id 2200 occurs a second time"),
        (lambda text: text + "0,a cat\n", "there is no id '0'"),
        (lambda text: text + "3100,a cat\n", "there is no id '3100'"),
        (
            lambda text: re.sub(r"\n2200,[^\n]*", "", text),
            "has no row for 1 of 900 ids that it must have, such as 2200",
        ),
        (lambda text: text.encode("utf-16"), "is UTF-16; write it as UTF-8"),
    ],
)
def test_malformed_submissions_are_named(
    change: Callable[[str], str | bytes], says: str, right: dict[str, str], score: Grader
) -> None:
    text = submission(dict.fromkeys(right, "a cat"))
    assert text.splitlines()[1] == "2200,a cat"
    with pytest.raises(InvalidSubmission, match=says) as caught:
        score(change(text))
    assert len(str(caught.value)) < 400


def test_the_longest_caption_is_a_caption() -> None:
    assert parse_caption("a" * LONGEST) == "a" * LONGEST
    assert parse_caption(" a \t b\n") == "a b"


def test_a_submission_of_full_length_fits(right: dict[str, str]) -> None:
    for task in (CocoCaptioning("mini"), CocoCaptioning("full")):
        (file,) = task.submission_files()
        rows = task.chosen.sizes["validation"] + task.chosen.sizes["test"]
        assert rows * (LONGEST + 10) < file.max_bytes


# ------------------------------------------------------------------------------------------------ attacks


def attack(name: str, workspace: Path, *arguments: str) -> str:
    """Run an attack's program in a workspace, and return what it prints."""
    command = [sys.executable, str(ATTACKS / name), *arguments]
    return subprocess.run(command, cwd=workspace, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def workspace(tmp_path: Path, mini: Path, content_of: ContentOf) -> Path:
    """A workspace into which somebody brought a public copy."""
    folder = Path(shutil.copytree(mini / "public", tmp_path / "workspace"))
    for name in DATASETS:
        shutil.copytree(content_of(TASK, name), folder / "public_copy", dirs_exist_ok=True)
    return folder


def test_copies_joined_by_content_are_flagged(workspace: Path, score: Grader) -> None:
    attack("captions_by_content.py", workspace)
    earned, flags = score((workspace / "submission.csv").read_bytes())
    implausible = CocoCaptioning("mini").anchors("test").implausible
    assert implausible is not None
    assert earned > implausible
    assert flags == ["memorised_answers"]


@pytest.mark.parametrize("name", ["captions_by_order.py", "captions_by_id.py"])
def test_copies_joined_by_order_and_ids_earn_less_than_the_baseline(name: str, workspace: Path, score: Grader) -> None:
    attack(name, workspace)
    earned, flags = score((workspace / "submission.csv").read_bytes())
    assert earned < CocoCaptioning("mini").anchors("test").baseline
    assert flags == []


def test_a_column_of_scores_is_refused(workspace: Path, score: Grader) -> None:
    attack("captions_with_scores.py", workspace)
    with pytest.raises(InvalidSubmission, match="'id', 'caption', 'bleu_score'"):
        score((workspace / "submission.csv").read_bytes())


def test_the_order_follows_from_the_public_key_and_from_no_other(
    workspace: Path, prepared: Prepared, score: Grader, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "in the order of vision/coco-captioning mini" in attack("captions_by_derived_order.py", workspace)
    earned, flags = score((workspace / "submission.csv").read_bytes())
    assert (round(earned, 6), flags) == (1, ["memorised_answers"])
    monkeypatch.setenv("MLGYM_GRADING_KEY", "a secret")
    keyed = prepared(TASK, "mini", again="with a key")
    shutil.copytree(keyed / "public", workspace, dirs_exist_ok=True)
    assert "the key differs" in attack("captions_by_derived_order.py", workspace)
    outcomes = {given.name: given.outcome for given in CocoCaptioning("mini").attacks()}
    assert outcomes["derives the order from the public key"] == "stopped"


@pytest.mark.parametrize("pack", [False, True])
def test_copies_are_found_where_they_are(pack: bool, workspace: Path, tmp_path: Path, score: Grader) -> None:
    elsewhere = tmp_path / "elsewhere"
    (workspace / "public_copy").rename(elsewhere)
    (tmp_path / "font").mkdir()
    (tmp_path / "font" / "some.ttf").write_bytes(b"\0\1\0\0 CBDT CBLC " + bytes(200_000))
    said = attack("captions_by_search.py", workspace, str(tmp_path / "font"))
    assert "there is a font with pictures in colour" in said
    assert "found 0 of 900 captions" in said
    said = attack("captions_by_search.py", workspace, str(workspace))
    assert "copy" not in said
    if pack:
        for path in list(elsewhere.iterdir()):
            (elsewhere / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
            path.unlink()
    assert "found 900 of 900 captions" in attack("captions_by_search.py", workspace, str(tmp_path))
    assert score((workspace / "submission.csv").read_bytes())[1] == ["memorised_answers"]


# --------------------------------------------------------------------------- what the task says of itself


@pytest.mark.parametrize("variant", ["full", "mini"])
def test_description_says_what_an_agent_needs(variant: str) -> None:
    task = CocoCaptioning(variant)
    text = task.description()
    for words in (
        "`bleu`",
        "maximised",
        f"baseline: {task.anchors('test').baseline}",
        *(f"{size:,}" for size in task.chosen.sizes.values()),
        f"1 to {LONGEST} characters",
        "`id,caption`",
        SIGNATURE,
        "no network",
        "16 GiB of memory",
        "`validate`",
        "`submit`",
        "python3 baseline.py",
        "tunable",
    ):
        assert words in text
    assert "{" not in text


@pytest.mark.parametrize("variant", ["full", "mini"])
def test_starter_declares_parameters_within_their_ranges(variant: str) -> None:
    task = CocoCaptioning(variant)
    source = task._starter()
    tunable = r"^([A-Z_]+) = (\S+)  # tunable: (?:float|int) (\S+) to (\S+)$"
    declared = re.findall(tunable, source, re.MULTILINE)
    assert len(declared) == source.count("# tunable:") == 5
    assert all(float(low) <= float(value) <= float(high) for _, value, low, high in declared)
    for name, value in task.chosen.starter_values.items():
        assert re.search(rf"^{name} = {value}\b", source, re.MULTILINE)


@pytest.mark.parametrize("variant", ["full", "mini"])
def test_scale_runs_from_baseline_to_reference_to_what_is_implausible(variant: str) -> None:
    for split in ("validation", "test"):
        anchors = CocoCaptioning(variant).anchors(split)
        assert anchors.reference is not None
        assert anchors.baseline + 0.05 < anchors.reference < 1
        assert anchors.baseline_source
        assert anchors.reference_source
        if anchors.band is not None:
            low, high = anchors.band
            assert low <= anchors.baseline <= high < anchors.reference
        assert (anchors.implausible is not None) == (split == "test")
        assert anchors.implausible is None or anchors.reference + 0.1 < anchors.implausible < 1


def test_plugin_registers_the_task() -> None:
    [spec] = [spec for spec in plugin.mlgym_tasks() if spec.id == TASK]
    assert (spec.primary_metric.name, spec.primary_metric.direction) == ("bleu", "maximize")
    assert spec.variants == tuple(CocoCaptioning.variants)
    assert spec.grader_requirements == (SACREBLEU,)
    assert spec.resources is not None
    assert spec.resources.memory_bytes == CocoCaptioning.memory_gib << 30
    named = {name for variant in CocoCaptioning.variants.values() for name in variant.datasets}
    assert named == {dataset.name for dataset in CocoCaptioning.datasets}
    for words in ("public_answers", "memorised_answers", "cannot be stopped", "MLGYM_GRADING_KEY"):
        assert words in CocoCaptioning("mini").contamination()
