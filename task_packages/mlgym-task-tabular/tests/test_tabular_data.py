"""Datasets and their decoders: on the real data, in each form in which they come, and on what is broken."""

from __future__ import annotations

import csv
import gzip
import io
import runpy
import tarfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import sklearn.datasets

from mlgym_core import Content, DataError
from mlgym_core.data.content import content_hash
from mlgym_core.data.obtaining import import_files, obtain
from mlgym_task_tabular import houses, passengers
from mlgym_task_tabular.arff import read_arff
from mlgym_task_tabular.house_price import HousePrice
from mlgym_task_tabular.tables import Column, Table, canonical, parse_csv, read_table
from mlgym_task_tabular.titanic import Titanic

Decode = Callable[[Sequence[Path], Content], None]

ARFF = Path(sklearn.datasets.__file__).parent / "tests/data/openml/id_40945/data-v1-dl-16826755.arff.gz"
"""The same file from which the dataset `passengers` comes, in the installed package."""
FLOATS = ("LotFrontage", "MasVnrArea", "GarageYrBlt")
"""The columns whose numbers OpenML's file writes with a decimal point."""


def hash_of(decode: Decode, data: bytes, folder: Path, name: str = "file") -> str:
    """Return the hash of what a decoder makes of a file."""
    path, content = folder / name, folder / f"{name}-content"
    path.write_bytes(data)
    content.mkdir()
    decode([path], Content(content))
    return content_hash(content)


def written(header: Sequence[str], rows: Sequence[Sequence[str]], end: str = "\r\n") -> bytes:
    """Return a CSV file."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=end)
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


@pytest.fixture(scope="module")
def ames() -> Table:
    return read_table(obtain(HousePrice.task_id, houses.AMES).path / houses.CONTENT)


@pytest.fixture(scope="module")
def kaggle_houses() -> Table:
    return read_table(obtain(HousePrice.task_id, houses.KAGGLE).path / houses.CONTENT)


@pytest.fixture(scope="module")
def all_passengers() -> Table:
    return read_table(obtain(Titanic.task_id, passengers.ALL_PASSENGERS).path / passengers.CONTENT)


@pytest.fixture(scope="module")
def kaggle_passengers() -> Table:
    return read_table(obtain(Titanic.task_id, passengers.KAGGLE).path / passengers.CONTENT)


def kaggle_rows(table: Table) -> list[list[str]]:
    """Return the houses as Kaggle writes them: with ids, and words for what is missing."""
    return [
        [str(number)]
        + [
            value or ("None" if name == "MasVnrType" and row[table.columns.index("MasVnrArea")] != "" else "NA")
            for name, value in zip(table.columns, row, strict=True)
        ]
        for number, row in enumerate(table.rows, start=1)
    ]


def as_openml(table: Table) -> bytes:
    """Return the houses as OpenML's file writes them."""
    header = ["% A comment, with 'quotes' and a % sign", "@RELATION house_prices", "", "@ATTRIBUTE Id INTEGER"]
    for column in houses.COLUMNS:
        kind = "STRING" if column.kind == "text" else "REAL" if column.name in FLOATS else "INTEGER"
        header.append(f"@ATTRIBUTE {column.name} {kind}")
    lines = []
    for row in kaggle_rows(table):
        values = []
        for name, value in zip(("Id", *table.columns), row, strict=True):
            if value == "NA":
                values.append("?")
            elif name in FLOATS:
                values.append(f"{value}.0")
            else:
                values.append(f"'{value}'" if " " in value else value)
        lines.append(",".join(values))
    return "\n".join([*header, "", "@DATA", *lines, ""]).encode()


# ------------------------------------------------------------------------------------------- the data


def test_the_houses(ames: Table, kaggle_houses: Table) -> None:
    assert len(ames.rows) == 2930
    assert len(kaggle_houses.rows) == 1460
    assert ames.columns == kaggle_houses.columns
    assert len(ames.columns) == 80
    prices = [int(price) for price in kaggle_houses.column("SalePrice")]
    assert (min(prices), max(prices), prices[:3]) == (34_900, 755_000, [208_500, 181_500, 223_500])
    assert not {"Order", "PID", "Id", "rownames"} & set(ames.columns)


def test_all_of_kaggle_s_houses_are_among_those_of_ames(ames: Table, kaggle_houses: Table) -> None:
    known = set(map(tuple, ames.rows))
    assert len(known) == 2930
    assert all(tuple(row) in known for row in kaggle_houses.rows)


def test_the_passengers(all_passengers: Table, kaggle_passengers: Table) -> None:
    assert len(all_passengers.rows) == 1309
    assert len(kaggle_passengers.rows) == 891
    assert all_passengers.columns == kaggle_passengers.columns
    assert all_passengers.column("Survived").count("1") == 500
    assert not {"boat", "body", "home.dest", "PassengerId"} & set(all_passengers.columns)


