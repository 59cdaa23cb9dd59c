"""`make reference`: write the pages that are made from the code."""

from __future__ import annotations

import sys

from documentation.pages import ROOT, rendered_pages
from documentation.writing import UndocumentedError


def main() -> None:
    """Write all pages, and name those that changed."""
    try:
        pages = rendered_pages()
    except UndocumentedError as error:
        sys.exit(f"Error: {error}")
    for path, text in pages.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"{path.relative_to(ROOT)} is written anew")


if __name__ == "__main__":
    main()
