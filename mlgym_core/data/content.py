"""The content of a dataset: tables and arrays in one canonical form each, so that equal data are equal bytes."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

_MAGIC = b"\x93NUMPY\x01\x00"
_ALIGNMENT = 64


class Content:
    """Where a decoder writes a dataset's content. Each name can be written once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def table(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Write a table as UTF-8 CSV (RFC 4180, lines end with a line feed), rows in the order given.

        Write each value in one canonical way: `3`, not `3.0`, where a number is whole.

        Args:
            name: File name that ends with `.csv`.

        Raises:
            ValueError: if a row has another number of values than there are columns.
        """
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        for number, row in enumerate(rows, start=1):
            if len(row) != len(columns):
                raise ValueError(f"row {number} has {len(row)} values, and there are {len(columns)} columns")
            writer.writerow(row)
        self._write(name, ".csv", text.getvalue().encode())

    def array(self, name: str, shape: Sequence[int], data: bytes | Iterable[bytes], *, dtype: str = "|u1") -> None:
        """Write an array as a file that `numpy.load` reads, even as a memory map.

        The format is NumPy's own (numpy.lib.format), version 1.0, written here so that it is the same bytes under all
        versions of NumPy, and none is needed.

        Args:
            name: File name that ends with `.npy`.
            shape: Length of each axis.
            data: The elements in C order; or, where memory is too small for them, pieces of any lengths, which are
                written as they come.
            dtype: NumPy's name of the type with its byte order, such as `|u1`, `<i4` or `<f4`.

        Raises:
            ValueError: if there is another number of bytes than the shape needs.
        """
        needed = int(dtype[2:])
        for length in shape:
            needed *= length
        header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {tuple(shape)!r}, }}".encode()
        padding = -(len(_MAGIC) + 2 + len(header) + 1) % _ALIGNMENT
        header += b" " * padding + b"\n"
        if isinstance(data, bytes):
            _check_size(name, shape, needed, len(data))
            data = (data,)
        with self._new_file(name, ".npy") as file:
            file.write(_MAGIC + len(header).to_bytes(2, "little") + header)
            size = 0
            for piece in data:
                size += file.write(piece)
                if size > needed:
                    break
        if size != needed:
            (self._folder / name).unlink()
        _check_size(name, shape, needed, size)

    def text(self, name: str, text: str) -> None:
        """Write a text as UTF-8, under a file name that ends with `.txt` or `.jsonl`."""
        self._write(name, (".txt", ".jsonl"), text.encode())

    def _write(self, name: str, suffix: str | tuple[str, ...], data: bytes) -> None:
        with self._new_file(name, suffix) as file:
            file.write(data)

    def _new_file(self, name: str, suffix: str | tuple[str, ...]) -> BinaryIO:
        if "/" in name or not name.endswith(suffix):
            raise ValueError(f"{name!r} is not a file name that ends with {suffix!r}")
        return (self._folder / name).open("xb")


def _check_size(name: str, shape: Sequence[int], needed: int, size: int) -> None:
    if size != needed:
        raise ValueError(f"{name} has {size:,} bytes; its shape {tuple(shape)} needs {needed:,}")


def content_hash(folder: Path) -> str:
    """Return the SHA-256 hash of the names and bytes of a folder's files, in hexadecimal."""
    digest = hashlib.sha256()
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        path = folder / name
        digest.update(f"{name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
