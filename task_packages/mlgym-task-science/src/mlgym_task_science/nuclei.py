"""The measured masses of atomic nuclei, and which of them had been measured by 1995."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlgym_core import Content, DataError, Dataset, PythonPackage, read_limited

CONTENT = "nuclei.csv"
COLUMNS = ("Z", "N", "binding_energy", "uncertainty", "measured_by_1995")

UNIT = 931.49410242
"""MeV in one atomic mass unit: CODATA 2018, as the evaluation of 2020 has it."""
NEUTRON = 1.00866491595
"""The neutron's mass in atomic mass units: CODATA 2018."""
LEAST = 8
"""Nuclei with fewer protons or neutrons are left out, as is usual for mass models: so few particles have no surface."""
LARGEST_UNCERTAINTY = 0.15
"""Masses that are not known better than this, in MeV, are left out: their errors would be those of the measurement."""

_LIMIT = 1 << 20
_LINE = re.compile(r"([0-9]{1,3})-[A-Z][a-z]?-([0-9]{1,3}),(?:([0-9]+)(?:\.([0-9]+))?(?:\(([0-9]+)\))?(#?))?(?:,.*)?")

Place = tuple[int, int]


@dataclass(frozen=True)
class Mass:
    """The mass of a neutral atom.

    Attributes:
        value: In atomic mass units.
        uncertainty: Its standard uncertainty, in atomic mass units.
        measured: Whether it comes from measurements, not from the trend of its neighbours.
    """

    value: float
    uncertainty: float
    measured: bool


def parse_masses(data: bytes) -> dict[Place, Mass]:
    """Return the masses in one of periodictable's tables, by the numbers of protons and neutrons.

    A few lines have no mass, of nuclides that were discovered after the table was made; these are left out.

    Raises:
        DataError: with the first line that is none of such a table.
    """
    masses: dict[Place, Mass] = {}
    for number, line in enumerate(data.decode(errors="replace").splitlines(), 1):
        parts = _LINE.fullmatch(line)
        if parts is None:
            raise DataError(f"Line {number} is no mass of a nuclide: {line[:60]!r}.")
        protons, nucleons, whole, decimals, last_digits, estimated = parts.groups(default="")
        place = int(protons), int(nucleons) - int(protons)
        if not whole:
            continue
        if place in masses:
            raise DataError(f"Line {number} is about a nuclide that an earlier line is about: {line[:60]!r}.")
        uncertainty = int(last_digits or "0") * 10.0 ** -len(decimals)
        masses[place] = Mass(float(f"{whole}.{decimals or '0'}"), uncertainty, not estimated)
    return masses


def decode_nuclei(files: Sequence[Path], content: Content) -> None:
    """Make the content of periodictable's tables, as `exporters/nuclei.py` writes them."""
    newer, older = (parse_masses(read_limited(file, _LIMIT)) for file in files)
    if not newer.keys() >= older.keys():
        raise DataError("The table of 2020 lacks nuclides that are in the table of 1995.")
    content.table(CONTENT, COLUMNS, _rows(newer, older))


def _rows(newer: Mapping[Place, Mass], older: Mapping[Place, Mass]) -> list[list[str]]:
    hydrogen = newer[1, 0].value
    rows = []
    for (protons, neutrons), mass in sorted(newer.items()):
        uncertainty = mass.uncertainty * UNIT
        if mass.measured and min(protons, neutrons) >= LEAST and uncertainty <= LARGEST_UNCERTAINTY:
            energy = (protons * hydrogen + neutrons * NEUTRON - mass.value) * UNIT
            earlier = older.get((protons, neutrons))
            measured = int(earlier is not None and earlier.measured)
            rows.append([str(protons), str(neutrons), f"{energy:.5f}", f"{uncertainty:.5f}", str(measured)])
    return rows


@dataclass(frozen=True)
class Nucleus:
    """A row of the content.

    Attributes:
        protons: How many it has.
        neutrons: How many it has.
        binding_energy: In MeV, as written.
        uncertainty: Of the binding energy, in MeV, as written.
        known: Whether its mass had been measured by 1995.
    """

    protons: int
    neutrons: int
    binding_energy: str
    uncertainty: str
    known: bool


def read_nuclei(folder: Path) -> list[Nucleus]:
    """Return the rows of the dataset's content."""
    with (folder / CONTENT).open(encoding="utf-8", newline="") as file:
        return [
            Nucleus(
                int(row["Z"]), int(row["N"]), row["binding_energy"], row["uncertainty"], row["measured_by_1995"] == "1"
            )
            for row in csv.DictReader(file)
        ]


NUCLEI = Dataset(
    name="nuclei",
    summary="Binding energies of 2,337 atomic nuclei, and which of them were measured by 1995",
    content_hash="a7a5ad8231a83d70126402faff276b7440acb820026c2f1db73425bb4c87486e",
    sources=(
        PythonPackage(
            requirements=("periodictable==2.1.0", "numpy==2.4.6", "pyparsing==3.3.3"),
            program=Path(__file__).parent / "exporters" / "nuclei.py",
            files=("masses_2020.csv", "masses_1995.csv"),
            decode=decode_nuclei,
        ),
    ),
    license="public domain, as periodictable states of itself",
    origin="the atomic mass evaluations of 1995 and 2020, in the Python package periodictable",
    citation=(
        "M. Wang, W. J. Huang, F. G. Kondev, G. Audi, S. Naimi (2021). The AME 2020 atomic mass evaluation (II). "
        "Chinese Physics C 45, 030003. G. Audi, A. H. Wapstra (1995). The 1995 update to the atomic mass evaluation. "
        "Nuclear Physics A 595, 409."
    ),
    size_bytes=70_000,
)
