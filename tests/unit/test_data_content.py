"""Contents in canonical form, and archives that are broken or hostile."""

from __future__ import annotations

import gzip
import io
import itertools
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mlgym_core import Content, DataError, read_gzip, read_limited, read_member
from mlgym_core.data.content import content_hash

Write = Callable[[Content], None]


def written(folder: Path, write: Write) -> Path:
    folder.mkdir()
    write(Content(folder))
    return folder


@pytest.mark.parametrize("shape", [(0,), (7,), (3, 4), (2, 3, 4, 5)])
@pytest.mark.parametrize("dtype", ["|u1", "<i4", "<f8"])
def test_numpy_reads_the_arrays(shape: tuple[int, ...], dtype: str, tmp_path: Path) -> None:
    array = np.arange(np.prod(shape), dtype=dtype).reshape(shape)
    folder = written(tmp_path / "content", lambda content: content.array("a.npy", shape, array.tobytes(), dtype=dtype))
    for mode in (None, "r"):
        loaded = np.load(folder / "a.npy", mmap_mode=mode)
        assert loaded.dtype == array.dtype
        assert (loaded == array).all()


@pytest.mark.parametrize("lengths", [[12], [1] * 12, [0, 5, 0, 7, 0]])
def test_arrays_come_in_pieces_of_any_lengths(lengths: list[int], tmp_path: Path) -> None:
    whole = bytes(range(12))
    pieces = [whole[sum(lengths[:place]) : sum(lengths[: place + 1])] for place in range(len(lengths))]
    first = written(tmp_path / "1", lambda content: content.array("a.npy", (3, 4), whole))
    second = written(tmp_path / "2", lambda content: content.array("a.npy", (3, 4), iter(pieces)))
    assert content_hash(first) == content_hash(second)


def test_no_more_pieces_are_taken_than_the_shape_needs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs 12"):
        written(tmp_path / "content", lambda content: content.array("a.npy", (3, 4), itertools.repeat(b"12345")))
    assert not list(tmp_path.rglob("*.*"))


def test_equal_data_are_equal_bytes_and_other_data_are_not(tmp_path: Path) -> None:
    def write(rows: list[list[str]], name: str = "rows.csv") -> Write:
        return lambda content: content.table(name, ["a", "b"], rows)

    rows = [["1", 'x, "y"'], ["2", "line\nbreak"]]
    first = content_hash(written(tmp_path / "1", write(rows)))
    assert content_hash(written(tmp_path / "2", write(rows))) == first
    assert content_hash(written(tmp_path / "3", write(rows[::-1]))) != first
    assert content_hash(written(tmp_path / "4", write(rows, "other.csv"))) != first


@pytest.mark.parametrize(
    "write",
    [
        lambda content: content.table("rows.csv", ["a"], [["1", "2"]]),
        lambda content: content.table("rows.txt", ["a"], []),
        lambda content: content.table("../rows.csv", ["a"], []),
        lambda content: content.array("a.npy", (2, 2), b"123"),
        lambda content: content.array("a.npy", (2, 2), [b"12", b"3"]),
        lambda content: content.array("a.npy", (2, 2), []),
        lambda content: content.array("a.bin", (1,), b"1"),
    ],
)
def test_what_is_not_canonical_is_refused(write: Write, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"columns|file name|needs"):
        written(tmp_path / "content", write)
    assert not list(tmp_path.rglob("*.*"))


def test_a_name_is_written_once(tmp_path: Path) -> None:
    def write(content: Content) -> None:
        content.text("a.txt", "1")
        content.text("a.txt", "2")

    with pytest.raises(FileExistsError):
        written(tmp_path / "content", write)


# ------------------------------------------------------------------------------------------- archives

BOMB_BYTES = 64 << 20


