"""Trains a BERT, which was trained before, to tell what follows from a sentence, and writes submission.csv.

The lines marked "tunable" declare parameters: values that may be changed within the range given there.
"""

import csv
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from bert import DEVICE, Classifier, pretrained
from torch.nn import functional
from word_pieces import WordPieces

# How many batches of how many pairs are learned from.
STEPS = 400  # tunable: int 50 to 40000
BATCH_SIZE = 8  # tunable: int 4 to 128

# How many of the model's six layers are used, from below, and how many of these, from above, are changed by training.
LAYERS = 3  # tunable: int 1 to 6
TRAINED_LAYERS = 3  # tunable: int 0 to 6

# Word pieces of a pair; what is longer is cut.
LENGTH = 64  # tunable: int 16 to 512

# Size of the steps; it grows over the first tenth of them and then falls to 0. The new layer on top takes larger ones.
LEARNING_RATE = 0.0003  # tunable: float 0.00001 to 0.002
DROPOUT = 0.0  # tunable: float 0 to 0.5

# Whether (1) or not (0) matrices are multiplied in numbers of 16 bits: it is faster on graphics processors, and on some
# others.
SHORT_NUMBERS = 0  # tunable: int 0 to 1

LABELS = ("entailment", "neutral", "contradiction")
SEED = int(sys.argv[1]) if len(sys.argv) > 1 else 0

# Batches of this size are computed no faster by several threads, which get in each other's way on a busy machine.
torch.set_num_threads(1)
torch.manual_seed(SEED)
random.seed(SEED)


class Example(NamedTuple):
    """A pair: its id, its word pieces, how many of them belong to the premise, and its label's number or -1."""

    id: str
    tokens: list[int]
    premise: int
    label: int


def read(split: str, pieces: WordPieces) -> list[Example]:
    """Return the pairs of a split."""
    examples = []
    with Path(f"{split}.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            tokens, premise = pieces.pair(row["premise"], row["hypothesis"], LENGTH)
            label = LABELS.index(row["label"]) if "label" in row else -1
            examples.append(Example(row["id"], tokens, premise, label))
    return examples


def collate(examples: list[Example]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return tokens, kinds and labels of a batch, padded to its longest pair."""
    width = max(len(example.tokens) for example in examples)
    tokens = torch.zeros(len(examples), width, dtype=torch.long)
    kinds = torch.zeros_like(tokens)
    for place, example in enumerate(examples):
        tokens[place, : len(example.tokens)] = torch.tensor(example.tokens)
        kinds[place, example.premise : len(example.tokens)] = 1
    labels = torch.tensor([example.label for example in examples])
    return tokens.to(DEVICE), kinds.to(DEVICE), labels.to(DEVICE)


def batches(examples: list[Example]) -> Iterator[list[Example]]:
    """Yield batches without end, each of pairs that are about as long, so that there is little padding."""
    pool_size = min(16 * BATCH_SIZE, len(examples))
    while True:
        examples = random.sample(examples, len(examples))
        for start in range(0, len(examples) - pool_size + 1, pool_size):
            pool = sorted(examples[start : start + pool_size], key=lambda example: len(example.tokens))
            parts = [pool[place : place + BATCH_SIZE] for place in range(0, pool_size, BATCH_SIZE)]
            yield from random.sample(parts, len(parts))


def share_of_step(step: int) -> float:
    """Return the size of a step, as a share of the greatest one."""
    warm_up = STEPS / 10
    return (step + 1) / (warm_up + 1) if step < warm_up else (STEPS - step) / (STEPS - warm_up)


def train(model: Classifier, examples: list[Example]) -> None:
    """Change the model's upper layers so that it tells the labels of the examples."""
    # Most weights are embeddings of words, of which few occur in so few steps.
    model.bert.embeddings.requires_grad_(False)
    for layer in model.bert.encoder["layer"][: max(0, LAYERS - TRAINED_LAYERS)]:
        layer.requires_grad_(False)
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in model.bert.parameters() if parameter.requires_grad]},
        {"params": list(model.top.parameters()), "lr": 3 * LEARNING_RATE},
    ]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share_of_step)
    began, total = time.monotonic(), 0.0
    for step, batch in zip(range(1, STEPS + 1), batches(examples), strict=False):
        tokens, kinds, labels = collate(batch)
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=bool(SHORT_NUMBERS)):
            loss = functional.cross_entropy(model(tokens, kinds, DROPOUT).float(), labels)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total += loss.item()
        if step % 100 == 0 or step == STEPS:
            number = step % 100 or 100
            print(f"step {step}: loss {total / number:.3f} after {time.monotonic() - began:.0f} s", flush=True)
            total = 0.0


def predict(model: Classifier, examples: list[Example]) -> dict[str, str]:
    """Return the most likely label by id."""
    labels = {}
    ordered = sorted(examples, key=lambda example: len(example.tokens))
    with torch.no_grad(), torch.autocast(DEVICE.type, torch.bfloat16, enabled=bool(SHORT_NUMBERS)):
        for start in range(0, len(ordered), 64):
            part = ordered[start : start + 64]
            tokens, kinds, _ = collate(part)
            for example, number in zip(part, model(tokens, kinds).argmax(dim=1).tolist(), strict=True):
                labels[example.id] = LABELS[number]
    return labels


def main() -> None:
    """Train, and predict both splits."""
    pieces = WordPieces(Path("vocabulary.txt"))
    model = Classifier(pretrained(Path("bert.safetensors"), LAYERS), len(LABELS)).to(DEVICE)
    train(model, read("train", pieces))
    validation = read("validation", pieces)
    labels = predict(model, validation)
    right = sum(LABELS[example.label] == labels[example.id] for example in validation)
    print(f"accuracy on validation.csv: {right / len(validation):.3f}")
    labels |= predict(model, read("test", pieces))
    with Path("submission.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label"])
        writer.writerows(labels.items())


if __name__ == "__main__":
    main()
