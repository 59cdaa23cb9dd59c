"""Downloading files over HTTP: resumed where they stopped, retried, bounded in size, checked."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import random
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mlgym_core import __version__
from mlgym_core.data.declarations import RemoteFile
from mlgym_core.errors import DataError
from mlgym_core.locking import exclusive_lock

Notify = Callable[[str], None]
"""Told in a sentence before a long wait."""

WHOLE = "whole"
"""Name of the folder with the file, once it has come whole."""
_TRIES = 5
_STALLED_SECONDS = 30.0
"""A connection over which nothing comes for so long counts as broken."""
_LONGEST_WAIT = 60.0
"""A server that asks for more is not waited for."""
_CHUNK = 1 << 18
_SECONDS_BETWEEN_REPORTS = 10.0
_PROGRESS_BYTES = 1 << 14
"""A connection that brought less does not count as progress, or a server could keep us busy for ever."""
_WORTH_TRYING_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class _Retry(Exception):  # noqa: N818 - not an error yet
    """The transfer broke in a way that may pass.

    Attributes:
        wait: Seconds that the server asked to be left alone for, or None.
    """

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


BROKEN_TRANSFER = (OSError, http.client.HTTPException, ValueError)
"""What the library raises about servers, connections and addresses that are no good."""


def without_password(url: str) -> str:
    """Return a URL as it may be shown and recorded: without the user's name and password, if it has them."""
    parts = urlsplit(url)
    return url if "@" not in parts.netloc else parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def request(url: str, headers: dict[str, str] | None = None) -> urllib.request.Request:
    """Return a request that says who we are. A user's name and password in the URL are sent as basic authentication.

    Raises:
        DataError: if the URL is not http or https.
    """
    if not url.startswith(("https://", "http://")):
        raise DataError(f"{without_password(url)!r} is not an http or https URL.")
    sent = {"User-Agent": f"mlgym/{__version__}", **(headers or {})}
    asked = urllib.request.Request(without_password(url), headers=sent)  # noqa: S310
    user = urlsplit(url).netloc.rpartition("@")[0]
    if user:
        # Wherever we are redirected to has no business with it.
        asked.add_unredirected_header("Authorization", f"Basic {base64.b64encode(unquote(user).encode()).decode()}")
    return asked


def download(remote: RemoteFile, folder: Path, notify: Notify) -> Path:
    """Download a file into a folder, and return its path.

    What an earlier call, in this process or another, left unfinished is continued, if the server can say that the file
    is still the same. On a terminal, a bar shows the progress; elsewhere a line does, now and then.

    Raises:
        DataError: if it cannot be had, is too large, or is not the file that was declared.
    """
    own = folder / hashlib.sha256(remote.url.encode()).hexdigest()[:32]
    (own / WHOLE).mkdir(mode=0o700, parents=True, exist_ok=True)
    # Its own name, for messages about what is wrong with it.
    partial, done = own / "partial", own / WHOLE / remote.name.rpartition("/")[2]
    with exclusive_lock(own / "lock"):
        if not done.exists():
            _fetch(remote, partial, notify)
            try:
                _check(remote, partial)
            except DataError:
                partial.unlink(missing_ok=True)
                raise
            partial.rename(done)
            _validator_file(partial).unlink(missing_ok=True)
    return done


def _check(remote: RemoteFile, path: Path) -> None:
    shown = without_password(remote.url)
    size = path.stat().st_size
    if remote.size_bytes is not None and size != remote.size_bytes:
        raise DataError(f"{shown} has {size:,} bytes instead of {remote.size_bytes:,}.")
    if remote.sha256 is not None:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != remote.sha256:
            raise DataError(f"{shown} has the SHA-256 checksum {found} instead of {remote.sha256}.")


def _fetch(remote: RemoteFile, partial: Path, notify: Notify) -> None:
    shown = without_password(remote.url)
    tries = 0
    while True:
        before = partial.stat().st_size if partial.exists() else 0
        try:
            _transfer(remote, partial, notify)
            return
        except _Retry as problem:
            # A transfer that came further was no failed try: a slow line may break a hundred times.
            came_further = partial.exists() and partial.stat().st_size >= before + _PROGRESS_BYTES
            tries = 1 if came_further else tries + 1
            if tries >= _TRIES:
                raise DataError(f"{shown} could not be downloaded ({problem}), after {_TRIES} tries.") from None
            wait = problem.wait if problem.wait is not None else 2.0 ** (tries - 1) * random.uniform(0.5, 1)  # noqa: S311
            if wait > _LONGEST_WAIT:
                raise DataError(
                    f"{shown} could not be downloaded ({problem}); the server asks to come back in {wait:.0f} s."
                ) from None
            notify(f"{shown}: {problem}; trying again in {wait:.0f} s …")
            time.sleep(wait)


