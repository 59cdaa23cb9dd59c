"""Captions in the one form in which they are stored, submitted and compared. Standard library only."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 500
"""Number of characters that a caption may have: more than any reference, of which the longest have some fifty words."""

_INVISIBLE = re.compile("<skipped>", re.IGNORECASE)
"""BLEU's tokenizer `13a` takes this away, wherever it is: such a caption could be empty, and another than it reads."""


def parse_caption(text: str) -> str:
    """Return a caption in Unicode's form NFKC, with single spaces between its words and none around it.

    Raises:
        ValueError: if it is no caption; the message is the end of a sentence.
    """
    if len(text.strip().splitlines()) > 1:
        raise ValueError("it has more than one line")
    caption = " ".join(unicodedata.normalize("NFKC", text).split())
    if not caption:
        raise ValueError("it is empty")
    if len(caption) > LONGEST:
        raise ValueError(f"it has {len(caption):,} characters, and no caption has more than {LONGEST}")
    if not caption.isprintable():
        raise ValueError("it has characters that cannot be printed")
    if _INVISIBLE.search(caption):
        raise ValueError("it has <skipped>, which BLEU does not see")
    return caption


def tidied(text: str) -> str:
    """Return what somebody wrote as a caption: on one line, of printable characters, whole words up to `LONGEST`.

    For captions of others, which cannot be sent back to be mended: one that is odd must not spoil half a million.

    Raises:
        ValueError: if nothing is left of it.
    """
    letters = (letter if letter.isprintable() else " " for letter in unicodedata.normalize("NFKC", text))
    caption = " ".join(_INVISIBLE.sub(" ", "".join(letters)).split())
    if len(caption) > LONGEST:
        caption = caption[: LONGEST + 1].rpartition(" ")[0] or caption[:LONGEST]
    return parse_caption(caption)


def comparable(caption: str) -> str:
    """Return a caption without what it may differ in from another and still say the same: capitals and a full stop."""
    return caption.casefold().rstrip(".").rstrip()
