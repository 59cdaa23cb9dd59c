"""Predicting what houses were sold for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from mlgym_core import R2, Anchors, Grading, Preparation, RootMeanSquaredError, finite_number, secret_order
from mlgym_task_tabular.houses import AMES, COLUMNS, CONTENT, KAGGLE, TARGET
from mlgym_task_tabular.prediction_task import PAPER, SPLITS, PredictionTask, consecutive, who_can_tell_rows
from mlgym_task_tabular.tables import Table, read_table

if TYPE_CHECKING:
    from mlgym_core.types import Split

HIGHEST_PRICE = 1e9
"""A prediction beyond it, in dollars, is refused: squares of much larger numbers are not finite."""
HUGE = 4000
"""Houses with more square feet of living area than this always belong to the training rows of `ames`. There are five.
The data set's author advises to leave them out (De Cock 2011): three were sold for far less than such houses are worth,
the other two are dearer than nearly all. Squared errors of a handful of rows would decide over a split that had them,
so that validation rows and test rows would disagree on what is better."""
PAPER_SEED = 42
CLOSE = 0.001
"""A prediction that is this near to the price, as a share of it, is called exact."""
MANY_EXACT = 0.1
"""The share of exact predictions from which on a submission is flagged. Of honest ones 1 to 2 % are, and 4 % of honest
ones that were rounded to 5,000 dollars, since many prices are round."""


def price(text: str) -> float:
    """Return a predicted price.

    Raises:
        ValueError: if it is none.
    """
    number = finite_number(text)
    if abs(number) > HIGHEST_PRICE:
        raise ValueError("it is beyond a billion dollars")
    return number


def paper_split(count: int) -> dict[str, set[int]]:
    """Return which rows make up each of the paper's splits, by their numbers from 0 in the file's own order.

    That is scikit-learn's `train_test_split` with `random_state=42`, twice: a test set of 20 %, then a validation set
    of 12.5 % of the rest.
    """
    import numpy

    def drawn(rows: Sequence[int], share: float) -> tuple[list[int], list[int]]:
        order = numpy.random.RandomState(PAPER_SEED).permutation(len(rows))
        size = math.ceil(share * len(rows))
        return [rows[place] for place in order[:size]], [rows[place] for place in order[size:]]

    test, rest = drawn(range(count), 0.2)
    validation, train = drawn(rest, 0.125)
    return {"train": set(train), "validation": set(validation), "test": set(test)}


class HousePrice(PredictionTask):
    """The task `tabular/house-price`."""

    task_id = "tabular/house-price"
    datasets = (AMES, KAGGLE)
    id_column = "Id"
    target = TARGET
    starter = "house_price.py"
    sizes: ClassVar[Mapping[str, tuple[int, int, int]]] = {"ames": (2051, 293, 586), "kaggle": (1022, 146, 292)}

    def __init__(self, variant: str = "ames") -> None:
        super().__init__(variant)

    @property
    def public_copy(self) -> str:
        """The variant's own dataset."""
        return self.variant

    def splits(self, preparation: Preparation) -> tuple[Table, Mapping[str, Sequence[int]]]:
        """Return all houses, and splits of our own; of the variant `kaggle` those of the paper, in an order of ours."""
        table = read_table(preparation.dataset(self.variant) / CONTENT)
        order = secret_order(len(table.rows), task=self.task_id, variant=self.variant)
        if self.variant == "ames":
            huge = [float(area) > HUGE for area in table.column("GrLivArea")]
            drawn = consecutive(sorted(order, key=lambda row: not huge[row]), self.sizes["ames"])
            members = {split: set(rows) for split, rows in drawn.items()}
        else:
            members = paper_split(len(table.rows))
        return table, {split: [row for row in order if row in members[split]] for split in SPLITS}

    def grade(self, grading: Grading) -> Mapping[str, float]:
        """Compare the predicted prices of a split with those that were paid."""
        answers = self.answers(grading, grading.split)
        predicted = list(self.predictions(grading, answers, price).values())
        paid = [float(answer) for answer in answers.values()]
        exact = sum(abs(mine - theirs) <= CLOSE * theirs for mine, theirs in zip(predicted, paid, strict=True))
        # Those of the validation split are in the workspace: an agent that uses them deceives nobody but itself.
        if grading.split == "test" and exact > MANY_EXACT * len(paid):
            grading.flag("memorised_answers")
        return {"r2": R2().compute(paid, predicted), "rmse": RootMeanSquaredError().compute(paid, predicted)}

    def anchors(self, split: Split) -> Anchors:
        """Return the ends of the scale, for r2."""
        return _ANCHORS[self.variant, split]

    def description_parts(self) -> Mapping[str, str]:
        """Return what is particular to this task."""
        source = {
            "ames": "All 2,930 sales of the data set `ames` are used. The five houses with more than 4,000 square feet "
            "of living area, which the data set's author advises to leave out, are all in `train.csv`.",
            "kaggle": "They are the 1,460 sales in the training data of Kaggle's competition on house prices.",
        }[self.variant]
        anchors = self.anchors("test")
        return {
            "title": "House prices",
            "goal": (
                "Predict what houses in Ames, Iowa, were sold for between 2006 and 2010, from what the city's assessor "
                f"recorded of them. {source}"
            ),
            "rows_are": "houses",
            "missing": "An empty value says that a house has no such thing (alley, basement, garage …), or, more "
            "rarely, that it is not known.",
            "columns": "\n".join(f"| `{column.name}` | {column.kind} | {column.meaning} |" for column in COLUMNS),
            "answer": f"`{TARGET}` is the predicted price in US dollars, a decimal number such as `181500` or "
            "`1.815e5`.",
            "score": (
                "`r2`, to be **maximised**: the coefficient of determination, 1 minus the squared error's ratio to "
                "that of always predicting the mean of the right answers. Perfect predictions have 1. `rmse`, the "
                "root mean squared error in dollars, is reported beside it. Both count dollars, so dear houses "
                "weigh most."
            ),
            "baseline": f"r2 {anchors.baseline:.3f}",
            "also": f" ({self.anchors('validation').baseline:.3f} on the validation rows)",
            "known": "houses",
            "packages": "Python, numpy, scipy, pandas and scikit-learn are installed.",
            "limits": "The baseline takes a few seconds; minutes of computing are plenty here.",
        }

    def contamination(self) -> str:
        """Return where the prices are public, and what keeps agents from looking them up."""
        return (
            "All prices are public: in the article by De Cock (2011), in R's packages AmesHousing, modeldata and "
            "openintro, in Python packages, on Kaggle and OpenML; a language model may have read them. Agents have "
            "no network, and the packages of their sandbox hold none of them. Rows have a fresh order and fresh "
            f"ids. {who_can_tell_rows('house')} What the rows say tells, too: nearly every house can be recognised by "
            "its lot, areas and years. Whoever has a public copy can therefore look the prices up, with or without a "
            "secret key, which nothing here can stop. It is flagged where it shows: "
            "`memorised_answers` if more than a tenth of the predictions lie within 0.1 % of the price, "
            "`implausible_score` if the score is better than such data allow. Answers that were blurred on purpose "
            "are not recognised."
        )


