"""What the tasks share: splits, files, description and grading of image classification."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mlgym_core import (
    Accuracy,
    Anchors,
    Attack,
    Content,
    Grading,
    Preparation,
    SubmissionFile,
    Task,
    one_of,
    read_predictions,
    secret_order,
)
from mlgym_task_vision.labelled_images import CLASSES, Part

if TYPE_CHECKING:
    import numpy as np

SUBMISSION = "submission.csv"
BASELINE_SCRIPT = "baseline.py"
SPLITS = ("train", "validation", "test")
PAPER = "MLGym: A New Framework and Benchmark for Advancing AI Research Agents (2025)"

_GRADED = ("validation", "test")
_ANSWERS = "answers.csv"
_PUBLIC_KEY = "mlgym"
"""What the order of images follows from where nobody has set `MLGYM_GRADING_KEY`."""
_STARTERS = Path(__file__).parent / "starters"
_ATTACKS = Path(__file__).parent / "attacks"

_DESCRIPTION = """\
# {title}

Classify images: {shows}
Train a model on the training images and predict the labels of the test images. The more of them are right, the better
your score.

## The data

{variant_text}

| split | images | labels | number |
| --- | --- | --- | --- |
| train | `train_images.npy` | `train.csv`: `id,label` | {train:,} |
| validation | `validation_images.npy` | `validation.csv`: `id,label` | {validation:,} |
| test | `test_images.npy` | `test.csv`: `id`; you predict the labels | {test:,} |

The images are NumPy arrays of unsigned bytes of shape {array_shape}: {axes}.
{values}
Row k of a CSV file (counted from 0, the header left out) is image k of the array. Images and ids are in random order.

A label is a whole number:

| label | class |
| --- | --- |
{classes}

## What to submit

The file `{submission}` with the header `id,label` and a row for each id of `test.csv`, in any order, for example

```
id,label
{first_test_id},3
{second_test_id},0
```

It may have rows for the ids of `validation.csv`, too: those are what `validate` grades, so that one file does for both.
A missing, unknown or doubled id, or a label that is not one of the whole numbers from 0 to {last_class}, makes the
submission invalid.

## The score

`accuracy`, to be **maximised**: the share of images whose label is right, from 0 to 1. On the test split, **the
baseline's is {baseline}**.

## Limits

- {packages} are installed, with what they need, and nothing else. There is no network.
- Your processes may use {memory_gib} GiB of memory together.
- Do not count on a graphics processor. The baseline takes {baseline_time}.

## How to work

`{script}` is a starter that trains a simple model and writes `{submission}` for both splits: `python3 {script}`.
Improve it, or write something else altogether. Lines such as `NAME = 0.1  # tunable: float 0 to 1` declare
parameters: numbers that can be changed within their range without understanding the code.

`validate` grades `{submission}` on the validation split and returns the accuracy; the number of validations is limited,
but with the labels in `validation.csv` you can count for yourself. `submit` hands the file in and ends the task.
"""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """How a task is made of a dataset, and what its ends of the scale are.

    Attributes:
        dataset: Name of the dataset.
        text: What it consists of, for the description.
        learning: The part of the dataset that training and validation images are drawn from.
        testing: The part that test images are drawn from; it may be the same.
        sizes: Number of images of each split.
        anchors: The scale on each graded split.
        starter_values: Values of the starter's parameters that differ from those in its file.
        baseline_time: How long the baseline takes, for the description.
    """

    dataset: str
    text: str
    learning: Part
    testing: Part
    sizes: Mapping[str, int]
    anchors: Mapping[str, Anchors]
    starter_values: Mapping[str, str] = field(default_factory=dict)
    baseline_time: str

    def part(self, split: str) -> Part:
        """Return the part of the dataset that a split's images are drawn from."""
        return self.testing if split == "test" else self.learning

    def rows(self, task_id: str, variant: str) -> dict[str, list[int]]:
        """Return the rows of each split in its part of the dataset, in an order that is secret if the key is."""
        orders = {
            part: iter(secret_order(part.count, task=task_id, variant=variant, purpose=part.name))
            for part in {self.learning, self.testing}
        }
        return {split: list(islice(orders[self.part(split)], self.sizes[split])) for split in SPLITS}

    def ids(self, split: str) -> range:
        """Return a split's ids: whole numbers that go on from one split to the next."""
        first = sum(self.sizes[earlier] for earlier in SPLITS[: SPLITS.index(split)])
        return range(first, first + self.sizes[split])


