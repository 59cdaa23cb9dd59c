"""MultiNLI's two published forms with invented sentences, and the real pairs of the variant `mini`, prepared."""

from __future__ import annotations

import csv
import io
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from mlgym_core import DataError, Dataset, Preparation
from mlgym_core.data.obtaining import obtain
from mlgym_task_language.mnli import MultiNli
from mlgym_task_language.nli_pairs import LABELS

TASK = "language/mnli"
PACKAGE = Path(__file__).parents[1] / "src" / "mlgym_task_language"
WORDS = ("a", "man,", 'the "dog";', "rains", "naïvely", "in", "东京", "and", "it's", "--", "true?", "\u2028", "[sic]")

Row = dict[str, Any]


def invented(seed: int, premises: int) -> list[Row]:
    """Return rows as the original archive has them: three hypotheses for each premise, some without a label."""
    generator = random.Random(seed)
    rows = []
    for prompt in range(premises):
        premise = " ".join(generator.choices(WORDS, k=12)) + f" {seed} {prompt}"
        for place, label in enumerate(LABELS):
            rows.append(
                {
                    "annotator_labels": [label],
                    "genre": "fiction",
                    "gold_label": "-" if prompt % 7 == 3 and place == 1 else label,
                    "pairID": f"{seed}{prompt:03}{label[0]}",
                    "promptID": f"{seed}{prompt:03}",
                    "sentence1": premise,
                    "sentence1_parse": "(ROOT)",
                    "sentence2": " ".join(generator.choices(WORDS, k=5)),
                }
            )
    generator.shuffle(rows)
    return rows


def labelled(rows: list[Row]) -> int:
    """Return how many rows have a label."""
    return sum(row["gold_label"] != "-" for row in rows)


def lines(rows: list[Row]) -> bytes:
    """Return a file of the original archive."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def zipped(train: bytes, matched: bytes) -> bytes:
    """Return the original archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("multinli_1.0/", b"")
        archive.writestr("multinli_1.0/multinli_1.0_train.jsonl", train)
        archive.writestr("multinli_1.0/multinli_1.0_dev_matched.jsonl", matched)
        archive.writestr("multinli_1.0/multinli_1.0_dev_mismatched.jsonl", b"{}")
    return file.getvalue()


def as_parquet(rows: list[Row], **changed: list[Any]) -> bytes:
    """Return a file as Hugging Face has it, with other values of some columns if they are given."""
    columns: dict[str, list[Any]] = {
        "promptID": [int(row["promptID"]) for row in rows],
        "pairID": [row["pairID"] for row in rows],
        "premise": [row["sentence1"] for row in rows],
        "premise_parse": [row["sentence1_parse"] for row in rows],
        "hypothesis": [row["sentence2"] for row in rows],
        "label": [LABELS.index(row["gold_label"]) if row["gold_label"] != "-" else -1 for row in rows],
    }
    sink = io.BytesIO()
    parquet.write_table(pa.table({**columns, **changed}), sink)
    return sink.getvalue()


def content_of(dataset: Dataset) -> Path:
    """Return the folder with a dataset's content, or skip where it cannot be had."""
    try:
        return obtain(TASK, dataset).path
    except DataError as error:
        pytest.skip(str(error))


def prepared(task: MultiNli, folder: Path, dataset: Callable[[str], Path]) -> tuple[Path, Path]:
    """Prepare a task, and return its public and its private folder."""
    public, private = folder / "public", folder / "private"
    public.mkdir(parents=True)
    private.mkdir()
    task.prepare(Preparation(public, private, dataset))
    return public, private


def prepared_mini(folder: Path) -> tuple[Path, Path]:
    """Prepare the variant `mini` with its real pairs."""
    datasets = {dataset.name: dataset for dataset in MultiNli.datasets}
    return prepared(MultiNli("mini"), folder, lambda name: content_of(datasets[name]))


def read(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
