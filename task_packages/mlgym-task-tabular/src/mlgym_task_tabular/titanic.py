"""Predicting which passengers of the Titanic survived."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from mlgym_core import Accuracy, Anchors, Grading, Preparation, one_of, secret_order
from mlgym_task_tabular.passengers import ALL_PASSENGERS, COLUMNS, CONTENT, KAGGLE, TARGET, rows_in_kaggle
from mlgym_task_tabular.prediction_task import PAPER, PredictionTask, consecutive, who_can_tell_rows
from mlgym_task_tabular.tables import Column, Table, read_table

if TYPE_CHECKING:
    from mlgym_core.types import Split

_COMMON_TITLES = frozenset(("Mr", "Mrs", "Miss", "Master", "Dr", "Rev"))
"""Each of the other titles was borne by four people at most, who could be told by it."""

_WITHOUT_NAMES = {
    "Name": (
        Column("Title", "text", "Mr, Mrs, Miss, Master (a boy), Dr, Rev or Other"),
        Column("Family", "number", "the same number for the same surname (not a quantity)"),
    ),
    "Ticket": (
        Column("Ticket", "number", "the same number for the same ticket, which people may share (not a quantity)"),
    ),
    "Cabin": (Column("Deck", "text", "letter of the deck of the cabin, known of few"),),
}
"""What the variant `passengers` has in the place of what names people."""


def without_names(table: Table, order: Sequence[int]) -> Table:
    """Return the table without names, and without tickets and cabins that could be looked up.

    Those who shared a surname or a ticket share a number. Numbers are given in the order of first occurrence among the
    rows as `order` has them.
    """
    families = _numbers(_surname(name) for name in _in_order(table.column("Name"), order))
    tickets = _numbers(_in_order(table.column("Ticket"), order))
    replaced: dict[str, Callable[[str], tuple[str, ...]]] = {
        "Name": lambda name: (_title(name), families[_surname(name)]),
        "Ticket": lambda ticket: (tickets[ticket],),
        "Cabin": lambda cabin: (cabin[:1],),
    }
    columns = [new.name for column in COLUMNS for new in _WITHOUT_NAMES.get(column.name, (column,))]
    rows = [
        [
            new
            for name, value in zip(table.columns, row, strict=True)
            for new in (replaced[name](value) if name in replaced else (value,))
        ]
        for row in table.rows
    ]
    return Table(tuple(columns), rows)


def _in_order(values: Sequence[str], order: Sequence[int]) -> list[str]:
    return [values[place] for place in order]


def _numbers(texts: Iterable[str]) -> dict[str, str]:
    return {text: str(number) for number, text in enumerate(dict.fromkeys(texts), start=1)}


def _surname(name: str) -> str:
    return name.partition(",")[0]


def _title(name: str) -> str:
    title = name.partition(",")[2].partition(".")[0].strip()
    return title if title in _COMMON_TITLES else "Other"


class Titanic(PredictionTask):
    """The task `tabular/titanic`."""

    task_id = "tabular/titanic"
    datasets = (ALL_PASSENGERS, KAGGLE)
    id_column = "PassengerId"
    target = TARGET
    starter = "titanic.py"
    public_copy = "passengers"
    sizes: ClassVar[Mapping[str, tuple[int, int, int]]] = {"passengers": (785, 262, 262), "kaggle": (712, 179, 418)}

    def __init__(self, variant: str = "passengers") -> None:
        super().__init__(variant)

    def splits(self, preparation: Preparation) -> tuple[Table, Mapping[str, Sequence[int]]]:
        """Return all passengers, and splits of our own; the test set of the variant `kaggle` is Kaggle's."""
        table = read_table(preparation.dataset("passengers") / CONTENT)
        order = secret_order(len(table.rows), task=self.task_id, variant=self.variant)
        if self.variant == "passengers":
            return without_names(table, order), consecutive(order, self.sizes["passengers"])
        labelled = rows_in_kaggle(table, read_table(preparation.dataset("kaggle") / CONTENT))
        order.sort(key=lambda row: row not in labelled)
        return table, consecutive(order, self.sizes["kaggle"])

    def grade(self, grading: Grading) -> Mapping[str, float]:
        """Return the share of the passengers of a split whose fate was predicted."""
        answers = self.answers(grading, grading.split)
        predicted = self.predictions(grading, answers, one_of("0", "1"))
        return {"accuracy": Accuracy().compute(list(answers.values()), list(predicted.values()))}

    def anchors(self, split: Split) -> Anchors:
        """Return the ends of the scale."""
        return _ANCHORS[self.variant, split]

    def description_parts(self) -> Mapping[str, str]:
        """Return what is particular to this task."""
        names_are_known = self.variant == "kaggle"
        columns = [
            new
            for column in COLUMNS
            for new in ((column,) if names_are_known else _WITHOUT_NAMES.get(column.name, (column,)))
        ]
        source = {
            "passengers": "All 1,309 passengers are here. Their names are left out, and surnames and tickets are "
            "numbers, so that you can tell who belongs together.",
            "kaggle": "`test.csv` has the passengers of `test.csv` in Kaggle's competition, the other two files "
            "have those of its `train.csv`.",
        }[self.variant]
        anchors = self.anchors("test")
        return {
            "title": "Who survived the Titanic?",
            "goal": (
                "Of the passengers of the Titanic, which sank in 1912, about 38 % survived. Predict who did, from "
                f"what is known of each. {source}"
            ),
            "rows_are": "passengers",
            "missing": "An empty value is not known.",
            "columns": "\n".join(f"| `{column.name}` | {column.kind} | {column.meaning} |" for column in columns),
            "answer": f"`{TARGET}` is `1` for a passenger who is predicted to have survived, and `0` otherwise.",
            "score": "`accuracy`, to be **maximised**: the share of the passengers whose fate was predicted.",
            "baseline": f"accuracy {anchors.baseline:.3f}",
            "also": f" ({self.anchors('validation').baseline:.3f} on the validation rows)",
            "known": "passengers",
            "packages": "Python, numpy, scipy, pandas and xgboost are installed; scikit-learn is not.",
            "limits": "The baseline takes less than a second; minutes of computing are plenty here.",
        }

    def contamination(self) -> str:
        """Return where the passengers' fates are public, and what keeps agents from looking them up."""
        known = {
            "passengers": "Names are left out, tickets and surnames are numbers, and of cabins only the deck is "
            "given, so that nobody can be looked up by name. That does not help against an agent that derives the "
            "order; and class, age, fare and relatives together still single out three quarters of the passengers",
            "kaggle": "Names are kept, as on Kaggle, so that every passenger can be looked up, or remembered, by name",
        }[self.variant]
        return (
            "The fate of every passenger is public: in encyclopedias, on OpenML, in R's and Python's packages "
            "(also among the files of scikit-learn's tests, which is why scikit-learn is not in the agent's "
            "sandbox); a language model has surely read them. Agents have no network, and their sandbox holds none of "
            f"them. Rows have a fresh order and fresh ids. {who_can_tell_rows('passenger')} "
            f"{known}. Whoever has a public copy can join it by what the rows say, which nothing here can stop. "
            "It is flagged as `implausible_score` if the accuracy is beyond what such data allow. Fewer stolen "
            "answers than that are not recognised."
        )


