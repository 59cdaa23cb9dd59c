"""Splits, gradings and descriptions of `language/mnli`, and the attacks as programs."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from mnli_support import PACKAGE, content_of, prepared_mini, read

from mlgym_core import InvalidSubmission
from mlgym_core.builtin.tuner import declared_parameters
from mlgym_core.sandbox.environments import packages_for
from mlgym_core.testing import LocalGrading
from mlgym_task_language import plugin
from mlgym_task_language.mnli import SPLITS, MultiNli
from mlgym_task_language.nli_data import MINILM, PAIRS, VITAMINC, VOCABULARY
from mlgym_task_language.nli_pairs import LABELS, Pair, read_pairs

Folders = tuple[Path, Path]
Grade = Callable[..., tuple[float, list[str]]]

SIZES = {"train": 12_000, "validation": 600, "test": 1_500}


@pytest.fixture(scope="session")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """The public and the private files of `mini`."""
    return prepared_mini(tmp_path_factory.mktemp("mini"))


@pytest.fixture
def grade(tmp_path: Path, mini: Folders) -> Grade:
    """Return `grade(content, split)`: accuracy and flags of a submission given as text or bytes."""
    numbers = itertools.count()

    def grade_content(content: str | bytes, split: str = "test") -> tuple[float, list[str]]:
        folder = tmp_path / f"submission{next(numbers)}"
        folder.mkdir()
        (folder / "submission.csv").write_bytes(content.encode() if isinstance(content, str) else content)
        grading = LocalGrading(
            folder, private=mini[1], variant="mini", split="test" if split == "test" else "validation"
        )
        return MultiNli("mini").grade(grading)["accuracy"], grading.flags

    return grade_content


def answers(mini: Folders, split: str) -> dict[str, str]:
    """Return the right labels by id."""
    return {row["id"]: row["label"] for row in read(mini[1] / f"{split}.csv")}


def csv_of(labels: Mapping[str, str]) -> str:
    return "id,label\n" + "".join(f"{row_id},{label}\n" for row_id, label in labels.items())


# ---------------------------------------------------------------------------------------------- splits


def real_pairs(mini: Folders, split: str) -> list[Pair]:
    """Return a split's pairs as they are in the dataset."""
    known = {pair[1:3]: pair for pair in read_pairs(content_of(VITAMINC) / PAIRS)}
    return [known[row["premise"], row["hypothesis"]] for row in read(mini[0] / f"{split}.csv")]


