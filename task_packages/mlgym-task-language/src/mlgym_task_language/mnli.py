"""Natural-language inference with predictions by id: the task `language/mnli`."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

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
)
from mlgym_task_language.fineweb import with_values
from mlgym_task_language.mnli_variants import MINI_TRAIN, VARIANTS, Variant
from mlgym_task_language.nli_data import (
    MATCHED,
    MINILM,
    MULTINLI,
    PAIRS,
    TRAIN,
    VITAMINC,
    VOCABULARY,
    WEIGHTS,
)
from mlgym_task_language.nli_pairs import LABELS, Pair, divided, read_pairs, shuffled

SUBMISSION = "submission.csv"
SPLITS = ("train", "validation", "test")
MODEL = "bert.safetensors"

_PUBLIC_KEY = "mlgym"
"""The key of all orders where nobody has set `MLGYM_GRADING_KEY`. The attack `mnli_derive_order.py` has it, too."""
_PACKAGE = Path(__file__).parent
_STARTERS = _PACKAGE / "starters" / "mnli"
_ATTACKS = _PACKAGE / "attacks"
_COLUMNS = ("id", "premise", "hypothesis")


class MultiNli(Task):
    """The task `language/mnli`: labels for pairs of sentences, in a hidden and re-ordered split."""

    datasets = (MULTINLI, VITAMINC, MINILM)
    baseline_script = "baseline.py"
    answers_public = True
    grading_seconds = 120.0

    settings: ClassVar[Mapping[str, Variant]] = VARIANTS

    @property
    def _variant(self) -> Variant:
        return self.settings[self.variant]

    def grade(self, grading: Grading) -> Mapping[str, float]:
        """Return the share of right labels."""
        expected = _read_answers(grading.private / f"{grading.split}.csv")
        others = "validation" if grading.split == "test" else "test"
        predictions = read_predictions(
            grading.submission / SUBMISSION,
            id_column="id",
            value_column="label",
            parse=one_of(*LABELS),
            expected=expected,
            also_allowed=_read_answers(grading.private / f"{others}.csv"),
        )
        return {"accuracy": Accuracy().compute(list(expected.values()), list(predictions.values()))}

    def description(self) -> str:
        """Return the task's description in Markdown."""
        variant = self._variant
        return (
            (_PACKAGE / "mnli.md")
            .read_text(encoding="utf-8")
            .format(
                text=variant.text,
                groups=variant.groups,
                guessing=variant.guessing,
                train=variant.train,
                validation=f"{variant.validation:,}",
                test=f"{variant.test:,}",
                submission=SUBMISSION,
                starter_time=variant.starter_time,
                first_id=variant.example_id,
                second_id=variant.example_id + 1,
                baseline=f"{variant.anchors['test'].baseline:g}",
            )
        )

    def submission_files(self) -> Sequence[SubmissionFile]:
        """Return the one file that makes up a submission."""
        return (SubmissionFile(path=SUBMISSION),)

    def anchors(self, split: str) -> Anchors:
        """Return the ends of the scale."""
        return self._variant.anchors[split]

    def prepare(self, preparation: Preparation) -> None:
        """Write the splits, with ids that number the pairs in their new order, the model and the starter."""
        public, private = Content(preparation.public), Content(preparation.private)
        first = 1
        splits = self._splits(preparation.dataset(self._variant.dataset))
        for split in SPLITS:
            rows = [(str(number), *pair[1:]) for number, pair in enumerate(splits[split], first)]
            first += len(rows)
            if split != "train":
                private.table(f"{split}.csv", ("id", "label"), [(row[0], row[-1]) for row in rows])
            if split == "test":
                public.table("test.csv", _COLUMNS, [row[:-1] for row in rows])
            else:
                public.table(f"{split}.csv", (*_COLUMNS, "label"), rows)
        self._write_model(preparation.dataset(MINILM.name), preparation.public)
        for name in (self.baseline_script, "bert.py", "word_pieces.py"):
            text = with_values((_STARTERS / name).read_text(encoding="utf-8"), self._variant.starter_values)
            (preparation.public / name).write_text(text, encoding="utf-8")
        (preparation.public / "README.md").write_text(self.description(), encoding="utf-8")

    def _splits(self, folder: Path) -> Mapping[str, Sequence[Pair]]:
        variant = self._variant
        if self.variant == "full":
            sizes = {"validation": variant.validation, "train": None}
            shared = ("source", "premise")
            learning = divided(read_pairs(folder / TRAIN), sizes, variant=self.variant, shared=shared, balanced=False)
            return {**learning, "test": shuffled(read_pairs(folder / MATCHED), variant=self.variant, purpose="matched")}
        return divided(
            read_pairs(folder / PAIRS),
            {"test": variant.test, "validation": variant.validation, "train": MINI_TRAIN},
            variant=self.variant,
            shared=("source", "premise", "hypothesis"),
            balanced=True,
        )

    @staticmethod
    def _write_model(folder: Path, public: Path) -> None:
        # Only graders and those who prepare have NumPy.
        import numpy as np

        (public / MODEL).write_bytes(np.load(folder / WEIGHTS, allow_pickle=False).tobytes())
        (public / VOCABULARY).write_bytes((folder / VOCABULARY).read_bytes())

    def oracle(self, private: Path, split: str, quality: float, submission: Path) -> bool:
        """Write labels of which a share is right; the others are those that come next in the list of labels."""
        answers = _read_answers(private / f"{split}.csv")
        right = round(quality * len(answers))
        rows = [
            (row_id, label if place < right else LABELS[(LABELS.index(label) + 1) % len(LABELS)])
            for place, (row_id, label) in enumerate(answers.items())
        ]
        Content(submission).table(SUBMISSION, ("id", "label"), rows)
        return True

    def attacks(self) -> Sequence[Attack]:
        """Return ways of taking the labels from public copies of the pairs."""
        dataset = self._variant.dataset
        key_is_public = os.environ.get("MLGYM_GRADING_KEY", _PUBLIC_KEY) == _PUBLIC_KEY
        return (
            Attack(name="takes a public copy's labels by id", program=_ATTACKS / "mnli_join_by_id.py", dataset=dataset),
            Attack(
                name="takes a public copy's labels by order",
                program=_ATTACKS / "mnli_join_by_order.py",
                dataset=dataset,
            ),
            Attack(
                name="derives the order from the public key",
                program=_ATTACKS / "mnli_derive_order.py",
                dataset=dataset,
                outcome="flagged" if key_is_public else "stopped",
            ),
            Attack(name="reads labels off the places of pairs", program=_ATTACKS / "mnli_by_place.py"),
            Attack(name="looks for a public copy in all that it can read", program=_ATTACKS / "mnli_search.py"),
            Attack(
                name="takes a public copy's labels by content",
                program=_ATTACKS / "mnli_search.py",
                dataset=dataset,
                outcome="flagged",
            ),
        )

    def contamination(self) -> str:
        """Return where the labels are public, and which ways of using them are stopped."""
        where = (
            "at New York University and Hugging Face"
            if self.variant == "full"
            else "in VitaminC's repository, at Hugging Face and in BIG-bench"
        )
        return (
            f"All pairs and labels are public: {where}, among others. An agent that has neither mlgym's code nor its "
            "key cannot tell by the order or the ids of a public copy which pair is which; whoever knows the code, "
            "which is public, can derive the order, unless MLGYM_GRADING_KEY is set to a secret. Joining by content "
            "cannot be stopped: whoever brings the published pairs into the sandbox finds each test pair among them. "
            "It is flagged `implausible_score`; who blurs what was taken is not recognised. The model that agents "
            "are given learned from MultiNLI's training pairs, among a billion others, but not from its validation "
            "pairs, and not from VitaminC. Models that agents bring, or are, may know all of them."
        )


def _read_answers(path: Path) -> dict[str, str]:
    """Return the labels by id, from a table that `prepare` wrote."""
    with path.open(encoding="utf-8", newline="") as file:
        return {row["id"]: row["label"] for row in csv.DictReader(file)}
