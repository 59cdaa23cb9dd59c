"""Predicts who survived by the share of similar passengers who did, and writes it to submission.csv.

As it is, passengers are similar if they have the same sex: it predicts that women survive and men do not.
The lines marked "tunable" declare parameters: values that may be changed within the range given there.
"""

import csv
from collections import defaultdict
from collections.abc import Hashable
from pathlib import Path

# What else than the sex makes passengers similar.
BY_CLASS = False  # tunable: choice False, True
BY_PORT = False  # tunable: choice False, True
BY_FAMILY = False  # tunable: choice False, True

# Passengers who are younger than this, in years, are children, who are like nobody but children. At 0, nobody is.
CHILD_BELOW = 0  # tunable: int 0 to 18

# The share that a passenger must exceed to be predicted to survive.
THRESHOLD = 0.5  # tunable: float 0.2 to 0.8

# So many passengers of the same sex, with their sex's share, are added to those that are similar.
PRIOR = 5.0  # tunable: float 0 to 50

Passenger = dict[str, str]


def group(passenger: Passenger) -> tuple[Hashable, ...]:
    """Return what similar passengers have in common. This is the place to improve."""
    relatives = int(passenger["SibSp"]) + int(passenger["Parch"])
    return (
        passenger["Sex"],
        passenger["Age"] != "" and float(passenger["Age"]) < CHILD_BELOW,
        passenger["Pclass"] if BY_CLASS else None,
        passenger["Embarked"] if BY_PORT else None,
        (relatives > 0) + (relatives > 3) if BY_FAMILY else None,
    )


def read(path: str) -> list[Passenger]:
    """Return the rows of a CSV file."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def main() -> None:
    """Count survivors of the training split and predict both others."""
    aboard: defaultdict[Hashable, int] = defaultdict(int)
    survivors: defaultdict[Hashable, int] = defaultdict(int)
    for passenger in read("train.csv"):
        for key in (group(passenger), passenger["Sex"]):
            aboard[key] += 1
            survivors[key] += int(passenger["Survived"])

    def chance(passenger: Passenger) -> float:
        of_sex = survivors[passenger["Sex"]] / aboard[passenger["Sex"]]
        similar = group(passenger)
        return (survivors[similar] + PRIOR * of_sex) / max(aboard[similar] + PRIOR, 1)

    with Path("submission.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["PassengerId", "Survived"])
        for passenger in read("validation.csv") + read("test.csv"):
            writer.writerow([passenger["PassengerId"], int(chance(passenger) > THRESHOLD)])


if __name__ == "__main__":
    main()
