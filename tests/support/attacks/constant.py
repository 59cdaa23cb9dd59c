"""Predicts 0 for everything."""

import csv
from pathlib import Path

rows = [row for name in ("validation", "test") for row in csv.DictReader(Path(f"{name}.csv").read_text().splitlines())]
with Path("submission.csv").open("w", newline="") as file:
    csv.writer(file).writerows([("id", "label"), *((row["id"], 0) for row in rows)])
