"""Fetching from a few hosts of the web, within bounds: the only way out of this machine that tools have."""

from __future__ import annotations

import asyncio
import email.utils
import hashlib
import ipaddress
import os
import re
import ssl
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpcore

from mlgym_core import ToolError, UsageError, __version__, cache_dir, is_offline
from mlgym_tools.addresses import PublicNetwork
from mlgym_tools.turns import Turns

MIRROR = "MLGYM_LITERATURE_MIRROR"
"""URL of a mirror for the literature tools, which has what is at `https://HOST/PATH` at `MIRROR/HOST/PATH`."""
_REDIRECTS = 5
_TRIES = 3
_WORTH_TRYING_AGAIN = frozenset({429, 500, 502, 503, 504})
_UNKNOWN_PAUSE = 5.0
"""Seconds that a host is left alone for which is busy and does not say for how long."""
_PAUSES = {"export.arxiv.org": 3.0, "arxiv.org": 3.0, "api.semanticscholar.org": 1.0}
"""Seconds between requests, as the terms of use of arXiv's API and those of Semantic Scholar's ask for."""
_PAUSE = 1.0
_CACHE_BYTES = 1 << 30
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\Z")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Something to be fetched.

    Attributes:
        url: Where it is: https, of a host that is allowed.
        max_bytes: A longer answer is refused.
        fresh_seconds: How old an answer may be that was kept.
        sign: Something in the first 1,024 bytes by which the answer is seen to be one of that kind. Others, such as a
            page that asks whether one is human, are not kept.
        headers: Sent to that host only.
    """

    url: str
    max_bytes: int
    fresh_seconds: float
    sign: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class _Busy(Exception):  # noqa: N818 - not an error yet
    """The host wants to be asked again later."""

    def __init__(self, reason: str, seconds: float | None = None) -> None:
        super().__init__(reason)
        self.seconds = seconds


class Web:
    """Fetches what is wanted from hosts that are allowed, and keeps it in the cache.

    Redirects are followed to allowed hosts only. Names must resolve to public addresses, and certificates fit.

    Args:
        hosts: The hosts.
        seconds: How long fetching may take, the waits that politeness asks for included.
    """

    def __init__(self, hosts: frozenset[str], seconds: float) -> None:
        self._hosts = hosts
        self._seconds = seconds

    async def get(self, wanted: Wanted) -> bytes:
        """Return what is wanted.

        Raises:
            ToolError: if it may not or cannot be had.
        """
        self._check(wanted.url)
        folder = cache_dir() / "literature"
        folder.mkdir(mode=0o700, exist_ok=True)
        mirror = _mirror()
        place = folder / f"{hashlib.sha256(_sent_to(wanted.url, mirror).encode()).hexdigest()}.answer"
        if (kept := _kept(place, wanted.fresh_seconds)) is not None:
            return kept
        if is_offline():
            raise ToolError("The literature cannot be reached: MLGYM_OFFLINE is set, and this was not fetched before.")
        try:
            async with asyncio.timeout(self._seconds):
                content = await self._fetched(wanted, mirror, Turns(folder))
        except TimeoutError:
            host = urlsplit(wanted.url).hostname
            raise ToolError(f"{host} gave no answer within {self._seconds:g} s. Try again later.") from None
        if wanted.sign in content[:1024]:
            await asyncio.to_thread(_keep, place, content)
        return content

    def _check(self, url: str) -> str:
        """Return the host of a URL that may be fetched."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ToolError(f"{url[:200]!r} is not a URL.") from None
        if parts.scheme != "https" or parts.username is not None or port not in (None, 443):
            raise ToolError(f"{url[:200]!r} may not be fetched: only https URLs without user and port are allowed.")
        if parts.hostname not in self._hosts:
            raise ToolError(
                f"{parts.hostname!r} may not be asked. Allowed are: {', '.join(sorted(self._hosts))}. "
                "What is on other hosts is out of reach in this run."
            )
        if not re.fullmatch(r"[!-~]+", url):
            raise ToolError(f"{url[:200]!r} is not a URL: it holds characters that must be written as %XX.")
        return parts.hostname

    async def _fetched(self, wanted: Wanted, mirror: str | None, turns: Turns) -> bytes:
        deadline = time.time() + self._seconds
        url, headers = wanted.url, wanted.headers
        for _ in range(_REDIRECTS + 1):
            host = self._check(url)
            answer = await self._asked(url, host, headers, wanted.max_bytes, mirror, turns, deadline)
            if isinstance(answer, bytes):
                return answer
            url = answer
            # Whatever is secret was for the first host.
            headers = {} if urlsplit(url).hostname != urlsplit(wanted.url).hostname else headers
        raise ToolError(f"{wanted.url} cannot be fetched: it redirects more than {_REDIRECTS} times.")

    async def _asked(
        self,
        url: str,
        host: str,
        headers: Mapping[str, str],
        max_bytes: int,
        mirror: str | None,
        turns: Turns,
        deadline: float,
    ) -> bytes | str:
        """Ask until there is an answer, and return it, or where it redirects to."""
        pause = _PAUSES.get(host, _PAUSE) if mirror is None else 0.0
        for tries in range(1, _TRIES + 1):
            async with turns.turn(host, pause, deadline):
                try:
                    return await _answer(url, headers, max_bytes, mirror)
                except _Busy as busy:
                    seconds = _UNKNOWN_PAUSE if busy.seconds is None else busy.seconds
                    turns.leave_alone(host, seconds)
                    if tries == _TRIES or time.time() + seconds > deadline:
                        raise ToolError(f"{host} cannot be asked now: {busy}. Try again later.") from None
        raise AssertionError("the last try returns or raises")


