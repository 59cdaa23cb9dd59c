"""Readers of the formats in which images are published. Each bounds what it reads, and raises `DataError` if broken."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlgym_core import DataError, read_gzip, read_member
from mlgym_task_vision.labelled_images import LabelledImage, Part

if TYPE_CHECKING:
    import PIL.Image

PARQUET_MODULES = ("pyarrow",)
PARQUET_REMEDY = "It comes with pip install 'mlgym-task-vision[huggingface]'."

_IDX_IMAGES = 0x803
_IDX_LABELS = 0x801
"""Magic numbers of idx files: unsigned bytes (0x8) in three and in one dimension."""
_PNG_START = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_PNG_LIMIT = 1 << 16
"""No image here takes more bytes, since uncompressed it has at most 3,072."""
_AR_START = b"!<arch>\n"
_AR_HEADER = 60
_DEBIAN_LIMIT = 64 << 20
"""No package here has more compressed bytes."""
_BATCH = 1000
_OVERHEAD = 1024
"""Bytes that an image in a parquet file may take beyond its pixels: headers, file name, label."""


def read_idx(images: Path, labels: Path, part: Part) -> Iterator[LabelledImage]:
    """Yield the labelled images of two gzipped idx files, the format of MNIST."""
    image_header = struct.pack(">4I", _IDX_IMAGES, part.count, *part.image_shape)
    label_header = struct.pack(">2I", _IDX_LABELS, part.count)
    pixels = _after_header(images, image_header, part.count * part.image_bytes)
    numbers = _after_header(labels, label_header, part.count)
    for place, label in enumerate(numbers):
        yield pixels[place * part.image_bytes : (place + 1) * part.image_bytes], label


def _after_header(path: Path, header: bytes, size: int) -> bytes:
    data = read_gzip(path, len(header) + size)
    if not data.startswith(header):
        raise DataError(f"{path.name} does not begin as an idx file with {size:,} values of the expected shape does.")
    if len(data) != len(header) + size:
        raise DataError(f"{path.name} has {len(data) - len(header):,} values instead of {size:,}.")
    return data[len(header) :]


def read_cifar_batch(batch: bytes, name: str, part: Part) -> Iterator[LabelledImage]:
    """Yield the labelled images of a file of CIFAR-10's binary version: a label, then red, green and blue planes."""
    record = 1 + part.image_bytes
    if not batch or len(batch) % record:
        raise DataError(f"{name} has {len(batch):,} bytes, which is not a whole number of records of {record:,}.")
    plane = part.image_bytes // 3
    image = bytearray(part.image_bytes)
    for start in range(0, len(batch), record):
        for colour in range(3):
            first = start + 1 + colour * plane
            image[colour::3] = batch[first : first + plane]
        yield bytes(image), batch[start]


def read_png(data: bytes, part: Part) -> bytes:
    """Return the pixels of a PNG image.

    Its size is read before anything is decoded, so that no small file can make a large image.
    """
    height, width, *colours = part.image_shape
    if len(data) > _PNG_LIMIT or data[:16] != _PNG_START or len(data) < 24:
        raise DataError(f"An image of {len(data):,} bytes is no PNG image.")
    found = struct.unpack(">II", data[16:24])
    if found != (width, height):
        raise DataError(f"A PNG image has {found[0]:,} by {found[1]:,} pixels instead of {width} by {height}.")

    mode = "RGB" if colours else "L"
    with open_image(data, "PNG", _PNG_LIMIT, {(width, height)}) as image:
        # A second header may contradict the first.
        if image.size != (width, height) or image.mode != mode:
            raise DataError(f"A PNG image has {image.size} pixels of kind {image.mode} instead of {mode}.")
        return image.tobytes()


@contextlib.contextmanager
def open_image(data: bytes, kind: str, max_bytes: int, sizes: Container[tuple[int, int]]) -> Iterator[PIL.Image.Image]:
    """Open an image for a `with` block, what goes wrong in which is a `DataError`.

    Args:
        kind: Pillow's name of the only format that is read, such as `PNG`.
        max_bytes: More data are refused.
        sizes: Widths and heights, in pixels, that it may have. They are compared before anything is decoded.

    Raises:
        DataError: if it is broken, too large, or another kind of image.
    """
    import PIL.Image

    if len(data) > max_bytes:
        raise DataError(f"An image has {len(data):,} bytes, more than {max_bytes:,}.")
    try:
        with warnings.catch_warnings():
            # Some of many photographs have broken metadata, of which Pillow warns, and which nobody reads.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
            with PIL.Image.open(io.BytesIO(data), formats=(kind,)) as image:
                if image.size not in sizes:
                    raise DataError(f"A {kind} image has {image.size[0]:,} by {image.size[1]:,} pixels.")
                yield image
    except (
        PIL.Image.DecompressionBombError,
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        IndexError,
        TypeError,
        Warning,
        struct.error,
        zlib.error,
    ) as error:
        raise DataError(f"A {kind} image is broken ({error}).") from None


