"""Trains a softmax regression on the training images and writes submission.csv.

The lines marked "tunable" declare parameters: values that may be changed within the range given there.
"""

import csv
from pathlib import Path

import numpy as np

# How many steps of gradient descent are taken, and how large they are.
STEPS = 100  # tunable: int 1 to 1000
LEARNING_RATE = 0.1  # tunable: float 0.01 to 3

# How strongly large weights are punished.
WEIGHT_DECAY = 0.01  # tunable: float 0 to 0.1

CLASSES = 10
BRIGHTEST = 16


def load_images(split: str) -> np.ndarray:
    """Return a split's images, each as a row of numbers from 0 to 1."""
    images = np.load(f"{split}_images.npy")
    pixels: np.ndarray = images.reshape(len(images), -1) / BRIGHTEST
    return pixels


def read_column(split: str, column: str) -> list[str]:
    """Return a column of a split's CSV file."""
    with Path(f"{split}.csv").open(newline="") as file:
        return [row[column] for row in csv.DictReader(file)]


def train(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return a weight for each pixel and class, fitted by gradient descent on the cross-entropy."""
    wanted = np.eye(CLASSES)[labels]
    weights = np.zeros((images.shape[1], CLASSES))
    for _ in range(STEPS):
        scores = np.exp(images @ weights)
        probabilities = scores / scores.sum(axis=1, keepdims=True)
        gradient = images.T @ (probabilities - wanted) / len(images)
        weights -= LEARNING_RATE * (gradient + WEIGHT_DECAY * weights)
    return weights


weights = train(load_images("train"), np.array(read_column("train", "label"), dtype=int))

with Path("submission.csv").open("w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["id", "label"])
    for split in ("validation", "test"):
        labels = (load_images(split) @ weights).argmax(axis=1)
        writer.writerows(zip(read_column(split, "id"), labels, strict=True))
