"""Web pages that come where an answer of a model should be: those of proxies, firewalls and wrong addresses."""

from __future__ import annotations

import html
import re
import textwrap

BEGINS_WITH = "it answers with "
"""How the sentence of `said_by_page` begins."""
_PAGE = re.compile(
    # How LiteLLM quotes some.
    r"\s*(?:Unable to get json response - .{0,200}?, Original Response: )?(?:b['\"])?\s*"
    r"(<(?:!doctype\s+html|html|head|title|body|h1|center)\b.*)",
    re.IGNORECASE | re.DOTALL,
)
_END = re.compile(r".*</html>", re.IGNORECASE | re.DOTALL)
_TITLE = re.compile(r"<title[^<>]*>([^<]*)", re.IGNORECASE)
# Expressions, since the work of `html.parser` is quadratic in the length of some texts: 10,000 letters take it seconds.
_UNSEEN = re.compile(r"<(script|style|title)\b.*?(?:</\1[^<>]*>|\Z)|<!--.*?(?:-->|\Z)", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^<>]*>")
_ESCAPED_SPACE = re.compile(r"\\[nrt]")
"""As in the `repr` of bytes, in which LiteLLM quotes some."""
_READABLE_LETTERS = 200


def said_by_page(text: str) -> str | None:
    """Return a sentence, without its beginning, on the web page that a text is; None if it is none.

    It has the page's title and the text that a reader sees, shortened to whole words. Keys are such: they are taken out
    later, and what is left of one that was cut would not be found.
    """
    found = _PAGE.match(text)
    if found is None:
        return None
    whole = _END.match(found[1])
    page = found[1] if whole is None else whole[0]
    titled = _TITLE.search(page)
    title = "" if titled is None else _plain(titled[1])
    seen = _plain(_TAG.sub(" ", _UNSEEN.sub(" ", page)))
    if not seen.startswith(title):
        seen = f"{title}: {seen}" if seen else title
    if not seen:
        return f"{BEGINS_WITH}an empty web page."
    return f"{BEGINS_WITH}the web page “{textwrap.shorten(seen, _READABLE_LETTERS, placeholder=' …')}”."


def _plain(text: str) -> str:
    return " ".join(html.unescape(_ESCAPED_SPACE.sub(" ", text)).split())
