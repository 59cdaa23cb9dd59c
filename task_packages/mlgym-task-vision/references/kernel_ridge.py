"""The measured reference of `vision/digits`: ridge regression of the classes with a radial kernel.

Run it in the task's workspace. It takes a second.
"""

import csv
from pathlib import Path

import numpy as np

GAMMA = 0.4
PENALTY = 0.01


def load_images(split: str) -> np.ndarray:
    """Return a split's images, each as a row of numbers from 0 to 1."""
    images = np.load(f"{split}_images.npy")
    pixels: np.ndarray = images.reshape(len(images), -1) / 16
    return pixels


def read_column(split: str, column: str) -> list[str]:
    """Return a column of a split's CSV file."""
    with Path(f"{split}.csv").open(newline="") as file:
        return [row[column] for row in csv.DictReader(file)]


def kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the similarity of each image of the first array to each of the second."""
    distances = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1) - 2 * first @ second.T
    similarities: np.ndarray = np.exp(-GAMMA * distances)
    return similarities


images = load_images("train")
wanted = np.eye(10)[[int(label) for label in read_column("train", "label")]]
weights = np.linalg.solve(kernel(images, images) + PENALTY * np.eye(len(images)), wanted)

with Path("submission.csv").open("w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["id", "label"])
    for split in ("validation", "test"):
        labels = (kernel(load_images(split), images) @ weights).argmax(axis=1)
        writer.writerows(zip(read_column(split, "id"), labels, strict=True))
