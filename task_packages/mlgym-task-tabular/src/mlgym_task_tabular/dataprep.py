"""The source distribution of the Python package dataprep, among whose files are copies of Kaggle's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mlgym_core import Content, PythonSourceArchive, read_member

_VERSION = "0.4.1"


def dataprep(name: str, decode: Callable[[bytes, Content], None], *, limit: int) -> PythonSourceArchive:
    """Return the source distribution as a source of the dataset that is made of one of its files.

    Args:
        name: Which of its files with data.
        decode: Makes the content of that file.
        limit: Bytes that the file may have.
    """

    def decode_archive(files: Sequence[Path], content: Content) -> None:
        decode(read_member(files[0], f"dataprep-{_VERSION}/dataprep/datasets/data/{name}", limit), content)

    return PythonSourceArchive(
        project="dataprep",
        version=_VERSION,
        file=f"dataprep-{_VERSION}.tar.gz",
        sha256="4fa04ec5a9c6e5c549748884a17b2d9916aeb2cd31d0c3405c7c3208505efa64",
        size_bytes=3_151_619,
        decode=decode_archive,
    )
