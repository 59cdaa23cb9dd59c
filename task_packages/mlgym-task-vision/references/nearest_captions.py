"""The measured reference of the variant `mini` of `vision/coco-captioning`: captions of the most similar images.

Images are compared by the colours in them, whatever their places, and a little by edges and by a very small version of
the image. Of the captions of the nearest images, that one is taken which has the most in common with the others.

Run it in the task's workspace. It takes a few seconds.
"""

import csv
from collections import Counter
from pathlib import Path

import numpy as np

LEVELS = 8
"""Levels of each of red, green and blue that are told apart."""
SHAPE_WEIGHT = 0.15
"""Of edges, and of the small version, where that of colours is 1."""
DIRECTIONS = 8
CELL = 8
"""Width and height, in pixels, of the squares in which edges are counted and colours averaged."""
NEIGHBOURS = 20
TEMPERATURE = 0.05
"""Difference in similarity at which a neighbour counts e times less."""
LONGEST_SEQUENCE = 4

Sequences = Counter[tuple[str, ...]]


def load_images(split: str) -> np.ndarray:
    """Return a split's images as numbers from 0 to 1."""
    images: np.ndarray = np.load(f"{split}_images.npy").astype(np.float32) / 255
    return images


def read_table(name: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with Path(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def of_length_one(rows: np.ndarray) -> np.ndarray:
    """Return rows of numbers, each divided by its length."""
    lengths: np.ndarray = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: np.ndarray = rows / np.maximum(lengths, 1e-6)
    return scaled


def in_cells(values: np.ndarray) -> np.ndarray:
    """Return values of shape (images, rows, columns) summed within each cell, one row for each image."""
    number, rows, columns = values.shape
    cells: np.ndarray = values.reshape(number, rows // CELL, CELL, columns // CELL, CELL).sum(axis=(2, 4))
    return cells.reshape(number, -1)


def colours(images: np.ndarray) -> np.ndarray:
    """Return how often each colour occurs in each image, but for white."""
    levels = np.minimum((images * LEVELS).astype(int), LEVELS - 1)
    kinds = (levels[..., 0] * LEVELS + levels[..., 1]) * LEVELS + levels[..., 2]
    counts = np.stack([np.bincount(image.ravel(), minlength=LEVELS**3) for image in kinds]).astype(np.float32)
    counts[:, -1] = 0
    return of_length_one(np.sqrt(counts))


def edges(images: np.ndarray) -> np.ndarray:
    """Return how strong edges are in each cell, by direction.

    N. Dalal, B. Triggs: Histograms of Oriented Gradients for Human Detection (2005).
    """
    grey = images.mean(axis=3)
    down, across = np.zeros_like(grey), np.zeros_like(grey)
    down[:, 1:-1] = grey[:, 2:] - grey[:, :-2]
    across[:, :, 1:-1] = grey[:, :, 2:] - grey[:, :, :-2]
    strength = np.hypot(across, down)
    direction = np.floor(np.arctan2(down, across) % np.pi / np.pi * DIRECTIONS).astype(int) % DIRECTIONS
    cells = [in_cells(np.where(direction == one, strength, 0)) for one in range(DIRECTIONS)]
    return of_length_one(np.concatenate(cells, axis=1))


def small(images: np.ndarray) -> np.ndarray:
    """Return the mean colour of each cell, as its distance from white."""
    return of_length_one(np.concatenate([in_cells(images[..., colour] - 1) for colour in range(3)], axis=1))


def features(images: np.ndarray) -> np.ndarray:
    """Return rows of numbers, whose products are the similarities of images."""
    weight = np.sqrt(SHAPE_WEIGHT)
    return np.concatenate([colours(images), weight * edges(images), weight * small(images)], axis=1)


def sequences(caption: str) -> Sequences:
    """Return the sequences of words of a caption, with its beginning and end as words."""
    words = ["", *caption.lower().split(), ""]
    return Counter(
        tuple(words[start : start + length])
        for length in range(1, LONGEST_SEQUENCE + 1)
        for start in range(len(words) - length + 1)
    )


def in_common(first: Sequences, second: Sequences) -> float:
    """Return the share of sequences that two captions have in common."""
    return (first & second).total() / max(first.total(), second.total())


def describe(similarities: np.ndarray, captions: list[str], known: list[Sequences]) -> str:
    """Return a caption for an image, given its similarities to the training images."""
    nearest = np.argsort(-similarities, kind="stable")[:NEIGHBOURS]
    weights = np.exp((similarities[nearest] - similarities[nearest[0]]) / TEMPERATURE)

    def agreement(one: int) -> float:
        shares = [in_common(known[one], known[other]) for other in nearest]
        return float(weights @ np.array(shares))

    return captions[max(nearest, key=agreement)]


first: dict[str, str] = {}
for entry in read_table("train_captions.csv"):
    first.setdefault(entry["id"], entry["caption"])
captions = [first[row["id"]] for row in read_table("train.csv")]
known = [sequences(caption) for caption in captions]
train = features(load_images("train"))

with Path("submission.csv").open("w", encoding="utf-8", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["id", "caption"])
    for split in ("validation", "test"):
        table = features(load_images(split)) @ train.T
        ids = [row["id"] for row in read_table(f"{split}.csv")]
        writer.writerows((row_id, describe(row, captions, known)) for row_id, row in zip(ids, table, strict=True))
