"""A hook of mkdocs: the navigation of the site is what docs/index.md lists, under its headings.

It is imported by mkdocs, in an environment that has no mlgym.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_HEADING = re.compile(r"## (.+)")
_ENTRY = re.compile(r"\| \[(.+?)\]\((.+?\.md)\)")


def navigation(index: str) -> list[dict[str, Any]]:
    """Return the navigation that the text of the index implies.

    Raises:
        ValueError: if a page stands under no heading.
    """
    entries: list[dict[str, Any]] = [{"Documentation": "index.md"}]
    section: list[dict[str, str]] | None = None
    for line in index.splitlines():
        if heading := _HEADING.match(line):
            section = []
            entries.append({heading[1]: section})
        elif entry := _ENTRY.match(line):
            if section is None:
                raise ValueError(f"docs/index.md: {entry[2]} stands under no heading.")
            section.append({entry[1]: entry[2]})
    return entries


def on_config(config: Any) -> Any:
    """Set the navigation; mkdocs calls this before it looks at any page."""
    config.nav = navigation(Path(config.docs_dir, "index.md").read_text(encoding="utf-8"))
    return config
