"""Trains a small convolutional network on the training images and writes submission.csv.

The lines marked "tunable" declare parameters: values that may be changed within the range given there.
"""

import csv
from pathlib import Path

import numpy as np
import torch
from torch import nn

# How many batches of how many images are learned from.
STEPS = 600  # tunable: int 100 to 5000
BATCH_SIZE = 64  # tunable: int 16 to 512

# Size of the first step of gradient descent; it falls linearly to 0.
LEARNING_RATE = 0.01  # tunable: float 0.0005 to 0.05
MOMENTUM = 0.9  # tunable: float 0 to 0.99

# Number of filters of the first convolution; the second has twice as many.
CHANNELS = 16  # tunable: int 4 to 64

CLASSES = 10
SEED = 0

# Batches of this size are computed no faster by several threads, which get in each other's way on a busy machine.
torch.set_num_threads(1)
torch.manual_seed(SEED)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_images(split: str) -> torch.Tensor:
    """Return a split's images as numbers from -1 to 1 of shape (number, colours, rows, columns)."""
    images = torch.from_numpy(np.load(f"{split}_images.npy"))
    images = images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2)
    return (images.float() / 127.5 - 1).contiguous()


def read_column(split: str, column: str) -> list[str]:
    """Return a column of a split's CSV file."""
    with Path(f"{split}.csv").open(newline="") as file:
        return [row[column] for row in csv.DictReader(file)]


def make_model(shape: torch.Size) -> nn.Module:
    """Return a network for images of shape (colours, rows, columns)."""
    colours, rows, columns = shape
    return nn.Sequential(
        nn.Conv2d(colours, CHANNELS, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(CHANNELS, 2 * CHANNELS, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(2 * CHANNELS * (rows // 4) * (columns // 4), CLASSES),
    )


def train(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> None:
    """Fit the model by stochastic gradient descent."""
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=STEPS)
    for _ in range(STEPS):
        batch = torch.randint(len(images), (BATCH_SIZE,))
        loss = nn.functional.cross_entropy(model(images[batch].to(device)), labels[batch].to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def predict(model: nn.Module, images: torch.Tensor) -> list[int]:
    """Return the most likely label of each image."""
    with torch.no_grad():
        return [int(label) for part in images.split(1000) for label in model(part.to(device)).argmax(dim=1)]


train_images = load_images("train")
train_labels = torch.tensor([int(label) for label in read_column("train", "label")])
model = make_model(train_images.shape[1:]).to(device)
train(model, train_images, train_labels)

with Path("submission.csv").open("w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["id", "label"])
    for split in ("validation", "test"):
        writer.writerows(zip(read_column(split, "id"), predict(model, load_images(split)), strict=True))
