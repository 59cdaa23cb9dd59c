"""The readers of formats: what they make of good files, and that every broken one ends in `DataError`."""

from __future__ import annotations

import gzip
import io
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mlgym_core import Content, DataError
from mlgym_task_vision.formats import read_cifar_batch, read_idx, read_parquet, read_png
from mlgym_task_vision.labelled_images import LabelledImage, Part

GREY = Part("grey", 20, (4, 6))
COLOUR = Part("colour", 20, (4, 6, 3))


def labelled(part: Part) -> list[LabelledImage]:
    """Return random images of a part, two of each class."""
    generator = random.Random(1)
    return [(generator.randbytes(part.image_bytes), label % 10) for label in range(part.count)]


def png(pixels: bytes, part: Part, **options: Any) -> bytes:
    """Return an image as a PNG file."""
    height, width, *colours = part.image_shape
    file = io.BytesIO()
    Image.frombytes("RGB" if colours else "L", (width, height), pixels).save(file, "PNG", **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


# -------------------------------------------------------------------------------------------------- parts


def test_parts_are_the_same_bytes_whatever_order_their_images_come_in(tmp_path: Path) -> None:
    images = labelled(COLOUR)
    contents = []
    for seed in range(3):
        folder = tmp_path / str(seed)
        folder.mkdir()
        random.Random(seed).shuffle(images)
        COLOUR.write(Content(folder), images)
        contents.append([(path.name, path.read_bytes()) for path in sorted(folder.iterdir())])
    assert contents[0] == contents[1] == contents[2]
    assert [name for name, _ in contents[0]] == ["colour_images.npy", "colour_labels.npy"]


def test_parts_keep_images_and_labels_together(tmp_path: Path) -> None:
    import numpy as np

    GREY.write(Content(tmp_path), labelled(GREY))
    images, labels = np.load(tmp_path / "grey_images.npy"), np.load(tmp_path / "grey_labels.npy")
    assert images.shape == (20, 4, 6)
    assert {(image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True)} == set(labelled(GREY))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda images: images[1:], "19 grey images instead of 20"),
        (lambda images: [*images, images[0]], "21 grey images instead of 20"),
        (lambda images: [(images[0][0] + b"x", 0), *images[1:]], "25 values instead of 24"),
        (lambda images: [(images[0][0], 10), *images[1:]], "the label 10, which is not from 0 to 9"),
        (lambda images: [(images[0][0], -1), *images[1:]], "the label -1"),
        (lambda images: [(images[0][0], 1), *images[1:]], "not 2 of each class: 1, 3, 2"),
    ],
)
def test_parts_of_another_structure_are_refused(
    change: Callable[[list[LabelledImage]], list[LabelledImage]], says: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=says):
        GREY.write(Content(tmp_path), change(labelled(GREY)))
    assert list(tmp_path.iterdir()) == []


def test_parts_with_a_known_checksum_accept_nothing_else(tmp_path: Path) -> None:
    known = Part("grey", 20, (4, 6), sha256="0" * 64)
    with pytest.raises(DataError, match="are not those of the original: their checksum is"):
        known.write(Content(tmp_path), labelled(GREY))


# ---------------------------------------------------------------------------------------------------- idx


def write_idx(folder: Path, images: bytes, labels: bytes) -> tuple[Path, Path]:
    paths = folder / "images.gz", folder / "labels.gz"
    for path, data in zip(paths, (images, labels), strict=True):
        path.write_bytes(gzip.compress(data, mtime=0))
    return paths


def idx(part: Part) -> tuple[bytes, bytes]:
    images = labelled(part)
    return (
        struct.pack(">4I", 0x803, part.count, *part.image_shape) + b"".join(image for image, _ in images),
        struct.pack(">2I", 0x801, part.count) + bytes(label for _, label in images),
    )


def test_idx(tmp_path: Path) -> None:
    assert list(read_idx(*write_idx(tmp_path, *idx(GREY)), GREY)) == labelled(GREY)


@pytest.mark.parametrize(
    ("images", "labels", "says"),
    [
        (lambda data: data[:-1], bytes, "images.gz has 479 values instead of 480"),
        (lambda data: data + b"x", bytes, "images.gz holds more than 496 bytes"),
        (lambda data: data + bytes(10**7), bytes, "images.gz holds more than 496 bytes"),
        (lambda data: b"\0\0\x08\x01" + data[4:], bytes, "does not begin as an idx file"),
        (lambda data: data[:8] + data[12:16] + data[8:12] + data[16:], bytes, "does not begin as an idx file"),
        (bytes, lambda data: data[:-1], "labels.gz has 19 values instead of 20"),
        (bytes, lambda data: b"", "labels.gz does not begin"),
    ],
)
def test_broken_idx_files_are_refused(
    images: Callable[[bytes], bytes], labels: Callable[[bytes], bytes], says: str, tmp_path: Path
) -> None:
    good_images, good_labels = idx(GREY)
    paths = write_idx(tmp_path, images(good_images), labels(good_labels))
    with pytest.raises(DataError, match=says):
        list(read_idx(*paths, GREY))


def test_an_idx_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    paths = write_idx(tmp_path, *idx(GREY))
    paths[0].write_bytes(paths[0].read_bytes()[:-9])
    with pytest.raises(DataError, match="no complete gzip file"):
        list(read_idx(*paths, GREY))


# ------------------------------------------------------------------------------------- CIFAR's binary version


def cifar_batch(images: list[LabelledImage]) -> bytes:
    return b"".join(bytes([label]) + image[0::3] + image[1::3] + image[2::3] for image, label in images)


