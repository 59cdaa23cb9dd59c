"""What captioning consists of: splits of captioned images, files, and grading by BLEU."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mlgym_core import (
    Anchors,
    Content,
    Grading,
    Preparation,
    SubmissionFile,
    Task,
    read_predictions,
    secret_order,
)
from mlgym_task_vision.bleu import SIGNATURE, corpus_bleu
from mlgym_task_vision.captioned_images import Listed, read_captions, read_images
from mlgym_task_vision.captions import LONGEST, comparable, parse_caption
from mlgym_task_vision.classification import BASELINE_SCRIPT, SPLITS, SUBMISSION

if TYPE_CHECKING:
    import numpy as np

_GRADED = ("validation", "test")
_REFERENCES = "references.csv"
_STARTER = Path(__file__).parent / "starters" / "captioner.py"
_DESCRIPTION = Path(__file__).parent / "coco_captioning.md"
_SUBMISSION_BYTES = 8 << 20
"""Captions of full length for all rows of `full`, in ASCII, fit into it."""
_CHUNK = 256
"""Number of images that are in memory at a time."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """How the task is made of datasets, and what its ends of the scale are.

    Attributes:
        datasets: Names of the datasets.
        learning: The part that training and validation images are drawn from.
        testing: The part that test images are drawn from; it may be the same.
        captions: The part that captions are from, for each of these parts.
        side: Width and height of the images, in pixels.
        sizes: Number of images of each split.
        anchors: The scale on each graded split.
        memorised: The share of test captions that are a reference word for word from which on no model made them.
        starter_values: Values of the starter's parameters that differ from those in its file.
        description: What else the description says, by the places in its text.
    """

    datasets: tuple[str, ...]
    learning: str
    testing: str
    captions: Mapping[str, str]
    side: int
    sizes: Mapping[str, int]
    anchors: Mapping[str, Anchors]
    memorised: float
    starter_values: Mapping[str, str] = field(default_factory=dict)
    description: Mapping[str, str]

    def part(self, split: str) -> str:
        """Return the part of the data that a split's images are drawn from."""
        return self.testing if split == "test" else self.learning

    def ids(self, split: str) -> range:
        """Return a split's ids: whole numbers that go on from one split to the next."""
        first = sum(self.sizes[earlier] for earlier in SPLITS[: SPLITS.index(split)])
        return range(first, first + self.sizes[split])

    def divided(self, task_id: str, variant: str, parts: Mapping[str, Sequence[Listed]]) -> dict[str, list[Listed]]:
        """Return the images of each split, in an order that is secret if the key is.

        Images of one group are in one split. Where a split is full within a group, the rest of it is in none.
        """
        groups = {part: _grouped(images, task_id, variant, part) for part, images in parts.items()}
        splits = {}
        for split in SPLITS:
            taken: list[Listed] = []
            for group in groups[self.part(split)]:
                taken += group
                if len(taken) >= self.sizes[split]:
                    break
            images = taken[: self.sizes[split]]
            # Variations of an image do not follow each other.
            order = secret_order(len(images), task=task_id, variant=variant, purpose=f"images of {split}")
            splits[split] = [images[place] for place in order]
        return splits


def _grouped(images: Sequence[Listed], task_id: str, variant: str, part: str) -> Iterator[list[Listed]]:
    """Return the groups of images one after another, so that each is taken once."""
    groups: dict[str, list[Listed]] = {}
    for image in images:
        groups.setdefault(image.group, []).append(image)
    in_order = list(groups.values())
    return iter([in_order[place] for place in secret_order(len(groups), task=task_id, variant=variant, purpose=part)])


