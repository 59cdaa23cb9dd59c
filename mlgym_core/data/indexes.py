"""Finding a file of a Python project on the index that pip uses on this machine."""

from __future__ import annotations

import html.parser
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from urllib.parse import unquote, urljoin

from mlgym_core.data.downloads import BROKEN_TRANSFER, request
from mlgym_core.errors import DataError
from mlgym_core.sandbox.environments import pip_settings

_ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.1"
_LISTING_LIMIT = 64 << 20
_SECONDS = 30.0


def url_on_index(project: str, file: str) -> str:
    """Return the URL of a file of a project.

    Raises:
        DataError: if no index of pip's has it.
    """
    problems = []
    for index in _indexes():
        try:
            for name, url in _listing(index, project):
                if name == file:
                    return url
            problems.append(f"an index has no {file}")
        except (*BROKEN_TRANSFER, KeyError, TypeError) as error:
            problems.append(f"an index cannot be read ({getattr(error, 'reason', error)})")
    raise DataError(f"{file} was not found: {'; '.join(problems) or 'pip, which names the indexes, is not installed'}")


def _indexes() -> Iterator[str]:
    """Yield the indexes that are on the web, the main one first."""
    settings = list(pip_settings())
    main = [value for name, value in settings if name == "index-url"][-1:]
    others = [value for name, value in settings if name == "extra-index-url"]
    for index in [*(main or _default_index()), *others]:
        if index.startswith(("https://", "http://")):
            yield index.rstrip("/") + "/"


def _default_index() -> list[str]:
    """Return the index that pip uses unless it is told otherwise. Only pip knows it."""
    asked = subprocess.run(
        [sys.executable, "-c", "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"],
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.split()


def _listing(index: str, project: str) -> Iterator[tuple[str, str]]:
    """Yield name and URL of each file of a project (PEP 503 and PEP 691)."""
    page = urljoin(index, re.sub(r"[-_.]+", "-", project).lower() + "/")
    with urllib.request.urlopen(request(page, {"Accept": _ACCEPT}), timeout=_SECONDS) as answer:  # noqa: S310
        content = answer.read(_LISTING_LIMIT).decode()
        base = answer.url
        kind = answer.headers.get_content_type()
    if kind.endswith("json"):
        for entry in json.loads(content)["files"]:
            yield entry["filename"], urljoin(base, entry["url"])
        return
    links = _Links()
    links.feed(content)
    for target in links.targets:
        url = urljoin(base, target)
        yield unquote(url.partition("#")[0].rpartition("/")[2]), url.partition("#")[0]


class _Links(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        target = dict(attrs).get("href")
        if tag == "a" and target:
            self.targets.append(target)
