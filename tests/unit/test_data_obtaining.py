"""Datasets from each kind of source, in order, verified by their content; the cache whatever goes wrong."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from example_data import HASH, TEXT, USER_FILES, dataset, decode_text, system, web, write_gzip
from example_wheel import NAME, make_wheel
from file_server import FileServer, Served

from mlgym_core import (
    ConfigurationError,
    Content,
    DataError,
    Dataset,
    Download,
    Host,
    PythonPackage,
    PythonSourceArchive,
    RemoteFile,
    SystemFiles,
    UsageError,
    read_member,
)
from mlgym_core.data.obtaining import import_files, obtain, refresh
from mlgym_core.data.store import DatasetStore
from mlgym_core.preparation import prepare_task

TASK = "examples/lines"
LINES = "line\none\ntwo\nthree\n"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("MLGYM_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("MLGYM_OFFLINE", "MLGYM_DATA_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as running:
        running.files["/lines.txt"] = Served(TEXT.encode())
        yield running


def lines(path: Path) -> str:
    return (path / "lines.csv").read_text()


def contents(cache: Path) -> list[str]:
    folder = cache / "data" / "content"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


# -------------------------------------------------------------------------------------- order of sources


def test_nothing_is_downloaded_that_could_not_be_read(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    source = dataclasses.replace(web(server.url), modules=("no_such_module",), remedy="Install it.")
    with pytest.raises(DataError, match=r"The publisher: reading it needs the Python package no_such_module. Install"):
        obtain(TASK, dataset(source))
    monkeypatch.setenv("MLGYM_DATA_MIRROR", server.url)
    with pytest.raises(DataError, match=r"mirror .*: reading it needs the Python package no_such_module"):
        obtain(TASK, dataset(source))
    assert server.requests == []
    assert obtain(TASK, dataset(source, web(server.url))).source == "The publisher"


def test_what_is_here_comes_first_then_the_mirror_then_the_publisher(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines_dataset = dataset(web(server.url), system(tmp_path / "system"))
    store = DatasetStore(TASK, lines_dataset)

    def source() -> str:
        found = obtain(TASK, lines_dataset)
        assert lines(found.path) == LINES
        store.remove()
        return found.source

    assert source() == "The publisher"
    mirror = tmp_path / "mirror"
    (mirror / TASK / "lines").mkdir(parents=True)
    (mirror / TASK / "lines" / "lines.txt").write_text(TEXT)
    monkeypatch.setenv("MLGYM_DATA_MIRROR", str(mirror))
    assert source() == f"mirror {mirror}"
    write_gzip(tmp_path / "system")
    assert source() == "Debian package dataset-lines"
    own = tmp_path / "lines.txt"
    own.write_text(TEXT)
    import_files(TASK, lines_dataset, [own])
    assert source() == "import of your own files"
    assert len(server.requests) == 1


def test_a_mirror_on_the_web(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files[f"/mirror/{TASK}/lines/lines.txt"] = Served(TEXT.encode())
    monkeypatch.setenv("MLGYM_DATA_MIRROR", f"{server.url}/mirror/")
    assert lines(obtain(TASK, dataset(USER_FILES)).path) == LINES


def test_a_mirror_by_its_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a mirror" / TASK / "lines"
    folder.mkdir(parents=True)
    (folder / "lines.txt").write_text(TEXT)
    monkeypatch.setenv("MLGYM_DATA_MIRROR", (tmp_path / "a mirror").as_uri())
    assert lines(obtain(TASK, dataset(USER_FILES)).path) == LINES


@pytest.mark.parametrize("form", ["~/a%20mirror", "file://localhost{}", "file://{}"])
def test_places_of_mirrors(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a%20mirror" / TASK / "lines"
    folder.mkdir(parents=True)
    (folder / "lines.txt").write_text(TEXT)
    monkeypatch.setenv("HOME", str(tmp_path))
    quoted = f"{tmp_path}/a%2520mirror"
    monkeypatch.setenv("MLGYM_DATA_MIRROR", form.format(quoted))
    assert lines(obtain(TASK, dataset(USER_FILES)).path) == LINES


@pytest.mark.parametrize(
    ("mirror", "says"),
    [("ftp://x/y", "neither a path nor"), ("file://other/y", "another machine"), ("/no/such", "no file /no/such/")],
)
def test_mirrors_that_are_none(mirror: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLGYM_DATA_MIRROR", mirror)
    with pytest.raises(DataError, match=says):
        obtain(TASK, dataset(USER_FILES))


def test_a_mirror_cannot_send_more_than_was_declared(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / TASK / "lines"
    folder.mkdir(parents=True)
    (folder / "lines.txt").write_text(TEXT * 2)
    monkeypatch.setenv("MLGYM_DATA_MIRROR", str(tmp_path))
    remote = RemoteFile(url=f"{server.url}/lines.txt", size_bytes=len(TEXT))
    declared = dataset(Download(host="h", remote=(remote,), decode=decode_text))
    assert obtain(TASK, declared).source == "h"


def test_a_file_of_a_source_that_failed_is_kept_if_a_checksum_says_what_it_is(server: FileServer) -> None:
    def decode(files: Sequence[Path], content: Content) -> None:
        content.text("all.txt", " ".join(path.read_text() for path in files))

    remote = [
        RemoteFile(url=f"{server.url}/{name}.txt", sha256=hashlib.sha256(name.encode()).hexdigest()) for name in "ab"
    ]
    two = Download(host="h", remote=tuple(remote), decode=decode)
    server.files["/a.txt"] = Served(b"a")
    with pytest.raises(DataError, match="404"):
        obtain(TASK, dataset(two, content_hash=None))
    server.files["/b.txt"] = Served(b"b")
    server.requests.clear()
    obtain(TASK, dataset(two, content_hash=None))
    assert [path for path, _ in server.requests] == ["/b.txt"]


def test_a_file_of_a_source_that_failed_is_not_kept(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(files: Sequence[Path], content: Content) -> None:
        content.text("all.txt", " ".join(path.read_text() for path in files))

    two = Download(
        host="h",
        remote=(RemoteFile(url=f"{server.url}/a.txt"), RemoteFile(url=f"{server.url}/b.txt")),
        decode=decode,
    )
    server.files["/a.txt"] = Served(b"stale")
    with pytest.raises(DataError, match="404"):
        obtain(TASK, dataset(two, content_hash=None))
    server.files |= {"/a.txt": Served(b"a"), "/b.txt": Served(b"b")}
    assert (obtain(TASK, dataset(two, content_hash=None)).path / "all.txt").read_text() == "a b"


def test_nothing_is_fetched_when_offline(tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLGYM_OFFLINE", "1")
    monkeypatch.setenv("MLGYM_DATA_MIRROR", server.url)
    with pytest.raises(DataError, match="MLGYM_OFFLINE") as caught:
        obtain(TASK, dataset(web(server.url)))
    assert str(caught.value).count("MLGYM_OFFLINE forbids") == 2
    assert not server.requests
    assert lines(obtain(TASK, dataset(web(server.url), system(write_gzip(tmp_path / "system")))).path) == LINES


def test_the_message_says_what_was_tried_and_what_helps(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        obtain(TASK, dataset(system(tmp_path), USER_FILES))
    for part in ("apt-get install dataset-lines", "Write them yourself", f"mlgym data import {TASK} lines lines.txt"):
        assert part in str(caught.value)


# ----------------------------------------------------------------------------------------------- content


def test_wrong_content_from_the_right_place_does_not_pass(tmp_path: Path, server: FileServer, cache: Path) -> None:
    wrong = system(write_gzip(tmp_path / "system", "one\ntwo\nFOUR\n"))
    with pytest.raises(DataError, match=f"instead of {HASH}"):
        obtain(TASK, dataset(wrong))
    assert contents(cache) == []
    assert lines(obtain(TASK, dataset(wrong, web(server.url))).path) == LINES


def test_equal_content_from_other_archives_passes(tmp_path: Path, server: FileServer) -> None:
    assert obtain(TASK, dataset(web(server.url))).content_hash == HASH
    assert obtain("examples/other", dataset(system(write_gzip(tmp_path / "system")))).content_hash == HASH


def test_a_wrong_download_is_not_what_the_next_attempt_finds(server: FileServer) -> None:
    server.files["/lines.txt"] = Served(b"wrong")
    with pytest.raises(DataError, match="instead of"):
        obtain(TASK, dataset(web(server.url)))
    server.files["/lines.txt"] = Served(TEXT.encode())
    assert lines(obtain(TASK, dataset(web(server.url))).path) == LINES


@pytest.mark.parametrize("error", [ValueError("odd"), KeyError("odd"), RecursionError("odd"), MemoryError()])
def test_whatever_a_decoder_raises_is_a_clear_error(error: Exception, tmp_path: Path, cache: Path) -> None:
    def decode(_files: Sequence[Path], content: Content) -> None:
        content.text("half.txt", "half")
        raise error

    source = SystemFiles(package="p", folder=str(write_gzip(tmp_path / "s")), files=("lines.txt.gz",), decode=decode)
    with pytest.raises(DataError, match=r"cannot be read|more memory"):
        obtain(TASK, dataset(source))
    assert contents(cache) == []


def test_hostile_archives_leave_the_cache_as_it_was(tmp_path: Path, cache: Path) -> None:
    folder = tmp_path / "system"
    folder.mkdir()
    with tarfile.open(folder / "lines.tar", "w") as archive:
        for name in ("../../../evil.txt", "/tmp/mlgym-evil.txt", "lines.txt"):
            entry = tarfile.TarInfo(name)
            entry.size = len(TEXT)
            archive.addfile(entry, io.BytesIO(TEXT.encode()))

    def decode(files: Sequence[Path], content: Content) -> None:
        for name in ("../../../evil.txt", "lines.txt"):
            content.text(name, read_member(files[0], name, 1000).decode())

    source = SystemFiles(package="p", folder=str(folder), files=("lines.tar",), decode=decode)
    with pytest.raises(DataError, match="not a file name"):
        obtain(TASK, dataset(source))
    assert contents(cache) == []
    assert not list(tmp_path.rglob("evil.txt"))
    assert not Path("/tmp/mlgym-evil.txt").exists()


@pytest.mark.parametrize("name", ["../lines.txt", "/lines.txt", "", "a\\b"])
def test_sources_whose_files_lie_elsewhere_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not the name of a file"):
        dataset(system(tmp_path, name))


def test_the_cache_is_read_only(server: FileServer) -> None:
    path = obtain(TASK, dataset(web(server.url))).path
    assert path.stat().st_mode & 0o777 == 0o555
    assert (path / "lines.csv").stat().st_mode & 0o777 == 0o444


def test_damage_is_found_and_repaired(server: FileServer) -> None:
    lines_dataset = dataset(web(server.url))
    path = obtain(TASK, lines_dataset).path
    (path / "lines.csv").chmod(0o644)
    (path / "lines.csv").write_text("damaged")
    damage = DatasetStore(TASK, lines_dataset).damage()
    assert damage is not None
    assert "has changed" in damage
    assert lines(refresh(TASK, lines_dataset).path) == LINES
    assert DatasetStore(TASK, lines_dataset).damage() is None
    refresh(TASK, lines_dataset)
    assert len(server.requests) == 2


@pytest.mark.parametrize("record", ['{"content_hash": 5}', '{"content_hash": "../locks"}', "[]", "no JSON"])
def test_records_that_are_broken_are_no_records(record: str, server: FileServer, cache: Path) -> None:
    trusted = dataset(web(server.url), content_hash=None)
    obtain(TASK, trusted)
    [path] = (cache / "data" / "records").iterdir()
    path.write_text(record)
    assert DatasetStore(TASK, trusted).find() is None
    assert DatasetStore(TASK, trusted).remove() is False
    assert (cache / "data" / "locks").is_dir()


def test_content_that_another_dataset_shares_is_not_removed(server: FileServer) -> None:
    mine, theirs = dataset(web(server.url)), dataset(web(server.url), content_hash=None, name="theirs")
    obtain(TASK, mine)
    obtain(TASK, theirs)
    DatasetStore(TASK, mine).remove()
    assert lines(obtain(TASK, theirs).path) == LINES
    DatasetStore(TASK, theirs).remove()
    assert DatasetStore(TASK, theirs).find() is None


def test_a_disk_that_is_full_is_no_fault_of_the_files(tmp_path: Path, cache: Path) -> None:
    def decode(_files: Sequence[Path], _content: Content) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    full = SystemFiles(package="p", folder=str(write_gzip(tmp_path / "s")), files=("lines.txt.gz",), decode=decode)
    with pytest.raises(ConfigurationError, match=r"No space left.*MLGYM_CACHE_DIR"):
        obtain(TASK, dataset(full, USER_FILES))
    assert contents(cache) == []


def test_what_comes_first_is_trusted_and_nothing_else_after_it(tmp_path: Path, cache: Path) -> None:
    trusted = dataset(USER_FILES, content_hash=None)
    own = tmp_path / "lines.txt"
    own.write_text("first")
    first = import_files(TASK, trusted, [own])
    own.write_text("second")
    with pytest.raises(DataError, match=r"recorded at first use.*--replace"):
        import_files(TASK, trusted, [own])
    assert obtain(TASK, trusted).content_hash == first.content_hash
    assert import_files(TASK, trusted, [own], replace=True).content_hash != first.content_hash


def test_a_declared_hash_cannot_be_replaced(tmp_path: Path) -> None:
    own = tmp_path / "lines.txt"
    own.write_text("other")
    with pytest.raises(DataError, match="not that of the dataset"):
        import_files(TASK, dataset(USER_FILES), [own], replace=True)


# ------------------------------------------------------------------------------------------------ import


def test_files_are_recognised_by_their_names_whatever_their_order(tmp_path: Path) -> None:
    def decode(files: Sequence[Path], content: Content) -> None:
        content.text("all.txt", " ".join(path.read_text() for path in files))

    two = SystemFiles(package="p", folder="/nowhere", files=("folder/a.txt", "folder/b.txt"), decode=decode)
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(name)
    stored = import_files(TASK, dataset(two, content_hash=None), [tmp_path / "b.txt", tmp_path / "a.txt"])
    assert (stored.path / "all.txt").read_text() == "a b"


def test_files_with_other_names_are_taken_in_order_by_the_form_that_fits(tmp_path: Path) -> None:
    own = tmp_path / "my download (1).txt"
    own.write_text(TEXT)
    assert lines(import_files(TASK, dataset(system(tmp_path), USER_FILES), [own]).path) == LINES


def test_bad_imports_are_explained(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        import_files(TASK, dataset(USER_FILES), [tmp_path / "missing"])
    own = tmp_path / "lines.txt"
    own.write_text("")
    with pytest.raises(UsageError, match=r"does not consist of 2 files[\s\S]*lines.txt"):
        import_files(TASK, dataset(USER_FILES), [own, own])
    with pytest.raises(DataError, match="there are no lines"):
        import_files(TASK, dataset(USER_FILES), [own])


# --------------------------------------------------------------------------------- several processes, kill


FETCH = """
import sys
from example_data import dataset, web
from mlgym_core.data.obtaining import obtain
print(obtain("examples/lines", dataset(web(sys.argv[1]))).path)
"""


def _process(program: str, *arguments: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(Path(__file__).parents[1] / "support"), *sys.path])
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )


def test_processes_at_once_fetch_it_once(server: FileServer) -> None:
    processes = [_process(FETCH, server.url) for _ in range(4)]
    paths = {process.communicate()[0] for process in processes}
    assert [process.returncode for process in processes] == [0] * 4
    assert len(paths) == 1
    assert len(server.requests) == 1


STALL = """
import sys, time
from pathlib import Path
from example_data import dataset, USER_FILES
from mlgym_core.data.store import DatasetStore