def read_debian_member(package: Path, member: str, max_bytes: int) -> bytes:
    """Return a file of a Debian package, which is an `ar` archive with a compressed tar archive `data.tar.*` in it.

    The format is that of deb(5).

    Args:
        member: Its name in that archive, which begins with a dot.
        max_bytes: A larger file is refused.

    Raises:
        DataError: if the package is broken or has no such file.
    """
    with package.open("rb") as file:
        if file.read(len(_AR_START)) != _AR_START:
            raise DataError(f"{package.name} is no Debian package.")
        while header := file.read(_AR_HEADER):
            name, size = header[:16].strip(), header[48:58].strip()
            if len(header) != _AR_HEADER or not header.endswith(b"`\n") or not size.isdigit():
                raise DataError(f"{package.name} is no complete Debian package.")
            if name.startswith(b"data.tar"):
                return _member_of_part(package, file.tell(), int(size), member, max_bytes)
            # Members begin at even places.
            file.seek(int(size) + int(size) % 2, os.SEEK_CUR)
    raise DataError(f"{package.name} has no data.")


def _member_of_part(package: Path, start: int, size: int, member: str, max_bytes: int) -> bytes:
    with package.open("rb") as file, tempfile.TemporaryDirectory() as folder:
        file.seek(start)
        archive = Path(folder, package.name)
        archive.write_bytes(file.read(min(size, _DEBIAN_LIMIT)))
        return read_member(archive, member, max_bytes)


def read_zip_members(archive: Path, names: Iterable[str], max_bytes: int) -> Iterator[bytes]:
    """Yield files of a zip archive one after another, so that no more than one is in memory.

    Args:
        max_bytes: A larger file is refused.

    Raises:
        DataError: if the archive is broken, has no such file, or it is too large.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            known = set(opened.namelist())
            for name in names:
                if name not in known:
                    raise DataError(f"{archive.name} has no file {name!r}.")
                with opened.open(name) as file:
                    data = file.read(max_bytes + 1)
                if len(data) > max_bytes:
                    raise DataError(f"{name} in {archive.name} holds more than {max_bytes:,} bytes.")
                yield data
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise DataError(f"{archive.name} is no complete zip archive ({error}).") from None


def read_parquet(path: Path, image_column: str, part: Part) -> Iterator[LabelledImage]:
    """Yield the labelled images of a parquet file as Hugging Face's `datasets` writes it.

    The column `image_column` holds structures whose `bytes` are a PNG image, the column `label` whole numbers.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise DataError(f"{path.name} can't be read without the Python package pyarrow. {PARQUET_REMEDY}") from None
    try:
        with parquet.ParquetFile(path) as file:
            _check_parquet(path.name, file.metadata, part)
            for batch in file.iter_batches(batch_size=_BATCH, columns=[image_column, "label"]):
                for row in batch.to_pylist():
                    yield _from_row(path.name, row, image_column, part)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path.name} is no complete parquet file ({error}).") from None


def _check_parquet(name: str, metadata: Any, part: Part) -> None:
    if metadata.num_rows != part.count:
        raise DataError(f"{name} has {metadata.num_rows:,} rows instead of {part.count:,}.")
    size = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    limit = part.count * (part.image_bytes + _OVERHEAD)
    if size > limit:
        raise DataError(f"{name} holds {size:,} bytes, more than the {limit:,} that {part.count:,} images may take.")


def _from_row(name: str, row: dict[str, Any], image_column: str, part: Part) -> LabelledImage:
    image, label = row.get(image_column), row.get("label")
    data = image.get("bytes") if isinstance(image, dict) else None
    if not isinstance(data, bytes) or not isinstance(label, int):
        raise DataError(f"{name} has no columns {image_column!r} with images and 'label' with whole numbers.")
    return read_png(data, part), label
