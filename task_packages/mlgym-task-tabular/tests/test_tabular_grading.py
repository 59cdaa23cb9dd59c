"""Grading: every way in which a submission can be wrong, right answers, and what is flagged."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

import pytest
from tabular_support import Grade, Prepare, Prepared

from mlgym_core import InvalidSubmission
from mlgym_task_tabular.house_price import HousePrice
from mlgym_task_tabular.titanic import Titanic


def csv_of(prepared: Prepared, answers: Mapping[str, object]) -> str:
    header = f"{prepared.task.id_column},{prepared.task.target}\n"
    return header + "".join(f"{row_id},{value}\n" for row_id, value in answers.items())


@pytest.fixture(scope="session")
def houses(prepare: Prepare) -> Prepared:
    return prepare(HousePrice, "ames")


@pytest.fixture(scope="session")
def passengers(prepare: Prepare) -> Prepared:
    return prepare(Titanic, "passengers")


def test_right_answers_are_perfect_and_nobody_s_work(prepared: Prepared, grade: Grade) -> None:
    answers = {**prepared.answers("validation"), **prepared.answers("test")}
    is_of_houses = isinstance(prepared.task, HousePrice)
    for split in ("validation", "test"):
        metrics, flags = grade(prepared, csv_of(prepared, answers), split)
        assert metrics == ({"r2": 1.0, "rmse": 0.0} if is_of_houses else {"accuracy": 1.0})
        assert flags == (["memorised_answers"] if is_of_houses and split == "test" else [])
    implausible = prepared.task.anchors("test").implausible
    assert implausible is not None
    assert implausible < 1.0


def test_each_split_is_graded_by_itself(prepared: Prepared, grade: Grade) -> None:
    right, wrong = prepared.answers("test"), dict.fromkeys(prepared.answers("validation"), "0")
    metrics, _ = grade(prepared, csv_of(prepared, {**wrong, **right}), "test")
    assert next(iter(metrics.values())) == 1.0
    metrics, _ = grade(prepared, csv_of(prepared, {**wrong, **right}), "validation")
    assert next(iter(metrics.values())) < 0.8
    metrics, _ = grade(prepared, csv_of(prepared, right), "test")
    assert next(iter(metrics.values())) == 1.0


def test_order_does_not_count(prepared: Prepared, grade: Grade) -> None:
    generator = random.Random(0)
    values = {row_id: generator.choice(["0", "1"]) for row_id in prepared.answers("test")}
    shuffled = dict(sorted(values.items(), key=lambda pair: pair[1] + pair[0][::-1]))
    assert grade(prepared, csv_of(prepared, values)) == grade(prepared, csv_of(prepared, shuffled))


def test_metrics_of_the_houses(houses: Prepared, grade: Grade) -> None:
    paid = {row_id: float(price) for row_id, price in houses.answers("test").items()}
    mean = math.fsum(paid.values()) / len(paid)
    metrics, flags = grade(houses, csv_of(houses, dict.fromkeys(paid, mean)))
    assert metrics["r2"] == pytest.approx(0, abs=1e-9)
    spread = math.sqrt(math.fsum((price - mean) ** 2 for price in paid.values()) / len(paid))
    assert metrics["rmse"] == pytest.approx(spread)
    assert flags == []
    metrics, _ = grade(houses, csv_of(houses, {row_id: price + 10_000 for row_id, price in paid.items()}))
    assert metrics["rmse"] == pytest.approx(10_000)
    assert metrics["r2"] == pytest.approx(1 - 1e8 / spread**2)


@pytest.mark.parametrize(
    ("share", "shift", "flagged"),
    [(0.08, 1.0, False), (0.15, 1.0, True), (0.15, 1.0005, True), (1, 1.002, False), (0.15, 1.05, False)],
)
def test_prices_that_are_too_exact_are_flagged(
    share: float, shift: float, flagged: bool, houses: Prepared, grade: Grade
) -> None:
    paid = [(row_id, float(price)) for row_id, price in houses.answers("test").items()]
    known = round(share * len(paid))
    predicted = {row_id: price * (shift if place < known else 1.07) for place, (row_id, price) in enumerate(paid)}
    _, flags = grade(houses, csv_of(houses, predicted))
    assert flags == (["memorised_answers"] if flagged else [])


def test_honest_rounding_is_not_flagged(houses: Prepared, grade: Grade) -> None:
    generator = random.Random(1)
    for step in (1, 100, 1000, 5000):
        predicted = {
            row_id: round(float(price) * math.exp(generator.gauss(0, 0.07)) / step) * step
            for row_id, price in houses.answers("test").items()
        }
        metrics, flags = grade(houses, csv_of(houses, predicted))
        assert metrics["r2"] > 0.9, "better than all that was measured"
        assert flags == []


@pytest.mark.parametrize("extreme", ["1e9", "-1e9", "0", "-0.0", "1e-300", " 181500 ", "1.815E5", "+7", ".5"])
def test_every_number_within_bounds_has_finite_metrics(extreme: str, houses: Prepared, grade: Grade) -> None:
    metrics, _ = grade(houses, csv_of(houses, dict.fromkeys(houses.answers("test"), extreme)))
    assert all(map(math.isfinite, metrics.values()))


@pytest.mark.parametrize(
    "value",
    [
        "nan",
        "inf",
        "-inf",
        "NaN",
        "1e9999",
        "2e9",
        "-1.1e9",
        "1e300",
        "abc",
        "",
        " ",
        "1_000",
        "0x10",
        "١٢",
        "181,500",
        "$5",
    ],
)
def test_values_that_are_no_prices_are_named(value: str, houses: Prepared, grade: Grade) -> None:
    answers: dict[str, object] = dict(houses.answers("test"))
    first = next(iter(answers))
    answers[first] = f'"{value}"'
    with pytest.raises(InvalidSubmission, match=rf"line 2: the SalePrice of Id {first} is "):
        grade(houses, csv_of(houses, answers))


@pytest.mark.parametrize("value", ["2", "-1", "0.5", "1.0", "yes", "True", "", "nan", "01", "１"])
def test_values_that_are_no_fates_are_named(value: str, passengers: Prepared, grade: Grade) -> None:
    answers = dict(passengers.answers("test"))
    first = next(iter(answers))
    answers[first] = value
    with pytest.raises(InvalidSubmission, match=rf"line 2: the Survived of PassengerId {first} is "):
        grade(passengers, csv_of(passengers, answers))


def malformed(prepared: Prepared) -> dict[str, tuple[bytes, str]]:
    """Return malformed submissions, each with what is said of it."""
    good = csv_of(prepared, prepared.answers("test"))
    header, first, second, *rest = good.splitlines(keepends=True)
    row_id = first.partition(",")[0]
    texts = {
        "empty file": ("", "its first line must name the columns"),
        "header only": (header, "has no row for"),
        "no header": (first + second + "".join(rest), "its first line must name the columns"),
        "another column": (good.replace(prepared.task.target, "Answer", 1), "its first line must name the columns"),
        "a third column": (good.replace("\n", ",1\n"), "its first line must name the columns"),
        "semicolons": (good.replace(",", ";"), "Separate columns by commas"),
        "missing id": (header + second + "".join(rest), f"has no row for 1 of .*{row_id}"),
        "double id": (good + first, f"the {prepared.task.id_column} {row_id} occurs a second time"),
        "unknown id": (good + "99999,1\n", "there is no .* '99999'"),
        "id of a training row": (good + "1,1\n", "there is no .* '1'"),
        "id as a decimal number": (good.replace(f"\n{row_id},", f"\n{row_id}.0,"), "there is no"),
        "short row": (header + f"{row_id}\n", "it has 1 values instead of 2"),
        "long row": (header + f"{row_id},1,1\n", "it has 3 values instead of 2"),
        "open quotation mark": (good + '"7,1', "not valid CSV"),
        "zero byte": (good.replace(first, first.replace("\n", "\0\n")), "zero byte"),
        "a metric instead of predictions": ("r2,accuracy\n1.0,1.0\n", "its first line must name the columns"),
        "huge id": (header + "9" * 10_000 + ",1\n", "there is no"),
    }
    data = {name: (text.encode(), said) for name, (text, said) in texts.items()}
    data["UTF-16"] = (good.encode("utf-16"), "UTF-16")
    data["Latin-1"] = ((good + "é,1\n").encode("latin-1"), "is not UTF-8")
    data["binary"] = (bytes(range(256)) * 100, "is not UTF-8")
    data["pickle"] = (b"\x80\x04\x95\x0c\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94", "is not UTF-8")
    return data


def test_malformed_submissions_are_named(prepared: Prepared, grade: Grade) -> None:
    for name, (data, said) in malformed(prepared).items():
        for split in ("test",):
            with pytest.raises(InvalidSubmission, match=said) as caught:
                grade(prepared, data, split)
            assert len(str(caught.value)) < 500, name


def test_harmless_peculiarities_are_accepted(prepared: Prepared, grade: Grade) -> None:
    good = csv_of(prepared, prepared.answers("test"))
    expected = grade(prepared, good)
    header, _, rows = good.partition("\n")
    swapped = ",".join(reversed(header.split(","))) + "\n"
    swapped += "".join(",".join(reversed(row.split(","))) + "\n" for row in rows.splitlines())
    for variation in (
        "\ufeff" + good,
        good.replace("\n", "\r\n"),
        good.rstrip("\n"),
        good + "\n\n",
        swapped,
        header + "\n" + "".join(f'"{row.replace(",", chr(34) + "," + chr(34))}"\n' for row in rows.splitlines()),
    ):
        assert grade(prepared, variation) == expected


def test_the_size_of_a_submission_is_limited(prepared: Prepared) -> None:
    [file] = prepared.task.submission_files()
    assert file.path == "submission.csv"
    assert file.max_bytes == 1 << 20
