"""The solution that the reference of tabular/titanic was measured with: women and boys share the fate of their party.

It runs in a workspace of the task, as an agent's script would. Women are predicted to survive and men not, but for
women all of whose party died, and boys all of whose party survived; a party is the women and boys with the same ticket,
or else those with the same surname in the same class. For the test rows it also learns from the validation rows.
"""

import csv
from collections import defaultdict
from collections.abc import Hashable, Sequence
from pathlib import Path

Passenger = dict[str, str]


def read(path: str) -> list[Passenger]:
    """Return the rows of a CSV file."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def surname(passenger: Passenger) -> str:
    """Return the surname, or the number that stands for it."""
    return passenger["Family"] if "Family" in passenger else passenger["Name"].partition(",")[0]


def is_woman_or_boy(passenger: Passenger) -> bool:
    """Whether the boats were for this passenger first. Boys were called Master."""
    title = passenger.get("Title") or passenger["Name"].partition(",")[2].partition(".")[0].strip()
    return passenger["Sex"] == "female" or title == "Master"


def parties(passenger: Passenger) -> tuple[Hashable, Hashable]:
    """Return the parties that a passenger may have belonged to, the surest first."""
    return (passenger["Ticket"], (surname(passenger), passenger["Pclass"]))


def predict(known: Sequence[Passenger], unknown: Sequence[Passenger]) -> list[tuple[str, int]]:
    """Return ids and predictions for `unknown`, learned from `known`."""
    fates: defaultdict[Hashable, list[int]] = defaultdict(list)
    for passenger in filter(is_woman_or_boy, known):
        for party in parties(passenger):
            fates[party].append(int(passenger["Survived"]))
    predictions = []
    for passenger in unknown:
        is_woman = passenger["Sex"] == "female"
        party_fates = next((fates[party] for party in parties(passenger) if fates.get(party)), [])
        survives = is_woman
        if party_fates and is_woman_or_boy(passenger):
            survives = any(party_fates) if is_woman else all(party_fates)
        predictions.append((passenger["PassengerId"], int(survives)))
    return predictions


def main() -> None:
    """Predict both splits."""
    train, validation, test = (read(f"{split}.csv") for split in ("train", "validation", "test"))
    with Path("submission.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["PassengerId", "Survived"])
        writer.writerows(predict(train, validation) + predict(train + validation, test))


if __name__ == "__main__":
    main()
