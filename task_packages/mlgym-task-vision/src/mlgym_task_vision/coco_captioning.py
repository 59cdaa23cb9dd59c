"""Captions of photographs; and, where there is little time, of emoji."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mlgym_core import Anchors, Attack
from mlgym_task_vision import coco, emoji
from mlgym_task_vision.captioning import ImageCaptioning, Variant
from mlgym_task_vision.classification import PAPER

_PUBLIC_KEY = "mlgym"
"""What the order of images follows from where nobody has set `MLGYM_GRADING_KEY`."""
_ATTACKS = Path(__file__).parent / "attacks"

_MEASURED = "measured: 600 steps of a small network, the untouched starter"
_MEASURED_REFERENCE = "measured: captions of the most similar training images, references/nearest_captions.py"
_PAPER_BASELINE = f"{PAPER}; the starter has not yet been run on this variant, and BLEU may be computed otherwise there"
_PUBLISHED = (
    "M. Cornia et al.: Meshed-Memory Transformer for Image Captioning (2020), BLEU-4 on another split, of another "
    "tokenisation, with features of larger images: on the scale of this task, no result is known that is valid"
)

_VARIANTS = {
    "full": Variant(
        datasets=("coco-2017",),
        learning=coco.TRAIN.name,
        testing=coco.VALIDATION.name,
        captions={part.name: part.name for part in (coco.TRAIN, coco.VALIDATION)},
        side=coco.SIDE,
        sizes={"train": 113_287, "validation": 5_000, "test": 5_000},
        anchors={
            split: Anchors(
                baseline=0.279,
                baseline_source=_PAPER_BASELINE,
                reference=0.391,
                reference_source=_PUBLISHED,
                # No published model comes near it, whatever else it was trained on: people describe a photograph in too
                # many ways.
                implausible=0.55 if split == "test" else None,
            )
            for split in ("validation", "test")
        },
        memorised=0.5,
        starter_values={
            "STEPS": "40000",
            "BATCH_SIZE": "128",
            "LEARNING_RATE": "0.001",
            "CHANNELS": "64",
            "HIDDEN": "512",
            "CAPTIONS": "5",
            "LEAST_OCCURRENCES": "5",
        },
        description={
            "shows": "each image is a photograph of an everyday scene.",
            "text": (
                "The data are those of COCO 2017, in smaller images: the whole photograph is squeezed into a square. "
                "The test images are its 5,000 validation images; validation and training images are drawn from its "
                "118,287 training images."
            ),
            "several": "five for each image, by five people",
            "first_example": "a cat sits on a wooden table",
            "second_example": "two people, one of them on a bicycle, wait at a corner",
            "time": "some minutes on a graphics processor (not measured), and many hours without one",
        },
    ),
    "mini": Variant(
        datasets=("noto-emoji", "emoji-names"),
        learning=emoji.IMAGES,
        testing=emoji.IMAGES,
        captions={emoji.IMAGES: emoji.NAMES},
        side=emoji.SIDE,
        sizes={"train": 1_800, "validation": 400, "test": 900},
        anchors={
            "validation": Anchors(
                baseline=0.082,
                baseline_source=_MEASURED,
                reference=0.203,
                reference_source=_MEASURED_REFERENCE,
                band=(0.03, 0.13),
            ),
            "test": Anchors(
                baseline=0.109,
                baseline_source=_MEASURED,
                reference=0.289,
                reference_source=_MEASURED_REFERENCE,
                # Three seeds earned 0.077 to 0.109.
                band=(0.05, 0.16),
                # Most test captions have words that no training caption has, in the places that decide.
                implausible=0.7,
            ),
        },
        memorised=0.5,
        description={
            "shows": "each image is an emoji, and its caption is its English name.",
            "text": (
                "The data are emoji of a font, on white, with the names that Unicode gives them and names that people "
                "use. Punctuation is left out. There are no flags, and no emoji of two people of different skin tones. "
                "Emoji that differ in skin tone, gender or direction alone are all in one split: you will not find a "
                "test image's emoji among the training images, but many of its words."
            ),
            "several": "one to five for each image, the official name first",
            "first_example": "grinning face",
            "second_example": "woman mountain biking medium-dark skin tone",
            "time": "about a minute on one processor",
        },
    ),
}


class CocoCaptioning(ImageCaptioning):
    """The task `vision/coco-captioning`."""

    datasets = (coco.COCO, emoji.NOTO_EMOJI, emoji.EMOJI_NAMES)

    task_id = "vision/coco-captioning"
    variants = _VARIANTS
    memory_gib = 16

    def attacks(self) -> Sequence[Attack]:
        """Return the ways of joining a public copy of the captions, of finding one, and of claiming a score."""
        datasets = self.chosen.datasets
        key_is_public = os.environ.get("MLGYM_GRADING_KEY", _PUBLIC_KEY) == _PUBLIC_KEY
        return (
            Attack(
                name="joins a public copy by the order of images",
                program=_ATTACKS / "captions_by_order.py",
                dataset=datasets,
            ),
            Attack(name="joins a public copy by ids", program=_ATTACKS / "captions_by_id.py", dataset=datasets),
            Attack(
                name="joins a public copy by content",
                program=_ATTACKS / "captions_by_content.py",
                dataset=datasets,
                outcome="flagged",
            ),
            Attack(
                name="derives the order from the public key",
                program=_ATTACKS / "captions_by_derived_order.py",
                dataset=datasets,
                outcome="flagged" if key_is_public else "stopped",
            ),
            Attack(
                name="looks for a font or captions in all that it can read", program=_ATTACKS / "captions_by_search.py"
            ),
            Attack(name="hands in scores beside the captions", program=_ATTACKS / "captions_with_scores.py"),
        )

    def contamination(self) -> str:
        """Return where the captions are public, and which ways of using them are stopped."""
        return (
            "All images and captions are public: those of COCO at the COCO Consortium, among others, those of emoji in "
            "every system's fonts and in Unicode's data. Images are shuffled and numbered anew by a keyed hash. An "
            "agent that does not know this package's code can join neither their order nor their ids with a public "
            "copy; whoever knows the code can derive the order from the public key, unless the variable "
            "MLGYM_GRADING_KEY is set to a secret. Joining by content cannot be stopped: whoever brings the published "
            "images into the sandbox finds each test image among them, and a model that was trained on them may know "
            "them. All results therefore carry the flag `public_answers`; results that are better than honest work has "
            "ever been are flagged `implausible_score`, and captions that are references word for word for "
            f"{self.chosen.memorised:.0%} of the test images `memorised_answers`. Folders in which systems keep the "
            "font are hidden from agents."
        )