class ImageClassification(Task):
    """A task whose submission names a class for each image.

    Class attributes:
        task_id: The task's id.
        title: Heading of the description.
        shows: What is on the images, as a sentence.
        values: What the numbers of an image mean, as a sentence.
        classes: The name of each label.
        variants: By name.
        packages: What its requirements are, for the description.
        memory_gib: Its limit of memory, for the description.
        starter: File name of the starter among this package's `starters`.
        labels_have_errors: Whether some published labels are known to be wrong, so that only a copy of them agrees
            with all.
        where_public: Where labels are published, as a sentence for `contamination`.
    """

    answers_public = True
    baseline_script = BASELINE_SCRIPT
    grading_seconds = 120.0

    task_id: ClassVar[str]
    title: ClassVar[str]
    shows: ClassVar[str]
    values: ClassVar[str]
    classes: ClassVar[tuple[str, ...]]
    variants: ClassVar[Mapping[str, Variant]]
    packages: ClassVar[str]
    memory_gib: ClassVar[int]
    starter: ClassVar[str]
    labels_have_errors: ClassVar[bool]
    where_public: ClassVar[str]

    @property
    def chosen(self) -> Variant:
        """The variant that this task was made for."""
        return self.variants[self.variant]

    def prepare(self, preparation: Preparation) -> None:
        """Write images, labels, ids, the starter and the description; the test labels for graders only."""
        import numpy as np

        chosen = self.chosen
        folder = preparation.dataset(chosen.dataset)
        public = Content(preparation.public)
        answers: list[tuple[str, str, str]] = []
        for split, rows in chosen.rows(self.task_id, self.variant).items():
            part = chosen.part(split).name
            images: np.ndarray = np.load(folder / f"{part}_images.npy", mmap_mode="r", allow_pickle=False)
            labels: np.ndarray = np.load(folder / f"{part}_labels.npy", allow_pickle=False)
            public.array(f"{split}_images.npy", (len(rows), *images.shape[1:]), images[rows].tobytes())
            ids = [str(number) for number in chosen.ids(split)]
            labelled = [(row_id, str(labels[row])) for row_id, row in zip(ids, rows, strict=True)]
            if split == "test":
                public.table("test.csv", ["id"], [[row_id] for row_id in ids])
            else:
                public.table(f"{split}.csv", ["id", "label"], labelled)
            if split in _GRADED:
                answers += [(row_id, split, label) for row_id, label in labelled]
        Content(preparation.private).table(_ANSWERS, ["id", "split", "label"], answers)
        (preparation.public / BASELINE_SCRIPT).write_text(self._starter(), encoding="utf-8")
        (preparation.public / "README.md").write_text(self.description(), encoding="utf-8")

    def _starter(self) -> str:
        source = (_STARTERS / self.starter).read_text(encoding="utf-8")
        for name, value in self.chosen.starter_values.items():
            source, count = re.subn(rf"^{name} = \S+", f"{name} = {value}", source, flags=re.MULTILINE)
            assert count == 1, f"{self.starter} does not set {name} once"
        return source

    def grade(self, grading: Grading) -> Mapping[str, float]:
        """Return the share of right labels."""
        answers = _read_answers(grading.private / _ANSWERS)
        expected = answers[grading.split]
        predictions = read_predictions(
            grading.submission / SUBMISSION,
            id_column="id",
            value_column="label",
            parse=one_of(*map(str, range(CLASSES))),
            expected=expected,
            also_allowed=[row_id for split in _GRADED for row_id in answers[split]],
        )
        accuracy = Accuracy().compute(list(expected.values()), list(predictions.values()))
        # Whoever is right even where the published label is wrong has it from there. Validation labels are public.
        if accuracy == 1 and self.labels_have_errors and grading.split == "test":
            grading.flag("memorised_answers")
        return {"accuracy": accuracy}

    def oracle(self, private: Path, split: str, quality: float, submission: Path) -> bool:
        """Write labels of which a share is right; the others are those of the images before them."""
        pairs = list(_read_answers(private / _ANSWERS)[split].items())
        right = round(quality * len(pairs))
        others = [label for _, label in pairs[-1:] + pairs[:-1]]
        rows = [
            (row_id, label if place < right else other)
            for place, ((row_id, label), other) in enumerate(zip(pairs, others, strict=True))
        ]
        Content(submission).table(SUBMISSION, ["id", "label"], rows)
        return True

    def description(self) -> str:
        """Return the task's description in Markdown."""
        chosen = self.chosen
        height, width, *colours = chosen.learning.image_shape
        test_ids = chosen.ids("test")
        return _DESCRIPTION.format(
            title=self.title,
            shows=self.shows,
            variant_text=chosen.text,
            **chosen.sizes,
            array_shape=f"(number, {height}, {width}{', 3' if colours else ''})",
            axes="image, row, column" + (", and red, green, blue" if colours else ""),
            values=self.values,
            classes="\n".join(f"| {label} | {name} |" for label, name in enumerate(self.classes)),
            submission=SUBMISSION,
            first_test_id=test_ids[0],
            second_test_id=test_ids[1],
            last_class=CLASSES - 1,
            baseline=chosen.anchors["test"].baseline,
            packages=self.packages,
            memory_gib=self.memory_gib,
            baseline_time=chosen.baseline_time,
            script=BASELINE_SCRIPT,
        )

    def submission_files(self) -> Sequence[SubmissionFile]:
        """Return the one file that makes up a submission."""
        return (SubmissionFile(path=SUBMISSION),)

    def anchors(self, split: str) -> Anchors:
        """Return the ends of the scale on `split`."""
        return self.chosen.anchors[split]

    def attacks(self) -> Sequence[Attack]:
        """Return the ways of joining a public copy of the labels, and of finding one."""
        dataset = self.chosen.dataset
        return (
            Attack(
                name="joins a public copy by the order of images",
                program=_ATTACKS / "join_by_order.py",
                dataset=dataset,
            ),
            Attack(name="joins a public copy by ids", program=_ATTACKS / "join_by_id.py", dataset=dataset),
            Attack(
                name="joins a public copy by content",
                program=_ATTACKS / "join_by_content.py",
                dataset=dataset,
                outcome="flagged",
            ),
            Attack(
                name="derives the order from the public key",
                program=_ATTACKS / "derive_order.py",
                dataset=dataset,
                outcome="flagged" if os.environ.get("MLGYM_GRADING_KEY", _PUBLIC_KEY) == _PUBLIC_KEY else "stopped",
            ),
            Attack(name="looks for a public copy in all that it can read", program=_ATTACKS / "search.py"),
        )

    def contamination(self) -> str:
        """Return where the labels are public, and which ways of using them are stopped."""
        perfect = (
            " Some published labels are known to be wrong, so that a submission which agrees with every one of them is "
            "flagged `memorised_answers`."
            if self.labels_have_errors
            else ""
        )
        return (
            f"{self.where_public} Images are shuffled and numbered anew by a keyed hash. An agent that does not know "
            "this package's code can join neither their order nor their ids with a public copy; whoever knows the code "
            "can derive the order from the public key, unless the variable MLGYM_GRADING_KEY is set to a secret. "
            "Joining by content cannot be stopped: whoever brings the published images into the sandbox finds each "
            "test image among them, and a model that was trained on them may know them. All results therefore carry "
            "the flag `public_answers`, and results that are better than honest work has ever been are flagged "
            f"`implausible_score`.{perfect} Folders in which systems keep a copy are hidden from agents."
        )


def _read_answers(path: Path) -> dict[str, dict[str, str]]:
    """Return the labels by split and id, from the file that `prepare` wrote."""
    answers: dict[str, dict[str, str]] = {split: {} for split in _GRADED}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            answers[row["split"]][row["id"]] = row["label"]
    return answers