def test_cifar_batches_become_pixels_of_red_green_and_blue() -> None:
    assert list(read_cifar_batch(cifar_batch(labelled(COLOUR)), "batch", COLOUR)) == labelled(COLOUR)


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"x", lambda data: b""])
def test_broken_cifar_batches_are_refused(change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(DataError, match="not a whole number of records of 73"):
        list(read_cifar_batch(change(cifar_batch(labelled(COLOUR))), "batch", COLOUR))


# ---------------------------------------------------------------------------------------------------- PNG


@pytest.mark.parametrize("part", [GREY, COLOUR])
def test_png(part: Part) -> None:
    for pixels, _ in labelled(part):
        assert read_png(png(pixels, part), part) == pixels


GOOD = png(labelled(COLOUR)[0][0], COLOUR)
HEADER = GOOD[16:29]


def test_png_images_of_another_size_are_refused_before_anything_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("it was opened"))
    bomb = GOOD[:16] + struct.pack(">II", 50_000, 50_000) + GOOD[24:]
    with pytest.raises(DataError, match="50,000 by 50,000 pixels instead of 6 by 4"):
        read_png(bomb, COLOUR)
    with pytest.raises(DataError, match="6 by 4 pixels instead of 8 by 8"):
        read_png(GOOD, Part("other", 1, (8, 8, 3)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a",
        GOOD[:20],
        GOOD[:60],
        GOOD[:-30],
        GOOD[:40] + b"\xff" + GOOD[41:],
        GOOD + bytes(1 << 16),
        # The header comes a second time, with another size, once even with a size that Pillow calls a bomb.
        GOOD[:33] + chunk(b"IHDR", struct.pack(">II", 9, 9) + HEADER[8:]) + GOOD[33:],
        GOOD[:33] + chunk(b"IHDR", struct.pack(">II", 60_000, 60_000) + HEADER[8:]) + GOOD[33:],
        GOOD[:33] + chunk(b"IHDR", struct.pack(">II", 10_000, 10_000) + HEADER[8:]) + GOOD[33:],
        GOOD[:33] + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""),
        GOOD[:33] + chunk(b"IDAT", b"nothing") + chunk(b"IEND", b""),
        GOOD[:33] + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 26))) + GOOD[33:],
        png(labelled(GREY)[0][0], GREY),
    ],
)
def test_broken_png_images_are_refused(data: bytes) -> None:
    with pytest.raises(DataError, match="PNG image"):
        read_png(data, COLOUR)


def test_whatever_bytes_are_changed_a_png_image_is_read_or_refused() -> None:
    generator = random.Random(2)
    for _ in range(2000):
        data = bytearray(GOOD)
        for _ in range(generator.randint(1, 4)):
            data[generator.randrange(len(data))] = generator.randrange(256)
        try:
            assert len(read_png(bytes(data), COLOUR)) == COLOUR.image_bytes
        except DataError:
            continue


# ------------------------------------------------------------------------------------------------ parquet


def write_parquet(path: Path, images: list[Any], labels: list[Any], column: str = "img") -> Path:
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table({column: pa.array(images), "label": pa.array(labels)})
    parquet.write_table(table, path)
    return path


def as_rows(part: Part) -> tuple[list[Any], list[Any]]:
    images = labelled(part)
    return [{"bytes": png(pixels, part), "path": None} for pixels, _ in images], [label for _, label in images]


@pytest.mark.parametrize("part", [GREY, COLOUR])
def test_parquet(part: Part, tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "train.parquet", *as_rows(part))
    assert list(read_parquet(path, "img", part)) == labelled(part)


@pytest.mark.parametrize(
    ("images", "labels", "says"),
    [
        (lambda rows: rows[1:], lambda labels: labels[1:], "19 rows instead of 20"),
        (lambda rows: [None, *rows[1:]], list, "no columns 'img' with images"),
        (lambda rows: [{"bytes": None, "path": "a"}, *rows[1:]], list, "no columns 'img' with images"),
        (lambda rows: ["a"] * 20, list, "no columns 'img' with images"),
        (lambda rows: [{"bytes": b"a", "path": None}, *rows[1:]], list, "no PNG image"),
        (list, lambda labels: ["a"] * 20, "'label' with whole numbers"),
        (list, lambda labels: [None, *labels[1:]], "'label' with whole numbers"),
        (lambda rows: [{"bytes": bytes([n]) * 10**6, "path": None} for n in range(20)], list, "more than the 21,920"),
    ],
)
def test_parquet_files_with_other_content_are_refused(
    images: Callable[[Any], Any], labels: Callable[[Any], Any], says: str, tmp_path: Path
) -> None:
    rows, numbers = as_rows(COLOUR)
    path = write_parquet(tmp_path / "train.parquet", images(rows), labels(numbers))
    with pytest.raises(DataError, match=says):
        list(read_parquet(path, "img", COLOUR))


def test_parquet_files_without_the_column_are_refused(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "train.parquet", *as_rows(COLOUR))
    with pytest.raises(DataError, match="no columns 'image' with images"):
        list(read_parquet(path, "image", COLOUR))


@pytest.mark.parametrize("keep", [0, 4, 100, -9])
def test_parquet_files_that_are_cut_off_are_refused(keep: int, tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "train.parquet", *as_rows(COLOUR))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"train.parquet is no complete parquet file"):
        list(read_parquet(path, "img", COLOUR))


def test_without_pyarrow_the_message_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"pyarrow. It comes with pip install 'mlgym-task-vision\[huggingface\]'"):
        list(read_parquet(tmp_path / "train.parquet", "img", COLOUR))
