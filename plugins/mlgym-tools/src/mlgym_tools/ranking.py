"""Which texts fit a query best, by the words that they share."""

from __future__ import annotations

import collections
import math
import re
from collections.abc import Sequence

_SATURATION = 1.5
_LENGTH_WEIGHT = 0.75
"""The usual parameters k1 and b of BM25 (Robertson and Zaragoza, 2009)."""


def ranked(query: str, texts: Sequence[str]) -> list[int]:
    """Return the positions of the texts that share a word with the query, best first; of equals, the later one first.

    The order is that of Okapi BM25: rare words count more, and so do words that make up more of a text.
    """
    documents = [collections.Counter(words(text)) for text in texts]
    average = sum(document.total() for document in documents) / max(len(documents), 1)
    frequencies = collections.Counter(word for document in documents for word in document)
    scores = []
    for position, document in enumerate(documents):
        score = 0.0
        for word in set(words(query)):
            if count := document[word]:
                rarity = math.log(1 + (len(documents) - frequencies[word] + 0.5) / (frequencies[word] + 0.5))
                length = 1 - _LENGTH_WEIGHT + _LENGTH_WEIGHT * document.total() / average
                score += rarity * count * (_SATURATION + 1) / (count + _SATURATION * length)
        if score > 0:
            scores.append((score, position))
    return [position for _, position in sorted(scores, reverse=True)]


def words(text: str) -> list[str]:
    """Return the words of a text, in lower case. `learning_rate` is two."""
    return re.findall(r"[^\W_]+", text.lower())
