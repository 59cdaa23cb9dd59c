"""Captions in the one form in which they are stored, submitted and compared. Standard library only."""

from __future__ import annotations

import unicodedata

LONGEST = 500
"""Number of characters that a caption may have: more than any reference, of which the longest have some fifty words."""


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
    return caption


def comparable(caption: str) -> str:
    """Return a caption without what it may differ in from another and still say the same: capitals and a full stop."""
    return caption.casefold().rstrip(".").rstrip()