def test_kaggle_s_passengers_are_found_by_name_and_ticket(all_passengers: Table, kaggle_passengers: Table) -> None:
    places = passengers.rows_in_kaggle(all_passengers, kaggle_passengers)
    assert len(places) == 891
    rest = [row for place, row in enumerate(all_passengers.rows) if place not in places]
    women_survive = sum((row[3] == "female") == (row[0] == "1") for row in rest)
    assert women_survive == 320, "what Kaggle's leaderboard says of this submission: 320 of 418"


@pytest.mark.parametrize("change", [("Ticket", "none"), ("Survived", "0")])
def test_passengers_who_are_not_kaggle_s_are_refused(
    change: tuple[str, str], all_passengers: Table, kaggle_passengers: Table
) -> None:
    name, value = change
    rows = [list(row) for row in kaggle_passengers.rows]
    rows[1][kaggle_passengers.columns.index(name)] = value
    with pytest.raises(DataError, match="not among all passengers"):
        passengers.rows_in_kaggle(all_passengers, Table(kaggle_passengers.columns, rows))


# ------------------------------------------------------------------------------------------ the forms


def test_kaggle_s_file_is_imported(kaggle_houses: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLGYM_CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "train.csv"
    path.write_bytes(written(["Id", *kaggle_houses.columns], kaggle_rows(kaggle_houses)))
    stored = import_files(HousePrice.task_id, houses.KAGGLE, [path])
    assert stored.content_hash == houses.KAGGLE.content_hash


def test_another_house_in_kaggle_s_file_is_refused(
    kaggle_houses: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLGYM_CACHE_DIR", str(tmp_path / "cache"))
    rows = kaggle_rows(kaggle_houses)
    rows[700][-1] = "123456"
    path = tmp_path / "train.csv"
    path.write_bytes(written(["Id", *kaggle_houses.columns], rows))
    with pytest.raises(DataError, match="its hash is"):
        import_files(HousePrice.task_id, houses.KAGGLE, [path])


def test_openml_s_houses_are_the_same(kaggle_houses: Table, tmp_path: Path) -> None:
    data = as_openml(kaggle_houses)
    assert b",'Wd Sdng'," in data
    assert b",65.0," in data
    assert hash_of(houses.decode_openml, data, tmp_path) == houses.KAGGLE.content_hash


def test_openml_s_passengers_are_the_same(tmp_path: Path) -> None:
    data = gzip.decompress(ARFF.read_bytes())
    assert hash_of(passengers.decode_openml, data, tmp_path) == passengers.ALL_PASSENGERS.content_hash


def test_kaggle_s_passengers_are_imported(
    kaggle_passengers: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLGYM_CACHE_DIR", str(tmp_path / "cache"))
    rows = [[str(number), *row] for number, row in enumerate(kaggle_passengers.rows, start=1)]
    path = tmp_path / "train.csv"
    path.write_bytes(written(["PassengerId", *kaggle_passengers.columns], rows))
    stored = import_files(Titanic.task_id, passengers.KAGGLE, [path])
    assert stored.content_hash == passengers.KAGGLE.content_hash


def test_r_s_names_become_kaggle_s(ames: Table, tmp_path: Path) -> None:
    renamed = {"GrLivArea": "area", "SalePrice": "price", "1stFlrSF": "X1st.Flr.SF", "3SsnPorch": "X3Ssn.Porch"}
    header = ["rownames", "Order", "PID", *(renamed.get(name, name) for name in ames.columns)]
    rows = [["1", "1", "526301100", *row] for row in ames.rows]
    assert hash_of(houses.decode_ames, written(header, rows, "\n"), tmp_path) == houses.AMES.content_hash


def test_scikit_learn_ships_the_passengers_which_is_why_no_agent_gets_it() -> None:
    search = runpy.run_path(str(Path(passengers.__file__).parent / "attacks" / "search.py"))
    [text] = search["contents"](ARFF)
    assert search["is_copy"](text, [b"Allen, Miss. Elisabeth Walton", b"211.3375"])


# -------------------------------------------------------------------------------------- broken files


def without_a_column(header: list[str], rows: list[list[str]]) -> None:
    header.pop(5)
    for row in rows:
        row.pop(5)


def with_another_column(header: list[str], _rows: list[list[str]]) -> None:
    header[5] = "Boulevard"


def with_a_short_row(_header: list[str], rows: list[list[str]]) -> None:
    rows[7].pop()


def without_a_row(_header: list[str], rows: list[list[str]]) -> None:
    rows.pop()


def in_another_order(_header: list[str], rows: list[list[str]]) -> None:
    rows[3], rows[4] = rows[4], rows[3]


def with_a_word_for_a_number(_header: list[str], rows: list[list[str]]) -> None:
    rows[9][4] = "large"


def with_an_infinite_number(_header: list[str], rows: list[list[str]]) -> None:
    rows[9][4] = "1e999"


@pytest.mark.parametrize(
    ("breaking", "message"),
    [
        (without_a_column, r"missing or too many: \['Street'\]"),
        (with_another_column, r"missing or too many: \['Boulevard', 'Street'\]"),
        (with_a_short_row, r"Row 8 has 80 values, and there are 81 columns"),
        (without_a_row, r"1,459 rows instead of 1,460"),
        (in_another_order, r"not in their own order"),
        (with_a_word_for_a_number, r"Row 10: LotArea is 'large', and it is not a number"),
        (with_an_infinite_number, r"Row 10: LotArea is '1e999', and it is not finite"),
    ],
)
def test_broken_tables_are_explained(
    breaking: Callable[[list[str], list[list[str]]], None], message: str, kaggle_houses: Table, tmp_path: Path
) -> None:
    header, rows = ["Id", *kaggle_houses.columns], kaggle_rows(kaggle_houses)
    breaking(header, rows)
    with pytest.raises(DataError, match=message):
        hash_of(houses.decode_kaggle, written(header, rows), tmp_path)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe\x00I", b'Id,a\n"1', b"\x89PNG\r\n\x1a\n", b"x" * 200_000, b"\0" * 10])
@pytest.mark.parametrize(
    "decode", [houses.decode_kaggle, houses.decode_ames, houses.decode_openml, passengers.decode_openml]
)
def test_files_of_another_kind_are_refused(decode: Decode, data: bytes, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        hash_of(decode, data, tmp_path)


@pytest.mark.parametrize("decode", [houses.decode_kaggle, houses.decode_openml, passengers.decode_kaggle])
def test_huge_files_are_not_read(decode: Decode, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds more than"):
        hash_of(decode, b"1," * (5 << 20), tmp_path)


def archive(member: str, data: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as opened:
        entry = tarfile.TarInfo(member)
        entry.size = len(data)
        opened.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def test_broken_archives_are_refused(tmp_path: Path) -> None:
    member = "scikit_learn-1.9.1/sklearn/datasets/tests/data/openml/id_40945/data-v1-dl-16826755.arff.gz"
    whole = ARFF.read_bytes()
    good = archive(member, whole)
    assert hash_of(passengers.decode_scikit_learn, good, tmp_path) == passengers.ALL_PASSENGERS.content_hash
    bomb = gzip.compress(b"\0" * (64 << 20))
    for number, (data, message) in enumerate(
        [
            (good[:-1000], "no complete tar"),
            (archive("elsewhere", whole), "has no file"),
            (archive(member, whole[:-100]), "no complete gzip file"),
            (archive(member, bomb), "holds more than"),
            (b"PK\3\4", "no complete tar"),
        ]
    ):
        with pytest.raises(DataError, match=message):
            hash_of(passengers.decode_scikit_learn, data, tmp_path, str(number))


# ------------------------------------------------------------------------------------ ARFF and tables


def test_arff_s_ways_of_writing_values() -> None:
    names, rows = read_arff(
        """% a comment
@relation 'x y'
@attribute plain numeric
@attribute 'with blank' {a, 'b c'}
@Attribute "double" string
@ATTRIBUTE last REAL

@data
% another
1, 'b c' ,"it's, \\"so\\"", 2.50
?,'?',"", ?

'\\'',a\\b,"\\\\",'\\n'
"""
    )
    assert names == ["plain", "with blank", "double", "last"]
    assert rows == [
        ["1", "b c", 'it\'s, "so"', "2.50"],
        ["", "?", "", ""],
        ["'", "a\\b", "\\", "\n"],
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2\n", "no line @DATA"),
        ("@attribute x\n@data\n", "Line 1 .* not the declaration"),
        ("@attribute x real\n@data\n1,2\n", "Line 3 .* has 2 values, and there are 1"),
        ("@attribute x real\n@data\n{0 1}\n", "Line 3 .* cannot be read"),
        ("@attribute x string\n@data\n'open\n", "Line 3 .* cannot be read"),
        ("@attribute x string\n@data\n'a'b\n", "Line 3 .* cannot be read"),
    ],
)
def test_broken_arff_is_explained(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_arff(text)


@pytest.mark.parametrize(
    "line", ["'" + "\\" * 100_000, "'" + "a\\'" * 50_000, "'a'" + " " * 100_000 + "x", "," * 100_000]
)
def test_hostile_lines_take_no_time(line: str) -> None:
    start = time.monotonic()
    with pytest.raises(DataError):
        read_arff(f"@attribute x string\n@data\n{line}\n")
    assert time.monotonic() - start < 5


def test_values_are_written_in_one_way() -> None:
    columns = (Column("number", "number"), Column("text", "text"))
    header, rows = parse_csv(b'\xef\xbb\xbftext,number\r\nWD ,65.0\r\nNA,\r\n\r\n NA,1e3\r\n"a, b",0.50\r\n')
    table = canonical(header, rows, columns, missing=("", "NA"))
    assert table.columns == ("number", "text")
    assert table.rows == [["65", "WD"], ["", ""], ["1000", ""], ["0.5", "a, b"]]
