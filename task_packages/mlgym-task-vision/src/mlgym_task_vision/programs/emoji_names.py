"""Writes the English names of emoji that the package `emoji` has as emoji_names.csv. Runs on its own.

Each row has the code points of an emoji in hexadecimal, without variation selectors, and one of its names: first that
of Unicode's CLDR, then the aliases that people use instead.
"""

import csv
from pathlib import Path

import emoji

FULLY_QUALIFIED = emoji.STATUS["fully_qualified"]
VARIATION_SELECTOR = "\ufe0f"

with Path("emoji_names.csv").open("w", encoding="utf-8", newline="") as file:
    writer = csv.writer(file, lineterminator="\n")
    for text, entry in emoji.EMOJI_DATA.items():
        if entry["status"] == FULLY_QUALIFIED:
            code_points = " ".join(f"{ord(letter):x}" for letter in text if letter != VARIATION_SELECTOR)
            writer.writerows([code_points, name] for name in (entry["en"], *entry.get("alias", ())))
