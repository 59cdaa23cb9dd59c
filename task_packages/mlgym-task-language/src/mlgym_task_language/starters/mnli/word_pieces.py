"""Makes word pieces of texts, as BERT without upper case does. Needs nothing but the standard library."""

import unicodedata
from pathlib import Path

PADDING, UNKNOWN, BEGIN, SEPARATOR = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
LONGEST_WORD = 100
"""Words of more characters are unknown."""

CHINESE = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2CEAF), (0x2F800, 0x2FA1F))
"""Code points of Chinese characters, each of which is a word, without the newest ones."""


def is_mark(character: str) -> bool:
    """Return whether a character is a word of its own: punctuation, a symbol of ASCII, or a Chinese character."""
    if character.isascii():
        return character.isprintable() and not character.isalnum() and character != " "
    code = ord(character)
    return unicodedata.category(character)[0] == "P" or any(first <= code <= last for first, last in CHINESE)


def words(text: str) -> list[str]:
    """Return the words of a text in small letters and without accents, with each mark as a word of its own."""
    characters = []
    for character in unicodedata.normalize("NFD", text).lower():
        category = unicodedata.category(character)
        if character.isspace() or category[0] == "Z":
            characters.append(" ")
        elif category == "Mn" or category[0] == "C" or character == "\ufffd":
            continue
        else:
            characters.append(f" {character} " if is_mark(character) else character)
    return "".join(characters).split()


class WordPieces:
    """A vocabulary of word pieces, in a file with one in each line; those that go on a word begin with `##`."""

    def __init__(self, path: Path) -> None:
        """Read the vocabulary."""
        lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
        self.ids = {piece: number for number, piece in enumerate(lines)}
        self._known: dict[str, list[int]] = {}

    def word(self, word: str) -> list[int]:
        """Return the ids of a word's pieces: from the left, the longest that there is."""
        found: list[int] = []
        start = 0
        while start < len(word) <= LONGEST_WORD:
            prefix = "##" if start else ""
            ends = (end for end in range(len(word), start, -1) if prefix + word[start:end] in self.ids)
            end = next(ends, None)
            if end is None:
                break
            found.append(self.ids[prefix + word[start:end]])
            start = end
        return found if start == len(word) else [self.ids[UNKNOWN]]

    def text(self, text: str) -> list[int]:
        """Return the ids of a text's pieces."""
        found: list[int] = []
        for word in words(text):
            if word not in self._known:
                self._known[word] = self.word(word)
            found += self._known[word]
        return found

    def pair(self, first: str, second: str, length: int) -> tuple[list[int], int]:
        """Return the ids of two texts as BERT reads them, and how many of them belong to the first.

        They are `[CLS] first [SEP] second [SEP]`. What is too long for `length` is taken from the end of whichever is
        longer at the time.
        """
        first_ids, second_ids = self.text(first), self.text(second)
        while len(first_ids) + len(second_ids) > length - 3:
            (first_ids if len(first_ids) >= len(second_ids) else second_ids).pop()
        end = self.ids[SEPARATOR]
        return [self.ids[BEGIN], *first_ids, end, *second_ids, end], len(first_ids) + 2