async def _answer(url: str, headers: Mapping[str, str], max_bytes: int, mirror: str | None) -> bytes | str:
    """Return the body of an answer, or the URL that it redirects to."""
    sent = _sent_to(url, mirror)
    trusted = None if mirror is None else urlsplit(mirror).hostname
    own = {
        "Host": urlsplit(sent).netloc,
        "User-Agent": f"mlgym/{__version__} (literature tools for research agents)",
        # Nothing that a few bytes could make large.
        "Accept-Encoding": "identity",
    }
    async with httpcore.AsyncConnectionPool(
        ssl_context=ssl.create_default_context(), network_backend=PublicNetwork(trusted)
    ) as pool:
        try:
            async with pool.stream("GET", sent, headers=[*own.items(), *headers.items()]) as response:
                return await _body(response, url, sent, max_bytes, mirror)
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise ToolError(
                f"{urlsplit(url).hostname} cannot be reached: {str(error) or type(error).__name__}."
            ) from None


async def _body(response: httpcore.Response, url: str, sent: str, max_bytes: int, mirror: str | None) -> bytes | str:
    answered = {name.lower(): value for name, value in response.headers}
    host = urlsplit(url).hostname
    if response.status in (301, 302, 303, 307, 308):
        return _redirected(answered.get(b"location", b"").decode("ascii", "replace"), sent, mirror)
    if response.status in _WORTH_TRYING_AGAIN:
        raise _Busy(f"it answered {response.status}", _retry_after(answered.get(b"retry-after")))
    if response.status == 404:
        raise ToolError(f"{url} does not exist.")
    if response.status != 200:
        raise ToolError(f"{host} refused the request: it answered {response.status}.")
    if answered.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise ToolError(f"{host} sent an answer that is compressed, which it was asked not to do.")
    content = bytearray()
    async for chunk in response.aiter_stream():
        content += chunk
        if len(content) > max_bytes:
            raise ToolError(f"{url} is too large: more than {max_bytes:,} bytes.")
    return bytes(content)


def _redirected(location: str, sent: str, mirror: str | None) -> str:
    try:
        target = urljoin(sent, location)
    except ValueError:
        raise ToolError(f"{sent} redirects to something that is not a URL.") from None
    if mirror is not None and target.startswith(f"{mirror}/"):
        return f"https://{target.removeprefix(f'{mirror}/')}"
    return target


def _sent_to(url: str, mirror: str | None) -> str:
    return url if mirror is None else f"{mirror}/{url.removeprefix('https://')}"


def _retry_after(value: bytes | None) -> float | None:
    """Return the seconds that a `Retry-After` header asks for, which may be a number or a date."""
    if value is None:
        return None
    text = value.decode("ascii", "replace").strip()
    if text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        return max(email.utils.parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None


def _mirror() -> str | None:
    mirror = os.environ.get(MIRROR, "").rstrip("/")
    if not mirror:
        return None
    if not mirror.startswith(("https://", "http://")) or not urlsplit(mirror).hostname:
        raise ToolError(f"The literature cannot be reached: {MIRROR} is not an http or https URL.")
    return mirror


def allowed_hosts(text: str) -> frozenset[str]:
    """Return the host names in a comma-separated list.

    Raises:
        UsageError: if one of them is none.
    """
    hosts = frozenset(name.strip().lower() for name in text.split(",") if name.strip())
    for host in hosts:
        if not _HOST.match(host) or _is_address(host):
            raise UsageError(f"{host!r} is not the name of a host: write such as aclanthology.org, without https://.")
    return hosts


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _kept(place: Path, fresh_seconds: float) -> bytes | None:
    try:
        if time.time() - place.stat().st_mtime > fresh_seconds:
            return None
        return place.read_bytes()
    except FileNotFoundError:
        return None


def _keep(place: Path, content: bytes) -> None:
    descriptor, partial = tempfile.mkstemp(prefix=".partial-", dir=place.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    Path(partial).replace(place)
    # The oldest make room. Another process may be doing the same.
    ages = []
    for path in place.parent.glob("*.answer"):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        ages.append((status.st_mtime, status.st_size, path))
    total = sum(size for _, size, _ in ages)
    for _, size, path in sorted(ages):
        if total <= _CACHE_BYTES:
            return
        path.unlink(missing_ok=True)
        total -= size
