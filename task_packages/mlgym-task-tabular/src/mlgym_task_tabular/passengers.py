"""The passengers of the Titanic, and how they are read from where they are published. Standard library only."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlgym_core import (
    Content,
    DataError,
    Dataset,
    Download,
    PythonSourceArchive,
    RemoteFile,
    UserFiles,
    read_limited,
    read_member,
)
from mlgym_task_tabular.arff import read_arff
from mlgym_task_tabular.dataprep import dataprep
from mlgym_task_tabular.tables import Column, Table, canonical, parse_csv, without_numbering

TARGET = "Survived"
CONTENT = "passengers.csv"
PASSENGERS = 1309
KAGGLE_ROWS = 891

_LIMIT = 1 << 20
"""Bytes that a file with all passengers may have; the largest of them has a tenth of that."""

COLUMNS = (
    Column(TARGET, "number", "1 if the passenger survived, 0 if not"),
    Column("Pclass", "number", "class of the ticket: 1, 2 or 3"),
    Column("Name", "text", "surname, title, first names; for married women their own name in brackets"),
    Column("Sex", "text", "female or male"),
    Column("Age", "number", "years; a fraction for infants and where it was estimated"),
    Column("SibSp", "number", "brothers, sisters, husband or wife aboard"),
    Column("Parch", "number", "parents and children aboard"),
    Column("Ticket", "text", "number of the ticket; who travelled together often shares one"),
    Column("Fare", "number", "price of the ticket, pounds"),
    Column("Cabin", "text", "cabins, beginning with the letter of the deck"),
    Column("Embarked", "text", "where the passenger came aboard: C (Cherbourg), Q (Queenstown), S (Southampton)"),
)
"""Kaggle's columns in Kaggle's order, without `PassengerId`."""

_OPENML_NAMES = {column.name.lower(): column.name for column in COLUMNS}
_TELLTALES = ("boat", "body", "home.dest")
"""Which lifeboat a passenger left in and which number the body was given tell the answer; Kaggle has none of them."""


def decode_openml(files: Sequence[Path], content: Content) -> None:
    """Make the content of OpenML's ARFF file."""
    _write_passengers(read_limited(files[0], _LIMIT), content)


def decode_scikit_learn(files: Sequence[Path], content: Content) -> None:
    """Make the content of the copy of OpenML's file among those that scikit-learn's tests need."""
    member = "scikit_learn-1.9.1/sklearn/datasets/tests/data/openml/id_40945/data-v1-dl-16826755.arff.gz"
    decompressor = zlib.decompressobj(wbits=31)
    data = decompressor.decompress(read_member(files[0], member, _LIMIT), _LIMIT)
    if not decompressor.eof:
        raise DataError(f"{member} is no complete gzip file, or holds more than {_LIMIT:,} bytes.")
    _write_passengers(data, content)


def _write_passengers(arff: bytes, content: Content) -> None:
    try:
        header, rows = read_arff(arff.decode())
    except UnicodeDecodeError as error:
        raise DataError(f"It is not a text in UTF-8 ({error}).") from None
    kept = [place for place, name in enumerate(header) if name not in _TELLTALES]
    names = [_OPENML_NAMES.get(header[place], header[place]) for place in kept]
    table = canonical(names, ([row[place] for place in kept] for row in rows), COLUMNS, missing=("",))
    if len(table.rows) != PASSENGERS:
        raise DataError(f"It has {len(table.rows):,} rows instead of {PASSENGERS:,}.")
    content.table(CONTENT, table.columns, table.rows)


def decode_kaggle(files: Sequence[Path], content: Content) -> None:
    """Make the content of Kaggle's `train.csv`."""
    _write_kaggle(read_limited(files[0], _LIMIT), content)


def _write_kaggle(data: bytes, content: Content) -> None:
    table = canonical(*parse_csv(data), (Column("PassengerId", "number"), *COLUMNS), missing=("",))
    table = without_numbering(table, "PassengerId", KAGGLE_ROWS)
    content.table(CONTENT, table.columns, table.rows)


def keys(table: Table) -> list[tuple[str, str]]:
    """Return what tells each passenger from all others, whichever quotation marks the names are written with."""
    names = ("".join(filter(str.isalpha, name)) for name in table.column("Name"))
    return list(zip(names, table.column("Ticket"), strict=True))


def rows_in_kaggle(passengers: Table, kaggle: Table) -> set[int]:
    """Return which passengers are in Kaggle's `train.csv`, by their places in the table of all.

    The 418 others are those of Kaggle's `test.csv`.

    Raises:
        DataError: if some cannot be found, or did not meet the same fate.
    """
    places: Mapping[tuple[str, str], int] = {key: place for place, key in enumerate(keys(passengers))}
    wanted = keys(kaggle)
    found = {places[key] for key in wanted if key in places}
    fates, theirs = passengers.column(TARGET), kaggle.column(TARGET)
    if len(found) != len(wanted) or any(fates[places[key]] != fate for key, fate in zip(wanted, theirs, strict=True)):
        raise DataError("Kaggle's passengers are not among all passengers.")
    return found


_ORIGIN = "Thomas E. Cason and Frank E. Harrell Jr., from the Encyclopedia Titanica by Philip Hind and others"
_CITATION = (
    "F. E. Harrell Jr., T. Cason (2002). Titanic data. Department of Biostatistics, Vanderbilt University; "
    "OpenML data set 40945."
)

ALL_PASSENGERS = Dataset(
    name="passengers",
    summary="All 1,309 passengers of the Titanic",
    content_hash="d8b103530ee021e311e10ff057183f68e71103b4fba2ee742fc0cc7ab43d49ce",
    sources=(
        PythonSourceArchive(
            project="scikit-learn",
            version="1.9.1",
            file="scikit_learn-1.9.1.tar.gz",
            sha256="629cada3e33e2b9bf376cdc7614a47a4140b8aedc1d836579e359736fbd82977",
            size_bytes=7_786_908,
            decode=decode_scikit_learn,
        ),
        Download(
            host="OpenML (data set 40945)",
            remote=(RemoteFile(url="https://www.openml.org/data/v1/download/16826755/Titanic.arff"),),
            decode=decode_openml,
        ),
    ),
    license="public, as OpenML states",
    origin=_ORIGIN,
    citation=_CITATION,
    size_bytes=90_000,
)

KAGGLE = Dataset(
    name="kaggle",
    summary="The 891 passengers of Kaggle's train.csv",
    content_hash="230e89bbd9ebb7b43eacdd42baa8fa74034e900c6f63da1f857c11bc2525f716",
    sources=(
        UserFiles(
            files=("train.csv",),
            how="It is the file train.csv of Kaggle's competition Titanic - Machine Learning from Disaster.",
            decode=decode_kaggle,
        ),
        dataprep("titanic.csv", _write_kaggle, limit=_LIMIT),
    ),
    license="the rules of Kaggle's competition for its file; the data are public, as OpenML states",
    origin=f"{_ORIGIN}; selected by Kaggle",
    citation=_CITATION,
    size_bytes=60_000,
)
