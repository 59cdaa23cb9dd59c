"""Trains a small random forest on the training images and writes submission.csv.

The lines marked "tunable" declare parameters: values that may be changed within the range given there.
"""

import csv
from pathlib import Path

import numpy as np
from sklearn.ensemble import RandomForestClassifier

# How many decision trees vote, and how many questions each may ask in a row.
TREES = 5  # tunable: int 1 to 300
DEPTH = 6  # tunable: int 2 to 20

# The share of the pixels that are looked at for each question.
PIXELS = 0.1  # tunable: float 0.02 to 1

SEED = 0


def load_images(split: str) -> np.ndarray:
    """Return a split's images, each as a row of numbers."""
    images: np.ndarray = np.load(f"{split}_images.npy")
    return images.reshape(len(images), -1)


def read_column(split: str, column: str) -> list[str]:
    """Return a column of a split's CSV file."""
    with Path(f"{split}.csv").open(newline="") as file:
        return [row[column] for row in csv.DictReader(file)]


model = RandomForestClassifier(n_estimators=TREES, max_depth=DEPTH, max_features=PIXELS, random_state=SEED)
model.fit(load_images("train"), read_column("train", "label"))

with Path("submission.csv").open("w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["id", "label"])
    for split in ("validation", "test"):
        writer.writerows(zip(read_column(split, "id"), model.predict(load_images(split)), strict=True))
