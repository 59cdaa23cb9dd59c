"""Trains a small network that reads an image and writes words, and writes submission.csv.

The lines marked "tunable" declare parameters: values that may be changed within the range given there.
"""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from torch import nn

# How many batches of how many captions are learned from.
STEPS = 600  # tunable: int 100 to 100000
BATCH_SIZE = 64  # tunable: int 16 to 512

# Size of the first step of Adam; it falls linearly to 0.
LEARNING_RATE = 0.002  # tunable: float 0.0001 to 0.02

# Filters of the first convolution, each of the next has twice as many; and size of the state of the writer.
CHANNELS = 32  # tunable: int 8 to 128
HIDDEN = 192  # tunable: int 32 to 1024

# How many captions of each image are learned, the first ones, and how often a word must occur to be known.
CAPTIONS = 1
LEAST_OCCURRENCES = 2

LONGEST = 16
SEED = 0
PADDING, START, END, UNKNOWN = range(4)
GRID = 6

# Batches of this size are computed no faster by several threads, which get in each other's way on a busy machine.
torch.set_num_threads(1)
torch.manual_seed(SEED)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_images(split: str) -> np.ndarray:
    """Return a split's images as a memory map of shape (number, rows, columns, colours)."""
    images: np.ndarray = np.load(f"{split}_images.npy", mmap_mode="r")
    return images


def as_tensor(images: np.ndarray) -> torch.Tensor:
    """Return images as numbers from -1 to 1 of shape (number, colours, rows, columns)."""
    return torch.from_numpy(np.array(images)).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def read_table(name: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with Path(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def words_of(caption: str) -> list[str]:
    """Return the words of a caption in small letters, without punctuation around them."""
    return [word for word in (word.strip('.,;:!?()"') for word in caption.lower().split()) if word]


class Captioner(nn.Module):  # type: ignore[misc]
    """Convolutions read an image; a recurrent network writes words, each from the image and the words before it."""

    def __init__(self, colours: int, vocabulary: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for given, made in ((colours, CHANNELS), (CHANNELS, 2 * CHANNELS), (2 * CHANNELS, 4 * CHANNELS)):
            blocks += [nn.Conv2d(given, made, 3, stride=2, padding=1), nn.BatchNorm2d(made), nn.ReLU()]
        self.reader = nn.Sequential(
            *blocks,
            nn.AdaptiveAvgPool2d(GRID),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(4 * CHANNELS * GRID * GRID, HIDDEN),
            nn.Tanh(),
        )
        self.embedding = nn.Embedding(vocabulary, HIDDEN)
        self.writer = nn.GRU(2 * HIDDEN, HIDDEN, batch_first=True)
        self.output = nn.Sequential(nn.Dropout(0.3), nn.Linear(HIDDEN, vocabulary))

    def write(
        self, seen: torch.Tensor, words: torch.Tensor, state: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scores of the words that follow each of `words`, and the state after the last.

        Args:
            seen: What the reader made of the images, of shape (images, HIDDEN).
            words: Numbers of words, of shape (images, words).
            state: That after the words before; by default, what was seen.
        """
        known = self.embedding(words)
        inputs = torch.cat([known, seen[:, None].expand(-1, known.shape[1], -1)], dim=2)
        outputs, state = self.writer(inputs, seen[None].contiguous() if state is None else state)
        return self.output(outputs), state


def encode(captions: list[list[str]], numbers: dict[str, int]) -> torch.Tensor:
    """Return captions as rows of numbers of words, each from START to END, padded to LONGEST + 2."""
    encoded = torch.full((len(captions), LONGEST + 2), PADDING)
    for row, words in enumerate(captions):
        known = [START, *(numbers.get(word, UNKNOWN) for word in words[:LONGEST]), END]
        encoded[row, : len(known)] = torch.tensor(known)
    return encoded


def train(model: Captioner, images: np.ndarray, rows: np.ndarray, captions: torch.Tensor) -> None:
    """Fit the model to captions by Adam.

    Args:
        rows: Which image each caption belongs to.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=STEPS)
    model.train()
    for _ in range(STEPS):
        batch = torch.randint(len(rows), (BATCH_SIZE,))
        words = captions[batch].to(device)
        scores, _state = model.write(model.reader(as_tensor(images[rows[batch.numpy()]])), words[:, :-1])
        loss = nn.functional.cross_entropy(scores.flatten(0, 1), words[:, 1:].flatten(), ignore_index=PADDING)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def describe(model: Captioner, images: np.ndarray, vocabulary: list[str]) -> list[str]:
    """Return a caption for each image, of the words that are most likely one after another."""
    captions = []
    for start in range(0, len(images), 250):
        for row in write_words(model, as_tensor(images[start : start + 250])).tolist():
            length = row.index(END) if END in row else LONGEST
            captions.append(" ".join(vocabulary[number] for number in row[:length]))
    return captions


def write_words(model: Captioner, images: torch.Tensor) -> torch.Tensor:
    """Return the numbers of LONGEST words for each image; what follows an END means nothing."""
    model.eval()
    with torch.no_grad():
        seen = model.reader(images)
        words = torch.full((len(seen), 1), START, device=device)
        state, written = None, []
        for place in range(LONGEST):
            scores, state = model.write(seen, words, state)
            # A caption has a word at least.
            scores[:, :, [PADDING, START, UNKNOWN, *([END] if place == 0 else [])]] = -torch.inf
            words = scores.argmax(dim=2)
            written.append(words)
        return torch.cat(written, dim=1)


places = {row["id"]: place for place, row in enumerate(read_table("train.csv"))}
taken: Counter[str] = Counter()
rows, captions = [], []
for entry in read_table("train_captions.csv"):
    taken[entry["id"]] += 1
    if taken[entry["id"]] <= CAPTIONS:
        rows.append(places[entry["id"]])
        captions.append(words_of(entry["caption"]))

counts = Counter(word for words in captions for word in words)
vocabulary = ["", "", "", "", *(word for word, count in counts.most_common() if count >= LEAST_OCCURRENCES)]
numbers = {word: number for number, word in enumerate(vocabulary) if word}
images = load_images("train")
model = Captioner(images.shape[3], len(vocabulary)).to(device)
train(model, images, np.array(rows), encode(captions, numbers))

with Path("submission.csv").open("w", encoding="utf-8", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["id", "caption"])
    for split in ("validation", "test"):
        ids = [row["id"] for row in read_table(f"{split}.csv")]
        writer.writerows(zip(ids, describe(model, load_images(split), vocabulary), strict=True))
