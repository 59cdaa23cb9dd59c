"""The page of hooks: what a plugin can implement, and the specs that it yields."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from documentation.writing import (
    UndocumentedError,
    annotation_text,
    block,
    cell,
    code,
    default_text,
    docstring_of,
    page,
    signature_text,
    table,
)

INTRODUCTION = """
Every hook, and every field of what hooks yield. [Hooks](../hooks.md) says how a plugin is made.
"""


def hooks_page(hooks: ModuleType, specs: ModuleType) -> str:
    """Return the page.

    Args:
        hooks: The module with the hooks, functions whose names begin with `mlgym_`.
        specs: The module with what they yield.

    Raises:
        UndocumentedError: if a hook, a spec or a field has no docstring.
    """
    return page("Hooks and specs", INTRODUCTION, [*_hooks(hooks), *_specs(specs)])


def _hooks(hooks: ModuleType) -> Iterator[str]:
    for name, hook in vars(hooks).items():
        if not name.startswith("mlgym_"):
            continue
        docstring = docstring_of(hook, name)
        if not docstring.example:
            raise UndocumentedError(f"how `{name}` is used", "Give its docstring an `Example:`.")
        yield f"## `{name}`\n"
        yield block(signature_text(name, hook))
        yield docstring.text + "\n"
        yield block(docstring.example)


def _specs(specs: ModuleType) -> Iterator[str]:
    for name, kind in vars(specs).items():
        is_ours = dataclasses.is_dataclass(kind) and inspect.isclass(kind) and kind.__module__ == specs.__name__
        if is_ours and name != "Spec":
            yield f"## `{name}`\n"
            yield docstring_of(kind, name).text + "\n"
            yield fields_table(kind)


def fields_table(kind: type[Any]) -> str:
    """Return a table of the fields of a dataclass.

    Raises:
        UndocumentedError: if one is not named below `Attributes:`.
    """
    texts: dict[str, str] = {}
    for ancestor in reversed(kind.__mro__):
        if dataclasses.is_dataclass(ancestor) and ancestor.__doc__:
            texts |= docstring_of(ancestor, ancestor.__name__).fields
    rows = []
    for field in dataclasses.fields(kind):
        if field.name.startswith("_"):
            continue
        if field.name not in texts:
            raise UndocumentedError(f"the field `{field.name}` of `{kind.__name__}`", "Add it to `Attributes:`.")
        if field.default is not dataclasses.MISSING:
            default = code(default_text(field.default))
        else:
            default = "…" if field.default_factory is not dataclasses.MISSING else "must be given"
        rows.append((code(field.name), code(annotation_text(field.type)), default, cell(texts[field.name])))
    return table(("field", "type", "unless given", "meaning"), rows)