def write(content):
    content.text("half.txt", "half")
    print("begun", flush=True)
    time.sleep(60)

store = DatasetStore("examples/lines", dataset(USER_FILES))
with store.lock():
    store.add(write, "nowhere")
"""


def test_a_process_that_is_killed_leaves_nothing_in_the_way(server: FileServer, cache: Path) -> None:
    process = _process(STALL)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert lines(obtain(TASK, dataset(web(server.url))).path) == LINES
    assert contents(cache) == [HASH]


def test_a_download_that_is_killed_goes_on(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    long = (TEXT * 200_000).encode()
    served = Served(long, cut_after=[1_000_000, *[0] * 100])
    server.files["/lines.txt"] = served
    process = _process(FETCH, server.url)
    while len(server.requests) < 2:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    served.cut_after = []
    server.requests.clear()
    large = Download(
        host="h",
        remote=(RemoteFile(url=f"{server.url}/lines.txt"),),
        decode=lambda files, content: content.text("size.txt", str(files[0].stat().st_size)),
    )
    assert (obtain(TASK, dataset(large, content_hash=None)).path / "size.txt").read_text() == str(len(long))
    assert [wanted for _, wanted in server.requests] == ["bytes=1000000-"]


# ------------------------------------------------------------------------------------------ Python packages


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that pip is configured with."""
    make_wheel(tmp_path / "wheels", "1.0")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    return tmp_path / "wheels"


