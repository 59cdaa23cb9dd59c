"""The site of the documentation: it is built without a warning, no link of it is broken, it fetches nothing."""

from __future__ import annotations

import os
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit
from xml.etree import ElementTree

import pytest

import site_navigation

ROOT = Path(__file__).parents[2]
MKDOCS = ROOT / ".venv-site" / "bin" / "mkdocs"
# What browsers fetch by themselves, by element. Links that only a reader follows may lead anywhere.
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "object": "data"}
RELATIONS = {"stylesheet", "preload", "prefetch", "preconnect", "dns-prefetch", "icon", "modulepreload"}

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("site")]


class Page(HTMLParser):
    """What a page has: ids that links can lead to, links, and what a browser fetches for it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        if "id" in values:
            self.ids.add(values["id"])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag in FETCHED and values.get(FETCHED[tag]):
            self.fetched.append(values[FETCHED[tag]])
        if tag == "link" and RELATIONS & set(values.get("rel", "").split()):
            self.fetched.append(values["href"])


def build(folder: Path, *, configuration: Path = ROOT / ".ci" / "mkdocs.yml") -> subprocess.CompletedProcess[str]:
    command = [str(MKDOCS), "build", "--strict", "--config-file", str(configuration)]
    return subprocess.run(
        [*command, "--site-dir", str(folder)],
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; skips where what builds it is not installed."""
    if not MKDOCS.exists():
        assert not os.environ.get("MLGYM_REQUIRE_SITE"), "What builds the site is not installed."
        pytest.skip("make docs has not been called")
    folder = tmp_path_factory.mktemp("site")
    built = build(folder)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_every_page_is_there(site: Path) -> None:
    sources = {path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")}
    examples = {path for path in sources if path.parts[0] == "examples"}
    assert {path.relative_to(site).with_suffix("") for path in site.rglob("*.html")} >= sources - examples


def test_every_link_leads_somewhere(site: Path) -> None:
    pages = {path.resolve(): Page(path) for path in site.rglob("*.html") if path.name != "404.html"}
    looked_at = 0
    for path, page in pages.items():
        for link in page.links + page.fetched:
            if urlsplit(link).scheme or link.startswith("//"):
                continue
            target, fragment = urldefrag(unquote(link))
            destination = (path.parent / target).resolve() if target else path
            destination = destination / "index.html" if destination.is_dir() else destination
            assert destination.exists(), (path.name, link)
            if fragment and destination in pages:
                assert fragment in pages[destination].ids, (path.name, link)
            looked_at += 1
    assert looked_at > 100


def test_nothing_is_fetched_from_other_hosts(site: Path) -> None:
    for path in site.rglob("*.html"):
        for address in Page(path).fetched:
            assert not urlsplit(address).netloc, (path.name, address)
    for path in [*site.rglob("*.css"), *site.rglob("*.svg")]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"""url\(\s*["']?(https?:)?//|@import|\bhref=["'](https?:)?//""", text), path.name


def test_what_a_browser_fetches_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        '<script src="//a.example/x.js"></script><link rel="preconnect" href="https://b.example"><a href="y">'
    )
    assert Page(page).fetched == ["//a.example/x.js", "https://b.example"]
    assert Page(page).links == ["y"]


def test_a_broken_link_fails_the_build(site: Path, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Index\n\n[nowhere](nowhere.md)\n")
    for name in ("mkdocs.yml", "site_navigation.py"):
        text = (ROOT / ".ci" / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace("../", "").replace("extra_css: [images/site.css]\n", ""))
    built = build(tmp_path / "site", configuration=tmp_path / "mkdocs.yml")
    assert built.returncode != 0
    assert "nowhere.md" in built.stdout + built.stderr


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "images").glob("*.svg")), ids=lambda path: path.name)
def test_a_drawing_can_be_read(path: Path) -> None:
    drawing = ElementTree.parse(path).getroot()
    space = "{http://www.w3.org/2000/svg}"
    # For those who cannot see it, and for searches.
    assert all(drawing.findtext(f"{space}{name}") for name in ("title", "desc"))
    assert len(drawing.findall(f".//{space}text")) > 10
    assert "prefers-color-scheme: dark" in (drawing.findtext(f"{space}style") or "")
    pages = [page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md")]
    assert any(f"(images/{path.name})" in text for text in pages)


def test_the_navigation_is_that_of_the_index() -> None:
    index = "# Index\n\n## Begin\n\n| page | for |\n| --- | --- |\n| [First](first.md) | a [second](second.md) |\n"
    assert site_navigation.navigation(index)[1:] == [{"Begin": [{"First": "first.md"}]}]
    with pytest.raises(ValueError, match="under no heading"):
        site_navigation.navigation("| [First](first.md) | x |")
