"""What all generated pages share: docstrings taken apart, signatures, tables."""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ForwardRef

HEADER = "<!-- Written by `make reference` from the code: change that instead. -->\n"
_SECTION = re.compile(r"(Args|Fields|Attributes|Class attributes|Raises|Returns|Example|Examples):\Z")
_ITEM = re.compile(r"`?(\w[\w.]*)`?: (.*)\Z")


class UndocumentedError(Exception):
    """Something public has no documentation.

    Args:
        what: What it is, such as "the option --seed of `mlgym run`".
        remedy: Where to write it.
    """

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"There is nothing to be read about {what}. {remedy}")


@dataclasses.dataclass(frozen=True)
class Docstring:
    """A docstring in its parts.

    Attributes:
        text: The prose, in Markdown.
        items: Sections such as `Args`, each a text for each name.
        example: Code, or an empty text.
    """

    text: str
    items: Mapping[str, Mapping[str, str]]
    example: str

    @property
    def fields(self) -> dict[str, str]:
        """What is said of attributes, those of classes included."""
        return {**self.items.get("Class attributes", {}), **self.items.get("Attributes", {})}


def docstring_of(owner: object, name: str) -> Docstring:
    """Return the docstring of a class, function or property.

    Raises:
        UndocumentedError: if it has none of its own, nor inherits any from a class of ours.
    """
    text = inspect.getdoc(owner)
    if not text or (isinstance(owner, type) and not owner.__doc__):
        raise UndocumentedError(f"`{name}`", "Give it a docstring.")
    return taken_apart(text)


def taken_apart(text: str) -> Docstring:
    """Take a cleaned docstring apart."""
    prose: list[str] = []
    sections: dict[str, list[str]] = {}
    current: list[str] = prose
    for line in text.splitlines():
        if match := _SECTION.match(line):
            current = sections.setdefault(match[1], [])
        elif current is not prose and line and not line.startswith(" "):
            current = prose
            prose.append(line)
        else:
            current.append(line)
    items = {name: _items(lines) for name, lines in sections.items() if not name.startswith("Example")}
    example = textwrap.dedent("\n".join(sections.get("Example", sections.get("Examples", [])))).strip()
    return Docstring("\n".join(prose).strip(), items, example)


def _items(lines: Sequence[str]) -> dict[str, str]:
    items: dict[str, str] = {}
    name = ""
    for line in textwrap.dedent("\n".join(lines)).splitlines():
        match = _ITEM.match(line)
        if match:
            name = match[1]
            items[name] = match[2]
        elif name and line.strip():
            items[name] += " " + line.strip()
    return items


def annotation_text(annotation: Any) -> str:
    """Return a type as it is written in the source."""
    if isinstance(annotation, ForwardRef):
        return annotation.__forward_arg__
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def default_text(value: Any) -> str:
    """Return a default value as it is written, or an ellipsis for what has no short name."""
    text = repr(value)
    return "…" if " at 0x" in text or text.startswith("<") else text.replace("'", '"')


def signature_text(name: str, function: Callable[..., Any]) -> str:
    """Return the signature of a function or class, without `self`."""
    signature = inspect.signature(function)
    parts: list[str] = []
    keyword_only = False
    for parameter in signature.parameters.values():
        if parameter.name in ("self", "cls") and not parts:
            continue
        if parameter.kind is parameter.VAR_POSITIONAL or parameter.kind is parameter.VAR_KEYWORD:
            stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
            keyword_only = keyword_only or stars == "*"
        else:
            stars = ""
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            parts.append("*")
            keyword_only = True
        text = stars + parameter.name
        if parameter.annotation is not parameter.empty:
            text += f": {annotation_text(parameter.annotation)}"
        if parameter.default is not parameter.empty:
            text += f" = {default_text(parameter.default)}"
        parts.append(text)
    returned = signature.return_annotation
    result = "" if returned in (signature.empty, "None", None) else f" -> {annotation_text(returned)}"
    waiting = "async " if inspect.iscoroutinefunction(function) else ""
    return f"{waiting}{name}({', '.join(parts)}){result}"


def code(text: str) -> str:
    """Return a text as code in a cell of a table."""
    return f"`{cell(text)}`" if text else ""


def cell(text: str) -> str:
    """Return a text that can stand in a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; cells are Markdown already."""
    lines = [f"| {' | '.join(headings)} |", f"| {' | '.join('---' for _ in headings)} |"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def block(text: str, language: str = "python") -> str:
    """Return a block of code."""
    return f"```{language}\n{text}\n```\n"


def page(title: str, introduction: str, sections: Iterable[str]) -> str:
    """Return a whole page."""
    return "\n".join([f"# {title}\n", HEADER, introduction.strip() + "\n", *sections]).rstrip() + "\n"