def _package(program: Path, text: str) -> Dataset:
    program.write_text(text)
    return dataset(
        PythonPackage(requirements=(f"{NAME}==1.0",), program=program, files=("lines.txt",), decode=decode_text),
        content_hash=None,
    )


def test_a_python_package_is_read_by_a_program_that_sees_it_and_nothing_of_ours(wheels: Path, tmp_path: Path) -> None:
    program = f"""
import {NAME}
try:
    import pydantic
except ImportError:
    open("lines.txt", "w").write({NAME}.VERSION)
"""
    assert lines(obtain(TASK, _package(tmp_path / "program.py", program)).path) == "line\n1.0\n"


@pytest.mark.parametrize(
    ("program", "message"), [("raise SystemExit('no such data')", "no such data"), ("pass", "wrote no lines.txt")]
)
def test_a_program_that_fails_is_explained(wheels: Path, tmp_path: Path, program: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        obtain(TASK, _package(tmp_path / "program.py", program))


@pytest.mark.parametrize("form", ["json", "html"])
def test_a_source_archive_comes_from_the_index_that_pip_uses(
    form: str, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as opened:
        entry = tarfile.TarInfo("example-1.0/lines.txt")
        entry.size = len(TEXT)
        opened.addfile(entry, io.BytesIO(TEXT.encode()))
    sha256 = hashlib.sha256(archive.getvalue()).hexdigest()
    server.files["/files/ex-1.0.tar.gz"] = Served(archive.getvalue())
    if form == "json":
        listing = json.dumps({"files": [{"filename": "ex-1.0.tar.gz", "url": "../../files/ex-1.0.tar.gz"}]})
        server.files["/simple/ex-ample/"] = Served(listing.encode(), kind="application/vnd.pypi.simple.v1+json")
    else:
        listing = f'<a href="../../files/ex-1.0.tar.gz#sha256={sha256}">ex-1.0.tar.gz</a>'
        server.files["/simple/ex-ample/"] = Served(listing.encode(), kind="text/html")
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")

    def decode(files: Sequence[Path], content: Content) -> None:
        text = read_member(files[0], "example-1.0/lines.txt", 1000).decode()
        content.table("lines.csv", ["line"], [[line] for line in text.splitlines()])

    def archived(file: str) -> Dataset:
        return dataset(
            PythonSourceArchive(
                project="Ex_Ample",
                version="1.0",
                file=file,
                sha256=sha256,
                size_bytes=len(archive.getvalue()),
                decode=decode,
            )
        )

    with pytest.raises(DataError, match=r"ex-2\.0\.tar\.gz was not found"):
        obtain(TASK, archived("ex-2.0.tar.gz"))
    assert lines(obtain(TASK, archived("ex-1.0.tar.gz")).path) == LINES


# --------------------------------------------------------------------------------------------- preparation


def test_a_task_is_prepared_of_its_data_and_anew_when_trusted_data_are_replaced(host: Host, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mlgym data import examples/lines trusted lines\.txt"):
        prepare_task(host, TASK, "trusted")
    own = tmp_path / "lines.txt"
    own.write_text("first")
    [_, trusted] = host.tasks.load(TASK).datasets
    import_files(TASK, trusted, [own])
    first = prepare_task(host, TASK, "trusted")
    assert lines(first.public) == "line\nfirst\n"
    assert prepare_task(host, TASK, "trusted").public == first.public
    own.write_text("second")
    import_files(TASK, trusted, [own], replace=True)
    second = prepare_task(host, TASK, "trusted")
    assert lines(second.public) == "line\nsecond\n"
    assert second.data_hash != first.data_hash


def test_a_task_is_not_prepared_of_damaged_data(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "mirror" / TASK / "lines"
    folder.mkdir(parents=True)
    (folder / "lines.txt").write_text(TEXT)
    monkeypatch.setenv("MLGYM_DATA_MIRROR", str(tmp_path / "mirror"))
    [declared, _] = host.tasks.load(TASK).datasets
    path = obtain(TASK, declared).path / "lines.csv"
    path.chmod(0o600)
    path.write_text("damaged")
    said: list[str] = []
    assert lines(prepare_task(host, TASK, notify=said.append).public) == LINES
    assert any("is damaged; fetching it anew" in sentence for sentence in said)


def test_the_first_preparation_of_trusted_data_is_not_repeated(
    host: Host, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mirror" / TASK / "trusted"
    folder.mkdir(parents=True)
    (folder / "lines.txt").write_text("first")
    monkeypatch.setenv("MLGYM_DATA_MIRROR", str(tmp_path / "mirror"))
    said: list[str] = []
    first = prepare_task(host, TASK, "trusted", said.append)
    assert prepare_task(host, TASK, "trusted", said.append).public == first.public
    assert said == [f"Preparing {TASK} (once) …"]
    shutil.rmtree(tmp_path / "mirror")
    assert [path for path in (cache / "prepared").iterdir() if path.is_dir()] == [first.public.parent]
