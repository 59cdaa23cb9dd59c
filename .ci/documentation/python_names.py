"""The page of Python: every public name of `mlgym_core`, with its signature and what its docstring says."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from documentation.hooks import fields_table
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
    taken_apart,
)

INTRODUCTION = """
Every name that can be imported from `mlgym_core`, and from `mlgym_core.testing`. Nothing else is public.
[Python](../python.md) says how environments are used; specs and hooks have [a page of their own](hooks.md).
"""

HEADINGS = {
    "face": "Environments",
    "env": "Environments",
    "making": "Environments",
    "episode": "Environments",
    "limits": "Environments",
    "types": "Values",
    "interfaces": "What authors implement, and what they are handed",
    "specs": "Specs",
    "hookspecs": "Plugins",
    "host": "Plugins",
    "data": "Data",
    "predictions": "Writing graders",
    "splits": "Writing graders",
    "seeds": "Writing graders",
    "notes": "Writing tools",
    "sandbox": "Sandboxes",
    "settings": "Settings",
    "builtin": "Metrics",
    "conversations": "Reading records",
    "errors": "Errors",
    "testing": "Testing: `mlgym_core.testing`",
}
"""Under which heading the names of a module of the core stand, in this order."""


def python_page(core: ModuleType, testing: ModuleType) -> str:
    """Return the page.

    Args:
        core: The module with the public names, which its `dir` lists.
        testing: The kit for authors, whose `__all__` lists its names.

    Raises:
        UndocumentedError: if a name, a method or a field has no docstring, or no heading.
    """
    named = [(name, getattr(core, name), core) for name in dir(core) if not name.startswith("_")]
    named += [(name, getattr(testing, name), testing) for name in sorted(testing.__all__)]
    sections: dict[str, list[str]] = {heading: [] for heading in HEADINGS.values()}
    for name, value, source in named:
        value = inspect.unwrap(value)
        module = "testing" if source is testing else _home(name, value, core)
        if module not in HEADINGS:
            remedy = f"Say in .ci/documentation/python_names.py under which heading the names of `{module}` stand."
            raise UndocumentedError(f"where `{name}` belongs", remedy)
        sections[HEADINGS[module]].append("\n".join(_entry(name, value, core)))
    parts = [[f"## {heading}\n", *entries] for heading, entries in sections.items() if entries]
    return page("Python names", INTRODUCTION, [text for part in parts for text in part])


def _home(name: str, value: Any, core: ModuleType) -> str:
    """Return the module in the core, or the package in it, that a name comes from."""
    module = getattr(value, "__module__", "") if isinstance(value, type) or inspect.isfunction(value) else ""
    if not module.startswith("mlgym_core."):
        module = core._MODULE_OF.get(name, name)
    return module.removeprefix("mlgym_core.").partition(".")[0]


def _entry(name: str, value: Any, core: ModuleType) -> Iterator[str]:
    value = inspect.unwrap(value)
    yield f"### `{name}`\n"
    if isinstance(value, type):
        yield from _class(name, value)
    elif inspect.isfunction(value):
        yield from _function(name, value, "")
    else:
        yield _constant_text(name, core) + "\n"


def _class(name: str, kind: type[Any]) -> Iterator[str]:
    docstring = docstring_of(kind, name)
    bases = [base.__name__ for base in kind.__bases__ if base.__module__.startswith("mlgym_core")]
    derived = f"Derives from {' and '.join(f'`{base}`' for base in bases)}. " if bases else ""
    yield derived + docstring.text + "\n"
    if dataclasses.is_dataclass(kind):
        yield fields_table(kind)
    elif typing.is_typeddict(kind) or hasattr(kind, "model_fields"):
        yield typed_fields_table(kind)
    else:
        if "__init__" in vars(kind) and docstring.items.get("Args"):
            yield block(signature_text(name, kind))
            yield _items_table("argument", docstring.items["Args"])
        if docstring.fields:
            yield _items_table("attribute", docstring.fields)
    if docstring.example:
        yield block(docstring.example)
    members = dict(_members(kind))
    properties = {key: member for key, member in members.items() if isinstance(member, property)}
    if properties:
        texts = {key: docstring_of(member, f"{name}.{key}").text for key, member in properties.items()}
        yield _items_table("property", texts)
    for key, member in members.items():
        if key not in properties:
            yield from _function(key, member, f"{name}.")


def _members(kind: type[Any]) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties that a class itself has."""
    if issubclass(kind, BaseException) or typing.is_typeddict(kind):
        return
    fields = {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    for name, member in vars(kind).items():
        # Tests of a conformance class say by their names what they hold.
        if name.startswith(("_", "test_")) or name in fields:
            continue
        function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if isinstance(function, property) or inspect.isfunction(function):
            yield name, function


def _function(name: str, function: Any, owner: str) -> Iterator[str]:
    docstring = docstring_of(function, owner + name)
    signature = signature_text(name, function)
    yield f"**`{name}`**\n\n{block(signature)}" if owner else block(signature)
    yield docstring.text + "\n"
    for section, heading in (("Args", "argument"), ("Raises", "raises")):
        if items := docstring.items.get(section):
            yield _items_table(heading, items)
    if docstring.example:
        yield block(docstring.example)


def typed_fields_table(kind: type[Any]) -> str:
    """Return a table of the fields of a pydantic model or a `TypedDict`.

    Raises:
        UndocumentedError: if one is not named below `Attributes:`.
    """
    texts = docstring_of(kind, kind.__name__).fields
    models = getattr(kind, "model_fields", {})
    rows = []
    for name, annotation in inspect.get_annotations(kind).items():
        if name not in texts:
            raise UndocumentedError(f"the field `{name}` of `{kind.__name__}`", "Add it to `Attributes:`.")
        shown = (models[name].alias or name) if name in models else name
        default = ""
        if name in models:
            default = "always there" if models[name].is_required() else code(_model_default(models[name]))
        rows.append((code(shown), code(annotation_text(annotation)), default, cell(texts[name])))
    if not models:
        return table(("key", "type", "meaning"), [(name, kind_, text) for name, kind_, _, text in rows])
    return table(("field", "type", "default", "meaning"), rows)


def _model_default(field: Any) -> str:
    return default_text(field.get_default(call_default_factory=True))


def _items_table(heading: str, items: typing.Mapping[str, str]) -> str:
    return table((heading, "meaning"), [(code(name), cell(text)) for name, text in items.items()])


def _constant_text(name: str, core: ModuleType) -> str:
    """Return the string that follows the assignment of a constant in its module's source."""
    # Names of the kit for authors come from modules that it imports them from.
    names = [core._MODULE_OF[name]] if name in core._MODULE_OF else sorted(sys.modules)
    files = [sys.modules[module].__file__ for module in names if module.startswith("mlgym_core.")]
    found = (constant_docstrings(Path(file)).get(name) for file in files if file is not None)
    text = next((text for text in found if text is not None), None)
    if text is None:
        raise UndocumentedError(f"`{name}`", "Write a string below its assignment.")
    return taken_apart(text).text


def constant_docstrings(path: Path) -> dict[str, str]:
    """Return what the strings below assignments in a module say, by the names that are assigned."""
    found: dict[str, str] = {}
    body = ast.parse(path.read_text(encoding="utf-8")).body
    for statement, following in itertools.pairwise(body):
        target: ast.expr | None = None
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
        elif isinstance(statement, ast.AnnAssign):
            target = statement.target
        is_text = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
        if isinstance(target, ast.Name) and is_text:
            assert isinstance(following, ast.Expr)
            assert isinstance(following.value, ast.Constant)
            found[target.id] = " ".join(str(following.value.value).split())
    return found
