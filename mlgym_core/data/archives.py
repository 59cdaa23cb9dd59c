"""Reading compressed files and archives that may be broken or hostile.

Nothing is ever extracted to paths that an archive names: a member is read by its exact name, into memory, and no more
is decompressed than a stated limit.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Protocol, cast

from mlgym_core.errors import DataError

_CHUNK = 1 << 20
_LONGEST_HEADER = 1 << 20
_LONG_HEADERS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
"""Types of headers that are followed by more of the header, as long as they say."""
_MOST_ENTRIES = 200_000
_COMPRESSIONS: Mapping[bytes, Callable[[Path], object]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def read_limited(path: Path, max_bytes: int) -> bytes:
    """Return a plain file's content.

    Raises:
        DataError: if it is larger than `max_bytes`.
    """
    with path.open("rb") as file:
        return _read(file, max_bytes, path.name)


def read_gzip(path: Path, max_bytes: int) -> bytes:
    """Return the decompressed content of a gzip file.

    Raises:
        DataError: if it is no complete gzip file, or holds more than `max_bytes`.
    """
    try:
        with gzip.open(path) as file:
            return _read(file, max_bytes, path.name)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path.name} is no complete gzip file ({error}).") from None


def read_member(archive: Path, member: str, max_bytes: int, *, max_skipped: int = 4 << 30) -> bytes:
    """Return the content of one member of a tar (plain or compressed) or zip archive.

    Args:
        member: Its exact name in the archive. It must be a regular file.
        max_bytes: A larger member is refused.
        max_skipped: Limit of what else is decompressed on the way, for tar archives.

    Raises:
        DataError: if the archive is broken, has no such file, or exceeds a limit.
    """
    return read_members(archive, [member], max_bytes, max_skipped=max_skipped)[member]


def read_members(archive: Path, members: list[str], max_bytes: int, *, max_skipped: int = 4 << 30) -> dict[str, bytes]:
    """Return the content of several members, each up to `max_bytes` long, in one pass. See `read_member`."""
    try:
        if zipfile.is_zipfile(archive):
            found = _from_zip(archive, members, max_bytes)
        else:
            found = _from_tar(archive, members, max_bytes, max_skipped)
    except (
        OSError,
        EOFError,
        zlib.error,
        lzma.LZMAError,
        tarfile.TarError,
        zipfile.BadZipFile,
        RuntimeError,
        ValueError,
    ) as error:
        raise DataError(f"{archive.name} is no complete tar or zip archive ({error}).") from None
    missing = [name for name in members if name not in found]
    if missing:
        raise DataError(f"{archive.name} has no file {missing[0]!r}.")
    return found


def _from_zip(archive: Path, members: list[str], max_bytes: int) -> dict[str, bytes]:
    found = {}
    with zipfile.ZipFile(archive) as opened:
        names = set(opened.namelist())
        for name in members:
            if name in names and not opened.getinfo(name).is_dir():
                with opened.open(name) as file:
                    found[name] = _read(file, max_bytes, name)
    return found


class _Bounded:
    """A stream of which no more than a limit is read."""

    def __init__(self, file: _Readable, limit: int, name: str) -> None:
        self._file = file
        self._left = limit
        self._name = name
        self._limit = limit

    def read(self, size: int, /) -> bytes:
        content = self._file.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise DataError(f"{self._name} holds more than {self._limit:,} bytes.")
        return content


class _Header(tarfile.TarInfo):
    """A header of a tar archive. What is long of it is read whole, so that it must be bounded."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        header = super().frombuf(buf, encoding, errors)
        if header.type in _LONG_HEADERS and header.size > _LONGEST_HEADER:
            raise DataError(f"A header of the archive has {header.size:,} bytes.")
        return header


def _from_tar(archive: Path, members: list[str], max_bytes: int, max_skipped: int) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    wanted = set(members)
    with _decompressed(archive) as stream:
        bounded = _Bounded(stream, max_skipped + len(wanted) * max_bytes, archive.name)
        # As a stream, so that what is decompressed is what we count.
        with tarfile.open(fileobj=cast("IO[bytes]", bounded), mode="r|", tarinfo=_Header) as opened:
            for number, entry in enumerate(opened):
                # It would keep them all.
                opened.members = []  # type: ignore[attr-defined]
                if number > _MOST_ENTRIES:
                    raise DataError(f"{archive.name} has more than {_MOST_ENTRIES:,} entries.")
                if entry.name not in wanted:
                    continue
                file = opened.extractfile(entry) if entry.isreg() and not entry.issparse() else None
                if file is None:
                    raise DataError(f"{entry.name!r} in {archive.name} is not a regular file.")
                found[entry.name] = _read(file, max_bytes, entry.name)
                wanted.discard(entry.name)
                if not wanted:
                    break
    return found


def _decompressed(archive: Path) -> IO[bytes]:
    with archive.open("rb") as file:
        beginning = file.read(6)
    for magic, opener in _COMPRESSIONS.items():
        if beginning.startswith(magic):
            return cast("IO[bytes]", opener(archive))
    return archive.open("rb")


def _read(file: _Readable, max_bytes: int, name: str) -> bytes:
    content = io.BytesIO()
    while chunk := file.read(_CHUNK):
        content.write(chunk)
        if content.tell() > max_bytes:
            raise DataError(f"{name} holds more than {max_bytes:,} bytes.")
    return content.getvalue()
