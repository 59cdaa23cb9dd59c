"""The baseline: trains a logistic regression by gradient descent, and writes its weights."""

import csv
import json
import math

RATE = 1.0  # tunable: float 0.01 to 5
ROUNDS = 100  # tunable: int 1 to 500


def main() -> None:
    """Train and write `weights.json`."""
    with open("train.csv", encoding="utf-8", newline="") as file:
        rows = [(1.0, float(row["a"]), float(row["b"]), int(row["label"])) for row in csv.DictReader(file)]
    weights = [0.0, 0.0, 0.0]
    for _ in range(ROUNDS):
        gradient = [0.0, 0.0, 0.0]
        for *inputs, label in rows:
            error = label - 1 / (1 + math.exp(-sum(w * x for w, x in zip(weights, inputs, strict=True))))
            gradient = [g + error * x for g, x in zip(gradient, inputs, strict=True)]
        weights = [w + RATE * g / len(rows) for w, g in zip(weights, gradient, strict=True)]
    with open("weights.json", "w", encoding="utf-8") as file:
        json.dump(weights, file)


if __name__ == "__main__":
    main()