def test_sizes_ids_and_labels(mini: Folders) -> None:
    public, private = mini
    assert sorted(path.name for path in private.iterdir()) == ["test.csv", "validation.csv"]
    ids = []
    for split, size in SIZES.items():
        pairs = real_pairs(mini, split)
        rows = read(public / f"{split}.csv")
        assert Counter(pair.label for pair in pairs) == dict.fromkeys(LABELS, size // 3)
        ids += [row["id"] for row in rows]
        if split == "test":
            assert set(rows[0]) == {"id", "premise", "hypothesis"}
        else:
            assert [row["label"] for row in rows] == [pair.label for pair in pairs]
        if split != "train":
            assert list(answers(mini, split).values()) == [pair.label for pair in pairs]
            assert list(answers(mini, split)) == [row["id"] for row in rows]
    assert ids == [str(number) for number in range(1, 14_101)]


def test_no_article_premise_or_hypothesis_is_in_two_splits(mini: Folders) -> None:
    splits = [real_pairs(mini, split) for split in SPLITS]
    for first, second in itertools.combinations(splits, 2):
        for place in range(3):
            assert not {pair[place] for pair in first} & {pair[place] for pair in second}


def test_claims_occur_again_as_often_as_is_said(mini: Folders) -> None:
    assert "Of about a third of the pairs, the claim" in MultiNli("mini").description()
    shares = []
    for split in SPLITS:
        by_claim: dict[str, list[str]] = {}
        for pair in real_pairs(mini, split):
            by_claim.setdefault(pair.hypothesis, []).append(pair.label)
        again = [labels for labels in by_claim.values() if len(labels) > 1]
        shares.append(sum(map(len, again)) / SIZES[split])
        assert sum("entailment" in labels and len(set(labels)) > 1 for labels in again) > 0.8 * len(again)
    assert min(shares) > 0.29
    assert max(shares) < 0.42


def test_neither_order_nor_ids_say_where_a_pair_was(mini: Folders) -> None:
    places = {pair: place for place, pair in enumerate(read_pairs(content_of(VITAMINC) / PAIRS))}
    for split in SPLITS:
        found = [places[pair] for pair in real_pairs(mini, split)]
        rising = sum(first < second for first, second in pairwise(found)) / (len(found) - 1)
        assert 0.4 < rising < 0.6


def test_places_do_not_say_labels(mini: Folders) -> None:
    # Pairs are chosen until each label has its number; in that order, the rarest label alone would fill the end.
    for split in ("validation", "test"):
        labels = list(answers(mini, split).values())
        size = len(labels) // 10
        tenths = [Counter(labels[start : start + size]) for start in range(0, len(labels), size)]
        # Chi-squared of ten tenths and three labels has 18 degrees of freedom: 49 is passed once in 10,000 times.
        assert sum((part[label] - size / 3) ** 2 / (size / 3) for part in tenths for label in LABELS) < 49
        alike = sum(first == second for first, second in pairwise(labels)) / (len(labels) - 1)
        assert alike == pytest.approx(1 / 3, abs=0.08)


def test_files_are_the_same_each_time_and_others_with_another_key(
    mini: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public, _ = prepared_mini(tmp_path / "again")
    for path in mini[0].iterdir():
        assert (public / path.name).read_bytes() == path.read_bytes()
    monkeypatch.setenv("MLGYM_GRADING_KEY", "another")
    public, _ = prepared_mini(tmp_path / "other")
    other, usual = ({row["premise"] for row in read(folder / "test.csv")} for folder in (public, mini[0]))
    assert len(other & usual) < 0.1 * len(usual)


# -------------------------------------------------------------------------------------------- gradings


def test_each_split_is_graded_by_itself(mini: Folders, grade: Grade) -> None:
    right, wrong = answers(mini, "test"), dict.fromkeys(answers(mini, "validation"), "neutral")
    assert grade(csv_of({**wrong, **right})) == (1.0, [])
    assert grade(csv_of({**wrong, **right}), "validation")[0] == pytest.approx(1 / 3)
    assert grade(csv_of(right))[0] == 1.0
    assert grade(csv_of(dict(reversed(right.items()))))[0] == 1.0
    implausible = MultiNli("mini").anchors("test").implausible
    assert implausible is not None
    assert implausible < 1


@pytest.mark.parametrize("quality", [0.0, 0.25, 1.0])
def test_the_oracle_is_right_as_often_as_told(quality: float, mini: Folders, tmp_path: Path, grade: Grade) -> None:
    assert MultiNli("mini").oracle(mini[1], "test", quality, tmp_path)
    assert grade((tmp_path / "submission.csv").read_bytes())[0] == pytest.approx(quality)


@pytest.mark.parametrize("label", ["maybe", "Neutral", "0", "True", "nan", "", " ", "neutral;entailment", "neutrаl"])
def test_values_that_are_no_labels_are_named(label: str, mini: Folders, grade: Grade) -> None:
    labels = answers(mini, "test")
    first = next(iter(labels))
    with pytest.raises(InvalidSubmission, match=f"line 2: the label of id {first} is "):
        grade(csv_of({**labels, first: label}))


def test_malformed_submissions_are_named(mini: Folders, grade: Grade) -> None:
    good = csv_of(answers(mini, "test"))
    header, first, second, *rest = good.splitlines(keepends=True)
    row_id = first.partition(",")[0]
    tail = "".join(rest)
    for content, says in (
        ("", "its first line must name the columns"),
        (header, "has no row for 1,500 of 1,500 ids"),
        (first + second + tail, "its first line must name the columns"),
        (good.replace("label", "gold_label", 1), "its first line must name the columns"),
        (good.replace(",", "\t"), "Separate columns by commas"),
        (header + second + tail, f"has no row for 1 of 1,500 ids that it must have, such as {row_id}"),
        (good + first, f"the id {row_id} occurs a second time"),
        (good + "99999,neutral\n", "there is no id '99999'"),
        (good + "1,neutral\n", "there is no id '1'"),
        (good.replace(f"{row_id},", f"{row_id}.0,"), "there is no id"),
        (header + f"{row_id}\n", "it has 1 values instead of 2"),
        (header + f"{row_id},neutral,0.9\n", "it has 3 values instead of 2"),
        (good + '"7,neutral', "not valid CSV"),
        ("accuracy\n1.0\n", "its first line must name the columns"),
        (good.encode("utf-16"), "UTF-16"),
        (b"\x80\x04\x95\x8c\x02os\x94", "is not UTF-8"),
    ):
        with pytest.raises(InvalidSubmission, match=says):
            grade(content)


# ------------------------------------------------------------------------------------- what is said


@pytest.mark.parametrize("variant", ["full", "mini"])
def test_the_description_states_what_is_graded(variant: str) -> None:
    task = MultiNli(variant)
    text = task.description()
    settings = task.settings[variant]
    for words in (
        "id,label",
        "`entailment`, `neutral` or `contradiction`",
        "`accuracy`, to be **maximised**",
        f"**{settings.anchors['test'].baseline:g}** on the test pairs",
        f"| `test.csv` | {settings.test:,} |",
        f"| `train.csv` | {settings.train} |",
        "no network",
        "submission.csv",
    ):
        assert words in text
    assert "{" not in text
    for split in ("validation", "test"):
        anchors = task.anchors(split)
        assert anchors.reference is not None
        assert anchors.baseline < anchors.reference
    for words in ("public", "order", "ids", "flagged", "MLGYM_GRADING_KEY"):
        assert words in task.contamination()


def test_the_workspace_has_the_description_and_a_starter(mini: Folders) -> None:
    assert (mini[0] / "README.md").read_text(encoding="utf-8") == MultiNli("mini").description()
    parameters = declared_parameters((mini[0] / "baseline.py").read_text(encoding="utf-8"))
    assert {"STEPS", "BATCH_SIZE", "LAYERS", "LEARNING_RATE", "LENGTH"} <= {parameter.name for parameter in parameters}
    for parameter in parameters:
        assert parameter.low <= float(parameter.value) <= parameter.high


def test_the_plugin_registers_the_task() -> None:
    [spec] = [spec for spec in plugin.mlgym_tasks() if spec.id == "language/mnli"]
    assert spec.variants == ("full", "mini")
    assert spec.primary_metric.name == "accuracy"
    [suite] = plugin.mlgym_suites()
    assert set(suite.tasks) == {spec.id for spec in plugin.mlgym_tasks()}


BERT = """
import sys
from pathlib import Path
import torch
from bert import pretrained
from word_pieces import WordPieces
tokens, premise = WordPieces(Path("vocabulary.txt")).pair("A man plays a guitar.", "Nobody makes music.", 64)
padded = torch.tensor([tokens + [0] * 5, [101, 2023, 102] + [0] * (len(tokens) + 2)])
kinds = torch.zeros_like(padded)
kinds[0, premise:] = 1
with torch.no_grad():
    vectors = pretrained(Path("bert.safetensors"), 6)(padded, kinds)[0]
print(*vectors[0, :4].tolist(), *vectors[len(tokens) - 1, :4].tolist())
"""


@pytest.mark.slow
def test_the_starter_s_bert_is_the_published_one(mini: Folders) -> None:
    [spec] = [spec for spec in plugin.mlgym_tasks() if spec.id == "language/mnli"]
    packages = packages_for(spec.requirements, print)
    done = subprocess.run(
        [sys.executable, "-c", BERT],
        cwd=mini[0],
        env={"PYTHONPATH": f"{packages}:{mini[0]}", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    # The first and the last token's vectors as transformers 5.24 has them.
    expected = [0.3739, 0.1676, -0.3816, -0.4080, 0.5856, 0.0378, -0.5546, -0.0885]
    assert [float(number) for number in done.stdout.split()] == pytest.approx(expected, abs=2e-4)


# --------------------------------------------------------------------------------------------- attacks


def attacked(name: str, folder: Path, mini: Folders, *arguments: str, copy: bool = True) -> tuple[str, str]:
    """Run an attack in a workspace, and return what it prints and submits."""
    workspace = folder / "workspace"
    workspace.mkdir(exist_ok=True)
    for split in SPLITS:
        shutil.copy(mini[0] / f"{split}.csv", workspace)
    if copy:
        shutil.copytree(content_of(VITAMINC), workspace / "public_copy", dirs_exist_ok=True)
    done = subprocess.run(
        [sys.executable, str(PACKAGE / "attacks" / name), *arguments],
        cwd=workspace,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout, (workspace / "submission.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["mnli_by_place.py", "mnli_join_by_id.py", "mnli_join_by_order.py"])
def test_neither_places_nor_ids_nor_order_help(name: str, mini: Folders, tmp_path: Path, grade: Grade) -> None:
    accuracy, _ = grade(attacked(name, tmp_path, mini)[1])
    assert 0.28 < accuracy < 0.39


def test_the_public_key_gives_the_order_away_and_no_other(
    mini: Folders, tmp_path: Path, grade: Grade, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLGYM_GRADING_KEY", raising=False)
    said, submission = attacked("mnli_derive_order.py", tmp_path, prepared_mini(tmp_path / "usual"))
    assert "The key is the public one." in said
    assert grade(submission)[0] == 1.0
    name = "derives the order from the public key"
    assert {attack.name: attack.outcome for attack in MultiNli("mini").attacks()}[name] == "flagged"

    monkeypatch.setenv("MLGYM_GRADING_KEY", "a secret")
    said, submission = attacked("mnli_derive_order.py", tmp_path, prepared_mini(tmp_path / "keyed"))
    assert said == ""
    assert {line.partition(",")[2] for line in submission.splitlines()[1:]} == {"neutral"}
    assert {attack.name: attack.outcome for attack in MultiNli("mini").attacks()}[name] == "stopped"


def pairs_of_test(mini: Folders) -> list[tuple[str, str, str]]:
    """Return premise, hypothesis and label of the test pairs."""
    rows = read(mini[0] / "test.csv")
    labels = answers(mini, "test")
    return [(row["premise"], row["hypothesis"], labels[row["id"]]) for row in rows]


def as_big_bench(pairs: list[tuple[str, str, str]]) -> bytes:
    """Return pairs as the archive has them from which they come."""
    scores = {"entailment": "True", "neutral": "Neither", "contradiction": "False"}
    examples = [
        {
            "input": f"Some title: {premise}\nClaim: {hypothesis}",
            "target_scores": {word: int(word == scores[label]) for word in scores.values()},
        }
        for premise, hypothesis, label in pairs
    ]
    return json.dumps({"name": "vitaminc", "examples": examples}, indent=1).encode()


def as_lines(pairs: list[tuple[str, str, str]]) -> bytes:
    """Return pairs as their authors publish them."""
    words = {"entailment": "SUPPORTS", "neutral": "NOT ENOUGH INFO", "contradiction": "REFUTES"}
    return "".join(
        json.dumps({"claim": hypothesis, "evidence": premise, "label": words[label], "page": "x"}) + "\n"
        for premise, hypothesis, label in pairs
    ).encode()


def in_tar(data: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        entry = tarfile.TarInfo("a/test.jsonl")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("task.json", as_big_bench),
        ("test.jsonl.gz", lambda pairs: gzip.compress(as_lines(pairs))),
        ("a.tar.gz", lambda pairs: in_tar(as_lines(pairs))),
        (
            "table.tsv",
            lambda pairs: "".join("\t".join(pair) + "\n" for pair in pairs if '"' not in pair[0] + pair[1]).encode(),
        ),
    ],
)
def test_copies_in_many_forms_are_found(
    name: str,
    write: Callable[[list[tuple[str, str, str]]], bytes],
    mini: Folders,
    tmp_path: Path,
    grade: Grade,
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "cut.json.gz").write_bytes(gzip.compress(b"x" * 100_000)[:-20] + b"\0" * 2000)
    said, submission = attacked("mnli_search.py", tmp_path, mini, str(tmp_path), copy=False)
    assert "found 0 of 1500 labels" in said
    assert grade(submission)[0] == pytest.approx(1 / 3)
    (elsewhere / name).write_bytes(write(pairs_of_test(mini)))
    said, submission = attacked("mnli_search.py", tmp_path, mini, str(tmp_path), copy=False)
    assert f"found a copy in {elsewhere}" in said
    assert grade(submission)[0] > 0.9


def test_a_public_copy_in_the_workspace_is_joined_by_content(mini: Folders, tmp_path: Path, grade: Grade) -> None:
    said, submission = attacked("mnli_search.py", tmp_path, mini, str(tmp_path))
    assert "found 1500 of 1500 labels" in said
    assert grade(submission)[0] == 1.0


def test_the_model_s_files_hold_no_pairs(mini: Folders) -> None:
    data = (content_of(MINILM) / VOCABULARY).read_bytes() + (mini[0] / "bert.safetensors").read_bytes()
    for premise, hypothesis, _ in pairs_of_test(mini)[:50]:
        assert premise.encode() not in data
        assert hypothesis.encode() not in data