def _tar(path: Path, members: dict[str, bytes | tarfile.TarInfo]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
            else:
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return path


def _zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def _link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


@pytest.mark.parametrize("suffix", ["tar.gz", "zip"])
def test_members_are_read(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    members: dict[str, bytes] = {"../evil": b"no", "folder/data.bin": b"yes", "/etc/evil": b"no"}
    archive = _zip(path, members) if suffix == "zip" else _tar(path, {**members})
    assert read_member(archive, "folder/data.bin", 10) == b"yes"
    assert list(tmp_path.iterdir()) == [archive]
    with pytest.raises(DataError, match=r"has no file 'other'"):
        read_member(archive, "other", 10)
    with pytest.raises(DataError, match="more than 2 bytes"):
        read_member(archive, "folder/data.bin", 2)


@pytest.mark.parametrize("keep", [0, 20, 100, -5])
@pytest.mark.parametrize("suffix", ["tar.gz", "zip"])
def test_archives_that_are_cut_off_are_refused(suffix: str, keep: int, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    content = bytes(np.random.default_rng(0).integers(0, 256, 50_000, dtype=np.uint8))
    _zip(path, {"a": content}) if suffix == "zip" else _tar(path, {"a": content})
    path.write_bytes(path.read_bytes()[:keep])
    # The last bytes of a tar file are padding, so that only what is needed of it must be there.
    if not (suffix == "tar.gz" and keep == -5):
        with pytest.raises(DataError, match=r"no complete tar or zip|more than"):
            read_member(path, "a", 100_000)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_are_not_followed(kind: bytes, tmp_path: Path) -> None:
    archive = _tar(tmp_path / "a.tar.gz", {"data": _link("data", "/etc/passwd", kind)})
    with pytest.raises(DataError, match="not a regular file"):
        read_member(archive, "data", 100_000)


def test_bombs_are_refused_before_they_fill_the_memory(tmp_path: Path) -> None:
    zeros = bytes(BOMB_BYTES)
    (tmp_path / "a.gz").write_bytes(gzip.compress(zeros))
    with pytest.raises(DataError, match="more than 1,000 bytes"):
        read_gzip(tmp_path / "a.gz", 1000)
    with pytest.raises(DataError, match="more than 1,000 bytes"):
        read_member(_zip(tmp_path / "a.zip", {"data": zeros}), "data", 1000)
    archive = _tar(tmp_path / "a.tar.gz", {"data": zeros, "wanted": b"1"})
    with pytest.raises(DataError, match="more than 1,000 bytes"):
        read_member(archive, "data", 1000)
    with pytest.raises(DataError, match="more than 2,000 bytes"):
        read_member(archive, "wanted", 1000, max_skipped=1000)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_bombs_in_headers_are_refused(kind: bytes, tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = kind, BOMB_BYTES
    with gzip.open(tmp_path / "a.tar.gz", "wb") as file:
        file.write(header.tobuf(tarfile.GNU_FORMAT))
        file.write(bytes(BOMB_BYTES))
    with pytest.raises(DataError, match="A header of the archive"):
        read_member(tmp_path / "a.tar.gz", "wanted", 1000)


def test_archives_with_too_many_entries_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlgym_core.data.archives._MOST_ENTRIES", 100)
    archive = _tar(tmp_path / "a.tar.gz", {str(number): b"" for number in range(200)})
    assert read_member(archive, "50", 10) == b""
    with pytest.raises(DataError, match="more than 100 entries"):
        read_member(archive, "150", 10)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_archives_are_recognised_by_their_content(mode: str, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "archive", mode) as archive:  # type: ignore[call-overload]
        entry = tarfile.TarInfo("a" * 300)
        entry.size = 1
        archive.addfile(entry, io.BytesIO(b"1"))
    assert read_member(tmp_path / "archive", "a" * 300, 10) == b"1"


def test_a_zip_archive_that_lies_about_sizes_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.zip", {"data": bytes(100_000)})
    path.write_bytes(path.read_bytes().replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with pytest.raises(DataError):
        read_member(path, "data", 1000)


def test_an_encrypted_zip_archive_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.zip", {"data": b"1"})
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="encrypted"):
        read_member(path, "data", 1000)


def test_gzip_files_that_are_broken_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    for content in (b"no gzip", gzip.compress(b"data" * 1000)[:-9], b""):
        path.write_bytes(content)
        if content:
            with pytest.raises(DataError, match="no complete gzip file"):
                read_gzip(path, 100_000)
    path.write_bytes(b"12345")
    with pytest.raises(DataError, match="more than 4 bytes"):
        read_limited(path, 4)