def _transfer(remote: RemoteFile, partial: Path, notify: Notify) -> None:
    """Download what is missing of a file.

    Raises:
        _Retry: if it broke in a way that may pass; what has come is kept.
        DataError: otherwise.
    """
    headers = _headers_to_continue(remote, partial)
    shown = without_password(remote.url)
    try:
        answer = urllib.request.urlopen(request(remote.url, headers), timeout=_STALLED_SECONDS)  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            partial.unlink(missing_ok=True)
            raise _Retry("it has changed since the download began", wait=0.0) from None
        if error.code in _WORTH_TRYING_AGAIN:
            raise _Retry(f"the server answered {error.code} {error.reason}", _retry_after(error.headers)) from None
        raise DataError(f"{shown} cannot be downloaded: the server answered {error.code} {error.reason}.") from None
    except BROKEN_TRANSFER as error:
        if isinstance(getattr(error, "reason", None), socket.gaierror):
            raise DataError(f"{shown} cannot be downloaded: {_reason_of(error)}.") from None
        raise _Retry(_reason_of(error)) from None
    with answer:
        begin = _place_to_begin(answer, partial)
        length = answer.headers.get("Content-Length")
        total = None if length is None or not length.isdecimal() else begin + int(length)
        limit = remote.max_bytes if remote.size_bytes is None else remote.size_bytes
        if total is not None and total > limit:
            raise DataError(f"{shown} is too large: {total:,} bytes, where {limit:,} are allowed.")
        _remember_validator(answer, partial)
        with partial.open("r+b" if begin else "wb") as file, _progress(remote, total, notify) as report:
            file.truncate(begin)
            file.seek(begin)
            position = begin
            while chunk := _next_chunk(answer):
                position += len(chunk)
                if position > limit:
                    file.truncate(0)
                    raise DataError(f"{shown} is too large: more than {limit:,} bytes came.")
                file.write(chunk)
                report(position)
        if total is not None and position < total:
            raise _Retry(f"the connection was closed after {position:,} of {total:,} bytes")


def _next_chunk(answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read(_CHUNK)
    except BROKEN_TRANSFER as error:
        raise _Retry(_reason_of(error)) from None


def _reason_of(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    return str(reason) or type(error).__name__


def _retry_after(headers: Any) -> float | None:
    value = headers.get("Retry-After")
    return float(value) if value is not None and value.isdecimal() else None


def _validator_file(partial: Path) -> Path:
    return partial.with_suffix(".validator")


def _headers_to_continue(remote: RemoteFile, partial: Path) -> dict[str, str]:
    """Return the headers that ask for what is missing, if it is sure that it will fit to what is there."""
    size = partial.stat().st_size if partial.exists() else 0
    # Compressed on the way, a file would have another length than it says.
    headers = {"Accept-Encoding": "identity"}
    if not size:
        return headers
    with contextlib.suppress(OSError, ValueError):
        validator = json.loads(_validator_file(partial).read_text())
        return headers | {"Range": f"bytes={size}-", "If-Range": str(validator)}
    # Without one, only a checksum would tell parts of two files from one.
    return headers if remote.sha256 is None else headers | {"Range": f"bytes={size}-"}


def _remember_validator(answer: http.client.HTTPResponse, partial: Path) -> None:
    tag = answer.headers.get("ETag")
    # A weak tag does not promise equal bytes.
    validator = tag if tag is not None and not tag.startswith("W/") else answer.headers.get("Last-Modified")
    if validator is None:
        _validator_file(partial).unlink(missing_ok=True)
    else:
        # Replaced as a whole: whoever is killed here leaves one that is complete.
        complete = partial.with_suffix(".validator-partial")
        complete.write_text(json.dumps(validator))
        complete.replace(_validator_file(partial))


def _place_to_begin(answer: http.client.HTTPResponse, partial: Path) -> int:
    """Return the position of the answer's first byte in the file.

    Raises:
        _Retry: if it is not where the part that is there ends.
    """
    if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
        return 0
    size = partial.stat().st_size if partial.exists() else 0
    if not (answer.headers.get("Content-Range") or "").startswith(f"bytes {size}-"):
        partial.unlink(missing_ok=True)
        raise _Retry("the server sent another part than it was asked for", wait=0.0)
    return size


@contextlib.contextmanager
def _progress(remote: RemoteFile, total: int | None, notify: Notify) -> Iterator[Callable[[int], None]]:
    """Yield a function that is told how many bytes are there."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(remote.name, total=total)
            yield lambda position: bar.update(task, completed=position)
        return
    size = "" if total is None else f" ({total / 1e6:,.1f} MB)"
    notify(f"Downloading {without_password(remote.url)}{size} …")
    began = last = time.monotonic()
    first: int | None = None

    def report(position: int) -> None:
        nonlocal last, first
        first = position if first is None else first
        moment = time.monotonic()
        if moment - last < _SECONDS_BETWEEN_REPORTS:
            return
        last = moment
        rate = (position - first) / (moment - began)
        share = "" if total is None else f" of {total / 1e6:,.1f}"
        left = "" if total is None or not rate else f", about {(total - position) / rate:.0f} s left"
        notify(f"{remote.name}: {position / 1e6:,.1f}{share} MB, {rate / 1e6:.1f} MB/s{left}")

    yield report


def copy_or_download(location: str, name: str, folder: Path, notify: Notify, *, max_bytes: int) -> Path:
    """Return a file of a mirror, `location` being a path, or a file, http or https URL.

    Raises:
        DataError: if it cannot be had, or is larger than `max_bytes`.
    """
    if location.startswith(("https://", "http://")):
        return download(RemoteFile(url=location, name=name, max_bytes=max_bytes), folder, notify)
    if location.startswith("file://"):
        parts = urlsplit(location)
        if parts.netloc not in ("", "localhost"):
            raise DataError(f"{location} names another machine; write file:///path")
        path = Path(unquote(parts.path))
    elif "://" in location:
        raise DataError(f"{location} is neither a path nor a file, http or https URL")
    else:
        path = Path(location).expanduser()
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    if path.stat().st_size > max_bytes:
        raise DataError(f"{path} has {path.stat().st_size:,} bytes, where {max_bytes:,} are allowed")
    return path
