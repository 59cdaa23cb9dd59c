"""Downloads from a real server that cuts, refuses and lies."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import FileServer, Served

from mlgym_core import DataError, RemoteFile, UsageError
from mlgym_core.data.downloads import download

CONTENT = os.urandom(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as running:
        yield running


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Take down how long it would have waited between tries."""
    taken: list[float] = []
    monkeypatch.setattr("time.sleep", taken.append)
    return taken


def fetch(server: FileServer, folder: Path, served: Served, **remote: object) -> bytes:
    server.files["/file"] = served
    said: list[str] = []
    path = download(RemoteFile(url=f"{server.url}/file", **remote), folder, said.append)  # type: ignore[arg-type]
    assert any(sentence.startswith("Downloading ") for sentence in said)
    return path.read_bytes()


def ranges(server: FileServer) -> list[str | None]:
    return [wanted for _, wanted in server.requests]


def test_a_file_comes_once(server: FileServer, tmp_path: Path) -> None:
    assert fetch(server, tmp_path, Served(CONTENT), size_bytes=len(CONTENT), sha256=SHA256) == CONTENT
    download(RemoteFile(url=f"{server.url}/file"), tmp_path, print)
    assert len(server.requests) == 1


def test_cut_connections_go_on_where_they_stopped(server: FileServer, tmp_path: Path) -> None:
    assert fetch(server, tmp_path, Served(CONTENT, cut_after=[100_000, 50_000])) == CONTENT
    assert ranges(server) == [None, "bytes=100000-", "bytes=150000-"]


def test_a_line_that_breaks_again_and_again_gets_there(server: FileServer, tmp_path: Path) -> None:
    assert fetch(server, tmp_path, Served(CONTENT, cut_after=[20_000] * 14)) == CONTENT


def test_another_process_goes_on_with_what_is_there(server: FileServer, tmp_path: Path) -> None:
    served = Served(CONTENT, cut_after=[100_000, *[0] * 10])
    with pytest.raises(DataError, match="after 5 tries"):
        fetch(server, tmp_path, served)
    served.cut_after = []
    server.requests.clear()
    assert fetch(server, tmp_path, served) == CONTENT
    assert ranges(server) == ["bytes=100000-"]


