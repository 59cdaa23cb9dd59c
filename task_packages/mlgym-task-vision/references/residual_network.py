"""The measured reference of the variants `mini`: a small residual network with augmented images.

Run it in the workspace of `vision/fashion-mnist` or `vision/cifar10`, beside baseline.py, whose functions it uses. It
takes about ten minutes on two processors.
"""

import csv
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

EPOCHS = 20
BATCH_SIZE = 64
LEARNING_RATE = 0.1
WEIGHT_DECAY = 5e-4
WIDTH = 32
SHIFT = 2
SEED = int(sys.argv[1]) if len(sys.argv) > 1 else 0

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


def block(inputs: int, outputs: int) -> nn.Module:
    """Return a convolution with batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def make_model(colours: int) -> nn.ModuleList:
    """Return the layers of the network; `forward` says how they are connected."""
    return nn.ModuleList(
        [
            block(colours, WIDTH),
            block(WIDTH, 2 * WIDTH),
            nn.Sequential(block(2 * WIDTH, 2 * WIDTH), block(2 * WIDTH, 2 * WIDTH)),
            block(2 * WIDTH, 4 * WIDTH),
            nn.Sequential(block(4 * WIDTH, 4 * WIDTH), block(4 * WIDTH, 4 * WIDTH)),
            nn.Linear(4 * WIDTH, 10),
        ]
    )


def forward(model: nn.ModuleList, images: torch.Tensor) -> torch.Tensor:
    """Return the logits of images."""
    pool = nn.functional.max_pool2d
    first, second, second_residual, third, third_residual, last = model
    images = pool(second(pool(first(images), 2)), 2)
    images = images + second_residual(images)
    images = pool(third(images), 2)
    images = images + third_residual(images)
    return last(images.amax(dim=(2, 3))) * 0.5


def augmented(images: torch.Tensor) -> torch.Tensor:
    """Return images of which some are mirrored, all shifted by up to `SHIFT` pixels."""
    flip = torch.rand(len(images)) < 0.5
    images = torch.where(flip[:, None, None, None], images.flip(3), images)
    padded = nn.functional.pad(images, (SHIFT,) * 4, mode="reflect")
    rows, columns = images.shape[2:]
    down, right = torch.randint(2 * SHIFT + 1, (2, len(images), 1))
    row_index = (down + torch.arange(rows))[:, :, None]
    column_index = (right + torch.arange(columns))[:, None, :]
    return padded[torch.arange(len(images))[:, None, None], :, row_index, column_index].permute(0, 3, 1, 2)


def train(model: nn.ModuleList, images: torch.Tensor, labels: torch.Tensor) -> None:
    """Fit the model."""
    optimizer = torch.optim.SGD(
        model.parameters(), lr=LEARNING_RATE, momentum=0.9, weight_decay=WEIGHT_DECAY, nesterov=True
    )
    per_epoch = len(images) // BATCH_SIZE
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=LEARNING_RATE, total_steps=EPOCHS * per_epoch, pct_start=0.25, anneal_strategy="linear"
    )
    for _ in range(EPOCHS):
        order = torch.randperm(len(images))
        for batch in order[: per_epoch * BATCH_SIZE].split(BATCH_SIZE):
            logits = forward(model, augmented(images[batch]).to(device))
            loss = nn.functional.cross_entropy(logits, labels[batch].to(device), label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def predict(model: nn.ModuleList, images: torch.Tensor) -> list[int]:
    """Return the most likely label of each image, averaged over it and its mirror image."""
    labels: list[int] = []
    model.eval()
    with torch.no_grad():
        for part in images.to(device).split(500):
            logits = forward(model, part) + forward(model, part.flip(3))
            labels += logits.argmax(dim=1).tolist()
    return labels


train_images = load_images("train")
train_labels = torch.tensor([int(label) for label in read_column("train", "label")])
model = make_model(train_images.shape[1]).to(device)
train(model, train_images, train_labels)

with Path("submission.csv").open("w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["id", "label"])
    for split in ("validation", "test"):
        writer.writerows(zip(read_column(split, "id"), predict(model, load_images(split)), strict=True))