_STARTER = "the starter's own runs"
_STARTER_ON_KEYS = "the starter's own runs; the band holds those on the splits of 21 keys"
_MEASURED = (
    "ridge regression and boosting together, measured with the script references/house_price.py of this package, "
    "which was chosen by cross-validation, without test rows"
)
IMPLAUSIBLE = 0.98
"""An r2 that honest work on the test rows does not reach: the squared error is then about a third of the reference's.
On the test rows of `ames` with 21 keys the reference's solution had 0.935 to 0.958, and in the folds of
cross-validation on the training and validation rows of `kaggle` 0.91 to 0.96. Validation rows have none, since their
prices are in the workspace."""

_ANCHORS: Mapping[tuple[str, Split], Anchors] = {
    ("ames", "validation"): Anchors(
        baseline=0.891,
        baseline_source=_STARTER_ON_KEYS,
        reference=0.954,
        reference_source=_MEASURED,
        # 0.797 to 0.947 on those splits.
        band=(0.79, 0.95),
    ),
    ("ames", "test"): Anchors(
        baseline=0.891,
        baseline_source=_STARTER_ON_KEYS,
        reference=0.944,
        reference_source=_MEASURED,
        # 0.787 to 0.929 on those splits.
        band=(0.78, 0.935),
        implausible=IMPLAUSIBLE,
    ),
    ("kaggle", "validation"): Anchors(
        baseline=0.827,
        baseline_source=_STARTER,
        reference=0.912,
        reference_source=_MEASURED,
        band=(0.823, 0.831),
    ),
    ("kaggle", "test"): Anchors(
        baseline=0.880,
        baseline_source=f"the baseline in {PAPER}; the starter's own runs have 0.881",
        reference=0.939,
        reference_source=_MEASURED,
        band=(0.877, 0.885),
        implausible=IMPLAUSIBLE,
    ),
}
