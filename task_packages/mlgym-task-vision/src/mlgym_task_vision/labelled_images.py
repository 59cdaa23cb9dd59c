"""Labelled images in one canonical form, whatever archive they come from. Standard library only."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from mlgym_core import Content, DataError

CLASSES = 10
"""Number of classes of all data sets here; labels are the numbers from 0 to 9."""

LabelledImage = tuple[bytes, int]
"""The pixels of an image, row by row, each as one grey value or as red, green and blue; and its label."""


@dataclass(frozen=True)
class Part:
    """A part of a dataset, and what must hold for it.

    Attributes:
        name: Under which its files are written: `<name>_images.npy` and `<name>_labels.npy`.
        count: Number of images.
        image_shape: Height and width in pixels, and 3 if there are colours.
        balanced: Whether there are equally many images of each class.
        sha256: Checksum, in hexadecimal, of all images and then all labels in canonical order, where it is known.
    """

    name: str
    count: int
    image_shape: tuple[int, ...]
    balanced: bool = True
    sha256: str | None = None

    @property
    def image_bytes(self) -> int:
        """Size of one image: a byte for each value."""
        return prod(self.image_shape)

    def write(self, content: Content, labelled: Iterable[LabelledImage]) -> None:
        """Check labelled images and write them in canonical order: that of their bytes, then of their labels.

        Publishers have put the same images into different orders, so that only an order of our own is the same for all.

        Raises:
            DataError: if they are not what this part consists of.
        """
        ordered = sorted(labelled)
        self._check(ordered)
        images = b"".join(image for image, _ in ordered)
        labels = bytes(label for _, label in ordered)
        if self.sha256 is not None:
            found = hashlib.sha256(images + labels).hexdigest()
            if found != self.sha256:
                raise DataError(
                    f"The {self.name} images and labels are not those of the original: their checksum is {found} "
                    f"instead of {self.sha256}."
                )
        content.array(f"{self.name}_images.npy", (self.count, *self.image_shape), images)
        content.array(f"{self.name}_labels.npy", (self.count,), labels)

    def _check(self, labelled: list[LabelledImage]) -> None:
        if len(labelled) != self.count:
            raise DataError(f"There are {len(labelled):,} {self.name} images instead of {self.count:,}.")
        for image, label in labelled:
            if len(image) != self.image_bytes:
                raise DataError(f"An image has {len(image):,} values instead of {self.image_bytes:,}.")
            if not 0 <= label < CLASSES:
                raise DataError(f"An image has the label {label}, which is not from 0 to {CLASSES - 1}.")
        counts = Counter(label for _, label in labelled)
        if self.balanced and any(counts[label] != self.count // CLASSES for label in range(CLASSES)):
            raise DataError(
                f"The {self.name} images are not {self.count // CLASSES:,} of each class: "
                f"{', '.join(f'{counts[label]:,}' for label in range(CLASSES))}."
            )
