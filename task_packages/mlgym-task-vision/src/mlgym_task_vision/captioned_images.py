"""Images and their captions in one canonical form, whatever they come from. Standard library only.

The images of a part `NAME` are `NAME_images.npy`, in the order of the rows of `NAME_images.csv`, which has the columns
`image`, what the publisher calls it, and `group`: images of one group are variations of each other. Captions are in a
file `NAME_captions.csv` with the columns `image` and `caption` and a row for each caption, the best first.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from mlgym_core import Content


@dataclass(frozen=True)
class Listed:
    """An image of a dataset.

    Attributes:
        row: Its place in the array.
        image: What the publisher calls it.
        group: The group that it belongs to.
    """

    row: int
    image: str
    group: str


def write_images(
    content: Content, part: str, shape: Sequence[int], named: Iterable[tuple[str, str]], pixels: Iterable[bytes]
) -> None:
    """Write the images of a part of a dataset.

    Args:
        shape: Height, width and 3, for red, green and blue.
        named: The name and the group of each image.
        pixels: The values of each image, in the same order.
    """
    rows = list(named)
    content.table(f"{part}_images.csv", ["image", "group"], rows)
    size = prod(shape)
    content.array(f"{part}_images.npy", (len(rows), *shape), _checked(pixels, size))


def _checked(pixels: Iterable[bytes], size: int) -> Iterator[bytes]:
    for image in pixels:
        if len(image) != size:
            raise ValueError(f"an image has {len(image):,} values instead of {size:,}")
        yield image


def write_captions(content: Content, part: str, captions: Mapping[str, Sequence[str]]) -> None:
    """Write the captions of images by their names."""
    rows = [(image, caption) for image, several in captions.items() for caption in several]
    content.table(f"{part}_captions.csv", ["image", "caption"], rows)


def read_images(folder: Path, part: str) -> list[Listed]:
    """Return the images of a part of a dataset, in the order of the array."""
    return [
        Listed(row, entry["image"], entry["group"]) for row, entry in enumerate(_rows(folder / f"{part}_images.csv"))
    ]


def read_captions(folder: Path, part: str) -> dict[str, list[str]]:
    """Return the captions of images by their names."""
    captions: dict[str, list[str]] = {}
    for entry in _rows(folder / f"{part}_captions.csv"):
        captions.setdefault(entry["image"], []).append(entry["caption"])
    return captions


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)