_STARTER = "the starter's own run, which draws nothing"
_MEASURED = (
    "women and boys share the fate of their party, measured with the script references/titanic.py of this package"
)
IMPLAUSIBLE = {"passengers": 0.9, "kaggle": 0.87}
"""Accuracies that honest work on the test rows does not reach. On 20 random splits of all passengers, with as many test
rows as `passengers` has, the reference's solution had 0.836 with a standard deviation of 0.019: 0.9 is more than three
of them above it. Kaggle's test passengers are harder (0.804), and honest claims for them end at about 0.85. Validation
rows have none, since their answers are in the workspace."""

_ANCHORS: Mapping[tuple[str, Split], Anchors] = {
    ("passengers", "validation"): Anchors(
        baseline=0.790,
        baseline_source=_STARTER,
        reference=0.832,
        reference_source=_MEASURED,
        band=(0.789, 0.791),
    ),
    ("passengers", "test"): Anchors(
        baseline=0.794,
        baseline_source=_STARTER,
        reference=0.840,
        reference_source=_MEASURED,
        band=(0.793, 0.795),
        implausible=IMPLAUSIBLE["passengers"],
    ),
    ("kaggle", "validation"): Anchors(
        baseline=0.782,
        baseline_source=_STARTER,
        reference=0.827,
        reference_source=_MEASURED,
        band=(0.781, 0.783),
    ),
    ("kaggle", "test"): Anchors(
        baseline=0.766,
        baseline_source=f"the baseline in {PAPER}, which is what women surviving and men not has on these passengers",
        reference=0.804,
        reference_source=_MEASURED,
        band=(0.765, 0.767),
        implausible=IMPLAUSIBLE["kaggle"],
    ),
}
