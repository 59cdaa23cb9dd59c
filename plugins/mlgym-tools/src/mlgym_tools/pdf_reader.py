"""The text of a PDF, in a process that limits itself, since a PDF can be made to take all memory or all time.

`pdf_reader.py FIRST LAST CHARACTERS` reads the PDF from its input and prints the text of these pages as JSON.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any

MEMORY_BYTES = 1 << 30
PROCESSOR_SECONDS = 30


def main(first: int, last: int, characters: int) -> dict[str, Any]:
    """Return the number of pages and the text of some of them, as many as there is room for."""
    # Before anything of the file is looked at, and before the library that does so is imported.
    for kind, limit in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, PROCESSOR_SECONDS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (limit, limit))
    import io

    from pypdf import PdfReader

    reader = PdfReader(io.BytesIO(sys.stdin.buffer.read()))
    if reader.is_encrypted and not reader.decrypt(""):
        return {"problem": "it is encrypted, and its password is not known"}
    count = len(reader.pages)
    pages: list[tuple[int, str]] = []
    room = characters
    for number in range(first, min(last, count) + 1):
        # Fonts may say that their letters are halves of surrogate pairs, which are no characters.
        text = reader.pages[number - 1].extract_text().encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        pages.append((number, text[:room]))
        room -= len(text)
        if room <= 0:
            break
    return {"count": count, "pages": pages, "whole": room >= 0}


if __name__ == "__main__":
    answer: dict[str, Any]
    try:
        answer = main(*map(int, sys.argv[1:]))
    except MemoryError:
        answer = {"problem": f"it takes more than {MEMORY_BYTES >> 20} MiB of memory"}
    except Exception as error:  # noqa: BLE001 - whatever a broken file does to the library
        answer = {"problem": f"{type(error).__name__}: {str(error)[:200]}"}
    print(json.dumps(answer))
