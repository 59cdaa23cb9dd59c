"""A small dataset that can come in several forms, and a task that is made of it."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from example_tasks import Number

from mlgym_core import (
    Content,
    DataError,
    Dataset,
    Download,
    Preparation,
    RemoteFile,
    SystemFiles,
    UserFiles,
    read_gzip,
    read_limited,
)
from mlgym_core.data.declarations import Source

LIMIT = 100_000
TEXT = "one\ntwo\nthree\n"
HASH = "eb0e7293397c5f9c2d0d8fb91aed6ae44616da2bfefbb32980b6d202183acc12"


def decode_text(files: Sequence[Path], content: Content) -> None:
    """Make a table of a plain text."""
    _write(read_limited(files[0], LIMIT), content)


def decode_gzip(files: Sequence[Path], content: Content) -> None:
    """Make the same of a compressed one."""
    _write(read_gzip(files[0], LIMIT), content)


def _write(text: bytes, content: Content) -> None:
    lines = text.decode().splitlines()
    if not lines:
        raise DataError("there are no lines")
    content.table("lines.csv", ["line"], [[line] for line in lines])


def dataset(*sources: Source, content_hash: str | None = HASH, name: str = "lines") -> Dataset:
    """Return a dataset of lines."""
    return Dataset(
        name=name,
        summary="Three lines",
        content_hash=content_hash,
        sources=sources,
        license="CC0-1.0",
        origin="this test",
        citation="Nobody (2026)",
        size_bytes=20,
    )


def system(folder: Path, name: str = "lines.txt.gz") -> SystemFiles:
    """Return a source in a folder."""
    return SystemFiles(package="dataset-lines", folder=str(folder), files=(name,), decode=decode_gzip)


def web(url: str) -> Download:
    """Return a source on a server."""
    return Download(host="The publisher", remote=(RemoteFile(url=f"{url}/lines.txt"),), decode=decode_text)


USER_FILES = UserFiles(files=("lines.txt",), how="Write them yourself.", decode=decode_text)


class Lines(Number):
    """A task whose public files are the dataset."""

    datasets: ClassVar[tuple[Dataset, ...]] = (
        dataset(USER_FILES),
        dataset(USER_FILES, content_hash=None, name="trusted"),
    )

    def prepare(self, preparation: Preparation) -> None:
        super().prepare(preparation)
        name = "lines" if self.variant == "full" else "trusted"
        (preparation.public / "lines.csv").write_bytes((preparation.dataset(name) / "lines.csv").read_bytes())


def write_gzip(folder: Path, text: str = TEXT) -> Path:
    """Write the compressed form into a folder and return the folder."""
    folder.mkdir(exist_ok=True)
    (folder / "lines.txt.gz").write_bytes(gzip.compress(text.encode()))
    return folder
