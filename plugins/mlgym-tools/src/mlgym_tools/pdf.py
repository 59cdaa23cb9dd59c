"""Reading PDFs that may be hostile."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from mlgym_core import ToolError
from mlgym_tools import pdf_reader

_SECONDS = 120.0
"""Wall time; the limit on processor time, which is shorter, is what usually ends it."""


@dataclass(frozen=True)
class PdfText:
    """Some pages of a PDF.

    Attributes:
        count: How many pages it has.
        pages: Numbers and texts of those that were read.
        whole: Whether the texts are complete.
    """

    count: int
    pages: list[tuple[int, str]]
    whole: bool


class _Answer(BaseModel):
    problem: str | None = None
    count: int = 0
    pages: list[tuple[int, str]] = []
    whole: bool = True


async def pdf_text(content: bytes, first: int, last: int, characters: int) -> PdfText:
    """Return the text of pages of a PDF, read by a process with limits on memory and time.

    Args:
        first: The first page, from 1.
        last: The last page; there may be fewer.
        characters: How much text may come.

    Raises:
        ToolError: if it cannot be read within the limits.
    """
    command = [sys.executable, "-I", str(Path(pdf_reader.__file__)), str(first), str(last), str(characters)]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={},
    )
    try:
        async with asyncio.timeout(_SECONDS):
            output, _ = await process.communicate(content)
    except TimeoutError:
        raise ToolError(f"The PDF cannot be read: it takes more than {_SECONDS:g} s.") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    try:
        answer = _Answer.model_validate_json(output)
    except ValidationError:
        limits = f"{pdf_reader.PROCESSOR_SECONDS} s and {pdf_reader.MEMORY_BYTES >> 20} MiB"
        raise ToolError(f"The PDF cannot be read within {limits}.") from None
    if answer.problem is not None:
        raise ToolError(f"The PDF cannot be read: {answer.problem}.")
    return PdfText(answer.count, answer.pages, answer.whole)
