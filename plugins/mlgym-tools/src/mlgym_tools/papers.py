"""What arXiv and Semantic Scholar say of papers, read from the answers of their interfaces."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mlgym_core import ToolError
from mlgym_tools.documents import escaped

ARXIV = "export.arxiv.org"
SEMANTIC_SCHOLAR = "api.semanticscholar.org"
_ATOM = "{http://www.w3.org/2005/Atom}"
_ARXIV_ERRORS = "/api/errors"
_FIELDS = "title,abstract,authors,year,externalIds,openAccessPdf,citationCount,url"
_ARXIV_ID = re.compile(r"(?:arxiv:)?((?:\d{4}\.\d{4,5}|[a-z-]+(?:\.[a-z]{2})?/\d{7})(?:v\d+)?)\Z", re.IGNORECASE)
_LONGEST_ABSTRACT = 2000
_LONGEST_LINE = 300
_MOST_AUTHORS = 8


@dataclass(frozen=True, kw_only=True)
class Paper:
    """A paper in a list.

    Attributes:
        published: When, as far as it is known.
        origin: Where it can be found: an identifier or a URL.
        pdf: URL of its PDF, or empty.
        citations: How often it was cited, or None.
    """

    title: str
    authors: Sequence[str]
    published: str
    abstract: str
    origin: str
    pdf: str
    citations: int | None = None

    def text(self, number: int) -> str:
        """Return it as an agent reads it."""
        names = ", ".join(_line(name) for name in self.authors[:_MOST_AUTHORS])
        more = f" and {len(self.authors) - _MOST_AUTHORS} more" if len(self.authors) > _MOST_AUTHORS else ""
        cited = "" if self.citations is None else f", cited {self.citations:,} times"
        pdf = f"\n   PDF: {_line(self.pdf)}" if self.pdf else ""
        abstract = escaped(" ".join(self.abstract.split()))
        cut = " […]" if len(abstract) > _LONGEST_ABSTRACT else ""
        return (
            f"{number}. {_line(self.title)} ({_line(self.published) or 'no date'})\n   {names or 'no authors'}{more}\n"
            f"   {_line(self.origin)}{cited}{pdf}\n   {abstract[:_LONGEST_ABSTRACT]}{cut}"
        )


def _line(text: str) -> str:
    return escaped(" ".join(text.split()))[:_LONGEST_LINE]


def arxiv_id(text: str) -> str | None:
    """Return the arXiv identifier that a text is, such as `2401.01234v2` or `cs.LG/0601001`; None if it is none."""
    match = _ARXIV_ID.match(text.strip())
    return None if match is None else match[1]


def arxiv_search(query: str, count: int) -> str:
    """Return the URL of a search on arXiv for papers that have all words; words in quotes stand together.

    Raises:
        ToolError: if there is no word in the query.
    """
    terms = [
        " ".join(re.findall(r"[\w.+-]+", quoted or plain)) for quoted, plain in re.findall(r'"([^"]*)"|(\S+)', query)
    ]
    wanted = [f'all:"{term}"' if " " in term else f"all:{term}" for term in terms if term]
    if not wanted:
        raise ToolError("The query has no word in it.")
    asked = {"search_query": " AND ".join(wanted), "start": 0, "max_results": count, "sortBy": "relevance"}
    return f"https://{ARXIV}/api/query?{urlencode(asked)}"


def arxiv_papers(answer: bytes) -> list[Paper]:
    """Return the papers in an answer of arXiv, an Atom feed.

    Raises:
        ToolError: if it is none, or says that the search was wrong.
    """
    try:
        # No feed declares a document type, which is where entities that grow without bounds would be.
        feed = fromstring(answer, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise ToolError(f"arXiv's answer cannot be read: {type(error).__name__}.") from None
    papers = []
    for entry in feed.findall(f"{_ATOM}entry"):
        identifier = _text(entry, "id")
        if _ARXIV_ERRORS in identifier:
            raise ToolError(f"arXiv refused the search: {_line(_text(entry, 'summary'))}")
        number = identifier.rpartition("/abs/")[2]
        papers.append(
            Paper(
                title=_text(entry, "title"),
                authors=[_text(author, "name") for author in entry.findall(f"{_ATOM}author")],
                published=_text(entry, "published")[:10],
                abstract=_text(entry, "summary"),
                origin=f"arXiv:{number}",
                pdf=f"https://arxiv.org/pdf/{number}" if arxiv_id(number) else "",
            )
        )
    return papers


def _text(element: Element, name: str) -> str:
    return (element.findtext(f"{_ATOM}{name}") or "").strip()


def semantic_scholar_search(query: str, count: int) -> str:
    """Return the URL of a search on Semantic Scholar.

    Raises:
        ToolError: if the query is empty.
    """
    if not query.strip():
        raise ToolError("The query is empty.")
    asked = {"query": " ".join(query.split()), "limit": count, "fields": _FIELDS}
    return f"https://{SEMANTIC_SCHOLAR}/graph/v1/paper/search?{urlencode(asked)}"


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Author(_Lenient):
    name: str | None = None


class _OpenPdf(_Lenient):
    url: str | None = None


class _Found(_Lenient):
    paperId: str | None = None  # noqa: N815 - their name
    title: str | None = None
    abstract: str | None = None
    authors: list[_Author] | None = None
    year: int | None = None
    externalIds: dict[str, str | int] | None = None  # noqa: N815 - their name
    openAccessPdf: _OpenPdf | None = None  # noqa: N815 - their name
    citationCount: int | None = None  # noqa: N815 - their name
    url: str | None = None


class _Search(_Lenient):
    total: int
    data: list[_Found] = Field(default_factory=list)


def semantic_scholar_papers(answer: bytes, cleaned: Callable[[str], str] = str) -> list[Paper]:
    """Return the papers in an answer of Semantic Scholar.

    Args:
        answer: The answer.
        cleaned: Takes out of a text what must not be in it.

    Raises:
        ToolError: if it is none.
    """
    try:
        found = _Search.model_validate_json(answer).data
    except ValidationError:
        raise ToolError("Semantic Scholar's answer cannot be read: it is not what it is documented to be.") from None
    papers = []
    for one in found:
        number = str((one.externalIds or {}).get("ArXiv", ""))
        pdf = one.openAccessPdf.url if one.openAccessPdf is not None else None
        papers.append(
            Paper(
                title=cleaned(one.title or ""),
                authors=[cleaned(author.name or "") for author in one.authors or ()],
                published=str(one.year or ""),
                abstract=cleaned(one.abstract or ""),
                origin=cleaned(f"arXiv:{number}" if number else one.url or one.paperId or ""),
                pdf=cleaned(f"https://arxiv.org/pdf/{number}" if arxiv_id(number) else pdf or ""),
                citations=one.citationCount,
            )
        )
    return papers
