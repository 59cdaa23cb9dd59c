"""The data, the splits and the grader of nuclear masses, on the real tables."""

from __future__ import annotations

import csv
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from mlgym_core import Content, DataError, Preparation
from mlgym_core.data.obtaining import obtain
from mlgym_core.testing import LocalGrading
from mlgym_task_science import nuclear_masses
from mlgym_task_science.nuclear_masses import NuclearMasses
from mlgym_task_science.nuclei import NEUTRON, NUCLEI, UNIT, decode_nuclei, parse_masses, read_nuclei

ATTACKS = Path(nuclear_masses.__file__).parent / "attacks"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def nuclei() -> Path:
    return obtain("science/nuclear-masses", NUCLEI).path


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, nuclei: Path) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    for name in ("public", "private"):
        (folder / name).mkdir()
    NuclearMasses().prepare(Preparation(folder / "public", folder / "private", lambda _: nuclei))
    return folder


def graded(prepared: Path, submission: Path, offsets: Sequence[float]) -> tuple[float, list[str]]:
    """Return the error and the flags of the right answers with these errors."""
    answers = rows(prepared / "private/test.csv")
    lines = [
        f"{row['id']},{float(row['binding_energy']) + offsets[place % len(offsets)]}"
        for place, row in enumerate(answers)
    ]
    (submission / "submission.csv").write_text("\n".join(["id,binding_energy", *lines]) + "\n")
    grading = LocalGrading(submission, private=prepared / "private")
    return NuclearMasses().grade(grading)["rmse"], grading.flags


def test_energies_are_those_of_textbooks(nuclei: Path) -> None:
    energies = {(row.protons, row.neutrons): float(row.binding_energy) for row in read_nuclei(nuclei)}
    assert energies[26, 30] == pytest.approx(492.26, abs=0.01)
    assert energies[82, 126] == pytest.approx(1636.43, abs=0.01)
    # The most tightly bound nucleus of all is nickel 62.
    assert max(energies, key=lambda place: energies[place] / sum(place)) == (28, 34)


def test_what_was_measured_later_is_hidden(prepared: Path, nuclei: Path) -> None:
    known = {(row.protons, row.neutrons): row.known for row in read_nuclei(nuclei)}
    seen = []
    for split, count in (("train", 1749), ("validation", 196), ("test", 392)):
        table = rows(prepared / "public" / f"{split}.csv")
        assert len(table) == count
        assert ("binding_energy" in table[0]) == (split == "train")
        places = [(int(row["Z"]), int(row["N"])) for row in table]
        assert {known[place] for place in places} == {split == "train"}
        assert places != sorted(places)
        seen += places
    assert sorted(seen) == sorted(known)


def test_stolen_answers_are_flagged_and_honest_ones_are_not(prepared: Path, tmp_path: Path) -> None:
    assert graded(prepared, tmp_path, [0.0]) == (0.0, ["memorised_answers"])
    # A fifth is exact, among poor ones.
    assert graded(prepared, tmp_path, [0.0, 3.0, -3.0, 3.0, -3.0])[1] == ["memorised_answers"]
    error, flags = graded(prepared, tmp_path, [0.25, -0.25])
    assert flags == []
    assert error == pytest.approx(0.25, abs=1e-6)


def test_the_search_finds_a_table_where_there_is_one(prepared: Path, tmp_path: Path, nuclei: Path) -> None:
    masses = {
        (row.protons, row.neutrons): row.protons * 1.00782503
        + row.neutrons * NEUTRON
        - float(row.binding_energy) / UNIT
        for row in read_nuclei(nuclei)
    }
    for name in ("validation.csv", "test.csv"):
        (tmp_path / name).write_bytes((prepared / "public" / name).read_bytes())
    searched = tmp_path / "searched"
    searched.mkdir()
    errors = {}
    for there in (False, True):
        if there:
            (searched / "table").write_text("".join(f"{mass:.9f}\n" for mass in masses.values()))
        program = [sys.executable, str(ATTACKS / "look_in_files.py"), str(searched)]
        subprocess.run(program, cwd=tmp_path, check=True, capture_output=True)
        grading = LocalGrading(tmp_path, private=prepared / "private")
        errors[there] = NuclearMasses().grade(grading)["rmse"]
    # Some isobars are taken for others, which have nearly the same mass.
    assert errors[True] < errors[False] / 2


LINES = "1-H-1,1.0078250319000(100),,\n92-U-220,220.024710(110)#,,\n108-Hs-277,,,[277]"


def test_tables_are_read_with_what_was_estimated() -> None:
    masses = parse_masses(LINES.encode())
    assert masses.keys() == {(1, 0), (92, 128)}
    assert (masses[1, 0].measured, masses[92, 128].measured) == (True, False)
    assert math.isclose(masses[92, 128].uncertainty, 0.00011)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (b"\x00\xff", "Line 1"),
        (b"1-H-1,1.0\n<html>", "Line 2"),
        (b"1-H-1,1.0\n1-H-1,1.0", "earlier line"),
        (b"1-H-1,1.0,,\n2-He-3,nan,,", "Line 2"),
        (b"1-H-" + b"9" * 5000 + b",1.0", "Line 1"),
    ],
)
def test_what_is_no_table_is_named(table: bytes, says: str) -> None:
    with pytest.raises(DataError, match=says):
        parse_masses(table)


def test_tables_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    files = [tmp_path / "newer", tmp_path / "older"]
    files[0].write_text("1-H-1,1.0(1)")
    files[1].write_text("1-H-1,1.0(1)\n1-H-2,2.0(1)")
    (tmp_path / "content").mkdir()
    with pytest.raises(DataError, match="lacks nuclides"):
        decode_nuclei(files, Content(tmp_path / "content"))
