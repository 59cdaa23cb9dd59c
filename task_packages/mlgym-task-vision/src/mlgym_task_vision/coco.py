"""COCO 2017: photographs, each with captions that five people wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlgym_core import Content, DataError, Dataset, Download, RemoteFile, read_member
from mlgym_task_vision.captioned_images import write_captions, write_images
from mlgym_task_vision.captions import tidied
from mlgym_task_vision.formats import open_image, read_zip_members

SIDE = 96
"""Width and height of the images, in pixels."""
CAPTIONS = 5
"""Number of captions of each image. A few images have more; those that were written first count."""

_IMAGE_LIMIT = 8 << 20
_LONGEST_SIDE = 2048
"""Photographs have up to 640 pixels across and down."""
_ANNOTATIONS_LIMIT = 512 << 20
_FILE_NAME = re.compile(r"[0-9]{1,12}\.jpg")


@dataclass(frozen=True)
class Part:
    """A part of COCO.

    Attributes:
        name: Under which its files are written.
        published: What the publisher calls it.
        count: Number of images.
    """

    name: str
    published: str
    count: int


TRAIN = Part("train", "train2017", 118_287)
VALIDATION = Part("val", "val2017", 5_000)


class _Sizes(Container[tuple[int, int]]):
    def __contains__(self, size: object) -> bool:
        return isinstance(size, tuple) and all(1 <= side <= _LONGEST_SIDE for side in size)


def _decode(files: Sequence[Path], content: Content) -> None:
    *archives, annotations = files
    for part, archive in zip((TRAIN, VALIDATION), archives, strict=True):
        member = f"annotations/captions_{part.published}.json"
        names, captions = _captioned(read_member(annotations, member, _ANNOTATIONS_LIMIT), member, part)
        members = (f"{part.published}/{name}" for name in names.values())
        pixels = (_reduced(data) for data in read_zip_members(archive, members, _IMAGE_LIMIT))
        write_images(content, part.name, (SIDE, SIDE, 3), ((str(image), str(image)) for image in names), pixels)
        write_captions(content, part.name, {str(image): captions[image] for image in names})


def _captioned(text: bytes, member: str, part: Part) -> tuple[dict[int, str], dict[int, list[str]]]:
    """Return the file names and the captions of images, by their numbers, in rising order."""
    try:
        document = json.loads(text)
        names = dict(sorted((image["id"], image["file_name"]) for image in document["images"]))
        found = sorted(_captions(document["annotations"]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DataError(f"{member} is not what it was ({error!r}).") from None
    if len(names) != part.count:
        raise DataError(f"{member} has {len(names):,} images instead of {part.count:,}.")
    if not all(isinstance(name, str) and _FILE_NAME.fullmatch(name) for name in names.values()):
        raise DataError(f"{member} has an image that is not named as COCO's are.")
    captions: dict[int, list[str]] = {image: [] for image in names}
    for _, image, caption in found:
        if image not in captions:
            raise DataError(f"{member} has a caption of an image {image} that it does not have.")
        captions[image].append(caption)
    for image, several in captions.items():
        if len(several) < CAPTIONS:
            raise DataError(f"{member} has {len(several)} captions of the image {image} instead of {CAPTIONS}.")
    return names, {image: several[:CAPTIONS] for image, several in captions.items()}


def _captions(annotations: list[dict[str, Any]]) -> Iterator[tuple[int, int, str]]:
    """Yield number, number of the image, and caption."""
    for annotation in annotations:
        yield int(annotation["id"]), int(annotation["image_id"]), tidied(annotation["caption"])


def _reduced(data: bytes) -> bytes:
    """Return the pixels of a photograph, the whole of it, squeezed into a square."""
    from PIL.Image import Resampling

    with open_image(data, "JPEG", _IMAGE_LIMIT, _Sizes()) as image:
        # Decodes fewer pixels of a large image, though at least twice as many across and down as are needed.
        image.draft("RGB", (2 * SIDE, 2 * SIDE))
        return image.convert("RGB").resize((SIDE, SIDE), Resampling.BOX).tobytes()


_HOST = "http://images.cocodataset.org"

COCO = Dataset(
    name="coco-2017",
    summary="123,287 photographs, reduced to 96 by 96 pixels, with five captions each",
    # Not known: the archives could not be had where this was written. Theirs are, and are verified.
    content_hash=None,
    sources=(
        Download(
            host="COCO Consortium",
            remote=(
                # Sizes and checksums are those that TensorFlow Datasets lists, and many others found.
                RemoteFile(
                    url=f"{_HOST}/zips/train2017.zip",
                    size_bytes=19_336_861_798,
                    sha256="69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
                    max_bytes=24 << 30,
                ),
                RemoteFile(
                    url=f"{_HOST}/zips/val2017.zip",
                    size_bytes=815_585_330,
                    sha256="4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
                ),
                RemoteFile(
                    url=f"{_HOST}/annotations/annotations_trainval2017.zip",
                    size_bytes=252_907_541,
                    sha256="113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
                ),
            ),
            decode=_decode,
        ),
    ),
    license="CC-BY-4.0 (annotations); the photographs are under the terms of Flickr",
    origin="COCO Consortium, https://cocodataset.org",
    citation=(
        "T.-Y. Lin et al.: Microsoft COCO: Common Objects in Context. ECCV (2014); X. Chen et al.: Microsoft COCO "
        "Captions: Data Collection and Evaluation Server. arXiv:1504.00325 (2015)"
    ),
    size_bytes=3_450_000_000,
)