class ImageCaptioning(Task):
    """A task whose submission describes each image in words."""

    answers_public = True
    baseline_script = BASELINE_SCRIPT
    grading_seconds = 300.0

    task_id: ClassVar[str]
    variants: ClassVar[Mapping[str, Variant]]
    memory_gib: ClassVar[int]

    @property
    def chosen(self) -> Variant:
        """The variant that this task was made for."""
        return self.variants[self.variant]

    def prepare(self, preparation: Preparation) -> None:
        """Write images, ids, captions, the starter and the description; captions of test images for graders only."""
        import numpy as np

        chosen = self.chosen
        # A part's files are in whichever of the datasets has them.
        folders = [preparation.dataset(name) for name in chosen.datasets]
        captions = {
            part: read_captions(_folder(folders, f"{named}_captions.csv"), named)
            for part, named in chosen.captions.items()
        }
        parts = {
            part: [image for image in read_images(_folder(folders, f"{part}_images.csv"), part) if image.image in known]
            for part, known in captions.items()
        }
        public = Content(preparation.public)
        references: list[tuple[str, str, str]] = []
        for split, images in chosen.divided(self.task_id, self.variant, parts).items():
            part = chosen.part(split)
            name = f"{part}_images.npy"
            array: np.ndarray = np.load(_folder(folders, name) / name, mmap_mode="r", allow_pickle=False)
            rows = [image.row for image in images]
            public.array(f"{split}_images.npy", (len(rows), *array.shape[1:]), _pieces(array, rows))
            ids = [str(number) for number in chosen.ids(split)]
            public.table(f"{split}.csv", ["id"], [[row_id] for row_id in ids])
            described = [
                (row_id, caption)
                for row_id, image in zip(ids, images, strict=True)
                for caption in captions[part][image.image]
            ]
            if split != "test":
                public.table(f"{split}_captions.csv", ["id", "caption"], described)
            if split in _GRADED:
                references += [(row_id, split, caption) for row_id, caption in described]
        Content(preparation.private).table(_REFERENCES, ["id", "split", "caption"], references)
        (preparation.public / BASELINE_SCRIPT).write_text(self._starter(), encoding="utf-8")
        (preparation.public / "README.md").write_text(self.description(), encoding="utf-8")

    def _starter(self) -> str:
        source = _STARTER.read_text(encoding="utf-8")
        for name, value in self.chosen.starter_values.items():
            source, count = re.subn(rf"^{name} = \S+", f"{name} = {value}", source, flags=re.MULTILINE)
            assert count == 1, f"{_STARTER.name} does not set {name} once"
        return source

    def grade(self, grading: Grading) -> Mapping[str, float]:
        """Return the BLEU of the captions."""
        references = _read_references(grading.private / _REFERENCES)
        expected = references[grading.split]
        captions = read_predictions(
            grading.submission / SUBMISSION,
            id_column="id",
            value_column="caption",
            parse=parse_caption,
            expected=expected,
            also_allowed=[row_id for split in _GRADED for row_id in references[split]],
        )
        # Captions of validation images are public.
        if grading.split == "test" and _recited(captions, expected) >= self.chosen.memorised:
            grading.flag("memorised_answers")
        return {"bleu": corpus_bleu(list(captions.values()), list(expected.values()))}

    def oracle(self, private: Path, split: str, quality: float, submission: Path) -> bool:
        """Write each image's first caption, for a share of the images; the others get that of the image before them."""
        pairs = [(row_id, several[0]) for row_id, several in _read_references(private / _REFERENCES)[split].items()]
        right = round(quality * len(pairs))
        others = [caption for _, caption in pairs[-1:] + pairs[:-1]]
        rows = [
            (row_id, caption if place < right else other)
            for place, ((row_id, caption), other) in enumerate(zip(pairs, others, strict=True))
        ]
        Content(submission).table(SUBMISSION, ["id", "caption"], rows)
        return True

    def description(self) -> str:
        """Return the task's description in Markdown."""
        chosen = self.chosen
        test_ids = chosen.ids("test")
        return _DESCRIPTION.read_text(encoding="utf-8").format(
            **chosen.description,
            **chosen.sizes,
            side=chosen.side,
            longest=LONGEST,
            signature=SIGNATURE,
            first_test_id=test_ids[0],
            second_test_id=test_ids[1],
            baseline=chosen.anchors["test"].baseline,
            memory_gib=self.memory_gib,
        )

    def submission_files(self) -> Sequence[SubmissionFile]:
        """Return the one file that makes up a submission."""
        return (SubmissionFile(path=SUBMISSION, max_bytes=_SUBMISSION_BYTES),)

    def anchors(self, split: str) -> Anchors:
        """Return the ends of the scale on `split`."""
        return self.chosen.anchors[split]


def _folder(folders: Sequence[Path], name: str) -> Path:
    return next(folder for folder in folders if (folder / name).is_file())


def _pieces(array: np.ndarray, rows: Sequence[int]) -> Iterator[bytes]:
    for start in range(0, len(rows), _CHUNK):
        yield array[rows[start : start + _CHUNK]].tobytes()


def _recited(captions: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> float:
    """Return the share of captions that are one of their references word for word."""
    same = sum(comparable(caption) in map(comparable, references[row_id]) for row_id, caption in captions.items())
    return same / len(captions)


def _read_references(path: Path) -> dict[str, dict[str, list[str]]]:
    """Return the captions by split and id, from the file that `prepare` wrote."""
    references: dict[str, dict[str, list[str]]] = {split: {} for split in _GRADED}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            references[row["split"]].setdefault(row["id"], []).append(row["caption"])
    return references
