"""Reading compressed files and archives that may be broken or hostile.

Nothing is ever extracted to paths that an archive names: a member is read by its exact name, into memory, and no more
is decompressed than a stated limit.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Protocol

from mlgym_core.errors import DataError

_CHUNK = 1 << 20


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
        max_skipped: Limit of what is decompressed of other members on the way, for tar archives.

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
    except (OSError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile, RuntimeError, ValueError) as error:
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


def _from_tar(archive: Path, members: list[str], max_bytes: int, max_skipped: int) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    wanted = set(members)
    skipped = 0
    # As a stream, so that what it decompresses is what we count.
    with tarfile.open(archive, "r|*") as opened:
        for entry in opened:
            if entry.name not in wanted:
                skipped += entry.size
                if skipped > max_skipped:
                    raise DataError(f"{archive.name} holds more than {max_skipped:,} bytes of other files.")
                continue
            file = opened.extractfile(entry) if entry.isreg() and not entry.issparse() else None
            if file is None:
                raise DataError(f"{entry.name!r} in {archive.name} is not a regular file.")
            found[entry.name] = _read(file, max_bytes, entry.name)
            wanted.discard(entry.name)
            if not wanted:
                break
    return found


def _read(file: _Readable, max_bytes: int, name: str) -> bytes:
    content = io.BytesIO()
    while chunk := file.read(_CHUNK):
        content.write(chunk)
        if content.tell() > max_bytes:
            raise DataError(f"{name} holds more than {max_bytes:,} bytes.")
    return content.getvalue()