def test_a_file_that_changed_meanwhile_is_begun_anew(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        fetch(server, tmp_path, Served(b"old" * 100_000, tag='"old"', cut_after=[100_000, *[0] * 10]))
    assert fetch(server, tmp_path, Served(CONTENT, tag='"new"')) == CONTENT


def test_without_a_validator_it_is_begun_anew(server: FileServer, tmp_path: Path) -> None:
    assert fetch(server, tmp_path, Served(CONTENT, tag=None, cut_after=[100_000])) == CONTENT
    assert ranges(server) == [None, None]


def test_a_weak_tag_is_no_validator(server: FileServer, tmp_path: Path) -> None:
    assert fetch(server, tmp_path, Served(CONTENT, tag='W/"1"', cut_after=[100_000])) == CONTENT
    assert ranges(server) == [None, None]


def test_with_a_checksum_it_goes_on_without_a_validator(server: FileServer, tmp_path: Path) -> None:
    assert fetch(server, tmp_path, Served(CONTENT, tag=None, cut_after=[100_000]), sha256=SHA256) == CONTENT
    assert ranges(server) == [None, "bytes=100000-"]


def test_a_server_without_ranges(server: FileServer, tmp_path: Path) -> None:
    assert fetch(server, tmp_path, Served(CONTENT, ranges=False, cut_after=[100_000])) == CONTENT


def test_a_part_from_another_place_is_not_taken(server: FileServer, tmp_path: Path) -> None:
    served = Served(CONTENT, misplaced=True, cut_after=[100_000])
    assert fetch(server, tmp_path, served) == CONTENT
    assert ranges(server) == [None, "bytes=100000-", None]


def test_a_part_that_is_longer_than_the_file_is_dropped(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        fetch(server, tmp_path, Served(CONTENT, cut_after=[200_000, *[0] * 10]), sha256=SHA256)
    short = CONTENT[:1000]
    assert fetch(server, tmp_path, Served(short), sha256=hashlib.sha256(short).hexdigest()) == short


def test_servers_that_are_busy_are_asked_again(server: FileServer, tmp_path: Path, waits: list[float]) -> None:
    assert fetch(server, tmp_path, Served(CONTENT, statuses=[503, 429, 500])) == CONTENT
    assert len(waits) == 3
    assert waits == sorted(waits)


def test_retry_after_is_honoured(server: FileServer, tmp_path: Path, waits: list[float]) -> None:
    assert fetch(server, tmp_path, Served(CONTENT, statuses=[429], retry_after="7")) == CONTENT
    assert waits == [7.0]


def test_a_server_that_asks_for_an_hour_is_not_waited_for(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="come back in 3600 s"):
        fetch(server, tmp_path, Served(CONTENT, statuses=[429], retry_after="3600"))


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_final(status: int, server: FileServer, tmp_path: Path, waits: list[float]) -> None:
    with pytest.raises(DataError, match=f"the server answered {status}"):
        fetch(server, tmp_path, Served(statuses=[status]))
    assert not waits


def test_nobody_answers(tmp_path: Path) -> None:
    with FileServer() as server:
        url = f"{server.url}/file"
    with pytest.raises(DataError, match=r"refused.*after 5 tries"):
        download(RemoteFile(url=url), tmp_path, lambda _: None)


@pytest.mark.parametrize("hide_length", [False, True])
def test_files_that_are_too_large_are_not_kept(hide_length: bool, server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too large"):
        fetch(server, tmp_path, Served(CONTENT, hide_length=hide_length), max_bytes=1000)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 1000


def test_files_that_are_not_what_was_declared_are_not_kept(server: FileServer, tmp_path: Path) -> None:
    for declared in ({"size_bytes": len(CONTENT) + 1}, {"sha256": "0" * 64}):
        with pytest.raises(DataError, match="instead of"):
            fetch(server, tmp_path, Served(CONTENT), **declared)
        assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 1000


def test_redirects_are_followed_but_not_to_files(server: FileServer, tmp_path: Path) -> None:
    server.files["/real"] = Served(CONTENT)
    assert fetch(server, tmp_path / "1", Served(location=f"{server.url}/real")) == CONTENT
    with pytest.raises(DataError, match="302"):
        fetch(server, tmp_path / "2", Served(location="file:///etc/passwd"))


def test_other_protocols_are_refused() -> None:
    with pytest.raises(UsageError, match="http"):
        RemoteFile(url="file:///etc/passwd")


def test_passwords_in_addresses_are_sent_and_never_shown(server: FileServer, tmp_path: Path) -> None:
    url = server.url.replace("http://", "http://me:s3%20cret@")
    server.files["/file"] = Served(CONTENT, statuses=[503, 503])
    said: list[str] = []
    assert download(RemoteFile(url=f"{url}/file"), tmp_path, said.append).read_bytes() == CONTENT
    assert set(server.authorizations) == {"Basic bWU6czMgY3JldA=="}
    with pytest.raises(DataError) as caught:
        download(RemoteFile(url=f"{url}/missing"), tmp_path, said.append)
    assert said
    assert not any("s3" in sentence for sentence in [*said, str(caught.value)])


def test_passwords_do_not_follow_redirects(server: FileServer, tmp_path: Path) -> None:
    with FileServer() as other:
        other.files["/real"] = Served(CONTENT)
        server.files["/file"] = Served(location=f"{other.url}/real")
        url = server.url.replace("http://", "http://me:secret@")
        assert download(RemoteFile(url=f"{url}/file"), tmp_path, lambda _: None).read_bytes() == CONTENT
        assert (server.authorizations[0] or "").startswith("Basic ")
        assert other.authorizations == [None]


@pytest.mark.parametrize("location", ["http://[::bad/", "http://127.0.0.1:port/", "gopher://x/"])
def test_redirects_to_nowhere_are_clear_errors(location: str, server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"could not be downloaded|cannot be downloaded"):
        fetch(server, tmp_path, Served(location=location))


def test_a_server_that_drips_is_given_up(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="after 5 tries"):
        fetch(server, tmp_path, Served(CONTENT, cut_after=[1] * 1000))
    assert len(server.requests) == 5


def test_a_host_that_does_not_exist_is_asked_once(tmp_path: Path, waits: list[float]) -> None:
    with pytest.raises(DataError, match="cannot be downloaded"):
        download(RemoteFile(url="http://no-such-host.invalid/file"), tmp_path, lambda _: None)
    assert not waits
