"""The baseline: the semi-empirical mass formula (Weizsäcker 1935), fitted by least squares.

A nucleus is taken for a drop of a charged liquid: its binding energy is a sum of five terms.
"""

import csv
from pathlib import Path

import numpy as np

# Powers of the number of nucleons, by which terms grow or fall.
SURFACE_POWER = 0.6667  # tunable: float 0.3 to 0.9
COULOMB_POWER = 0.3333  # tunable: float 0.2 to 0.5
PAIRING_POWER = 0.5  # tunable: float 0 to 1.5
# Whether nucleons at the surface have an asymmetry of their own.
SURFACE_ASYMMETRY = False  # tunable: choice False, True
# How much more a nucleus is bound the nearer its numbers of protons and neutrons are to magic ones; MAGIC_RANGE is the
# distance at which that has fallen to a third.
MAGIC_TERMS = False  # tunable: choice False, True
MAGIC_RANGE = 4.0  # tunable: float 0.5 to 20

MAGIC_NUMBERS = np.array([8, 20, 28, 50, 82, 126])


def read(name: str) -> list[dict[str, str]]:
    """Return the rows of a table."""
    with Path(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def terms(rows: list[dict[str, str]]) -> np.ndarray:
    """Return the terms of the formula, a row for each nucleus."""
    protons = np.array([float(row["Z"]) for row in rows])
    neutrons = np.array([float(row["N"]) for row in rows])
    nucleons = protons + neutrons
    asymmetry = (neutrons - protons) ** 2 / nucleons
    # 1 where both numbers are even, -1 where both are odd, 0 otherwise.
    parity = ((1 - protons % 2) + (1 - neutrons % 2)) - 1
    columns = [
        nucleons,
        nucleons**SURFACE_POWER,
        protons * (protons - 1) / nucleons**COULOMB_POWER,
        asymmetry,
        parity / nucleons**PAIRING_POWER,
    ]
    if SURFACE_ASYMMETRY:
        columns.append(asymmetry / nucleons ** (1 / 3))
    if MAGIC_TERMS:
        for numbers in (protons, neutrons):
            distance = np.abs(numbers[:, None] - MAGIC_NUMBERS).min(axis=1)
            columns.append(np.exp(-distance / MAGIC_RANGE))
    return np.stack(columns, axis=1)


def main() -> None:
    """Fit, predict, and write the submission."""
    train = read("train.csv")
    energies = np.array([float(row["binding_energy"]) for row in train])
    coefficients, *_ = np.linalg.lstsq(terms(train), energies, rcond=None)
    with Path("submission.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("id", "binding_energy"))
        for name in ("validation.csv", "test.csv"):
            rows = read(name)
            for row, energy in zip(rows, terms(rows) @ coefficients, strict=True):
                writer.writerow((row["id"], f"{energy:.5f}"))


if __name__ == "__main__":
    main()
