"""Making tokens of documents, and sequences of tokens that share no document."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tiktoken

END_OF_TEXT_NAME = "<|endoftext|>"
_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""Where GPT-2 divides a text before it merges anything, from OpenAI's `encoder.py`."""


def read_vocabulary(path: Path, size: int) -> list[bytes]:
    """Return the bytes of the first tokens of a vocabulary that is written as `language_model_data` says.

    Args:
        size: Size of the vocabulary, with the token that begins a document, which is its last and has no bytes.
    """
    with path.open(encoding="ascii") as file:
        return [base64.b64decode(line.split()[0]) for line, _ in zip(file, range(size - 1), strict=False)]


def byte_pair_encoding(tokens: list[bytes]) -> tiktoken.Encoding:
    """Return GPT-2's byte pair encoding, restricted to merges that make some of its first tokens.

    The tokens are in the order in which they are merged, so the first so many are a vocabulary of their own, with
    the same ids; the token that begins a document follows them.
    """
    import tiktoken

    return tiktoken.Encoding(
        name=f"gpt2-{len(tokens) + 1}",
        pat_str=_PATTERN,
        mergeable_ranks={token: number for number, token in enumerate(tokens)},
        special_tokens={END_OF_TEXT_NAME: len(tokens)},
        explicit_n_vocab=len(tokens) + 1,
    )


def documents_of(tokens: np.ndarray, end_of_text: int) -> list[np.ndarray]:
    """Return the documents of a stream of tokens, each with the token that begins it.

    What comes before the first such token is left out: its beginning is elsewhere.
    """
    starts = np.flatnonzero(tokens == end_of_text)
    return np.split(tokens, starts)[1:]


def pack(documents: Iterator[np.ndarray], sequences: int, length: int) -> np.ndarray:
    """Return sequences of tokens, of the shape (sequences, length).

    Each begins with a document, and goes on with the next one where that ends. What is left of the last one is
    dropped, so that no document is part of two sequences: none of them says how another one goes on.

    Args:
        documents: Where they come from, each with the token that begins it. Only as many as needed are taken.

    Raises:
        ValueError: if there are not enough.
    """
    packed = np.empty((sequences, length), np.uint16)
    for sequence in packed:
        filled = 0
        while filled < length:
            document = next(documents, None)
            if document is None:
                raise ValueError(f"There are not enough documents for {sequences} sequences of {length:,} tokens.")
            part = document[: length - filled]
            sequence[filled : filled + len(part)] = part
            filled += len(part)
    return packed


def stream(documents: Iterable[np.ndarray]) -> np.ndarray:
    """Return all documents one after another, each with the token that begins it."""
    return np.concatenate([*documents, np.empty(0, np.uint16)])
