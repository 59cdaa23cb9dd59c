"""The page of the record: every event with its fields, and every field of results, from the code that writes them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from documentation.python_names import typed_fields_table
from documentation.writing import UndocumentedError, annotation_text, cell, code, docstring_of, page, table
from mlgym_core.interfaces import EpisodeEvent, ModelReply
from mlgym_core.types import Compute, EpisodeResult, Integrity, Observation, Score, Tokens

INTRODUCTION = """
Every event of `trajectory.jsonl` with its fields, and the documents that events and results hold. Each event has
`seq` (its number, from 0), `t` (seconds since reset) and `type`, too. [The record](../record.md) says how they belong
together.
"""
_SAMPLES: Mapping[str, Any] = {
    "str": "",
    "int": 0,
    "float": 0.0,
    "float | None": None,
    "str | None": None,
    "Compute": Compute(command_s=0.0),
    "Observation": Observation(text=""),
    "Score": Score(
        task="", variant="", split="test", protocol="strict", valid=True, primary="", direction="maximize", baseline=0.0
    ),
    "ModelReply | None": ModelReply(text=""),
}
"""A value of each type that events are made of."""
_SPREAD: Mapping[str, type[Any]] = {"Compute": Compute, "Observation": Observation, "ModelReply | None": ModelReply}
"""Arguments whose fields become fields of the event."""


def record_page(journal: type[Any]) -> str:
    """Return the page.

    Args:
        journal: The class that writes events, with a method for each type.

    Raises:
        UndocumentedError: if an event or a field has no docstring.
    """
    return page("Events and results", INTRODUCTION, [*_events(journal), *_documents()])


def _events(journal: type[Any]) -> Iterator[str]:
    for name, method in vars(journal).items():
        if name.startswith("_") or name == "close" or not inspect.isfunction(method):
            continue
        event = _sample(journal, name)
        docstring = docstring_of(method, f"{journal.__name__}.{name}")
        known = _known_fields(method, docstring.items.get("Args", {}), docstring.items.get("Fields", {}))
        rows = []
        for field in event.fields:
            if field not in known:
                remedy = f"Add it to `Args:` or `Fields:` of `{journal.__name__}.{name}`."
                raise UndocumentedError(f"the field `{field}` of the event `{event.type}`", remedy)
            rows.append((code(field), code(known[field][0]), cell(known[field][1])))
        yield f"## `{event.type}`\n"
        yield docstring.text + "\n"
        yield table(("field", "type", "meaning"), rows)


def _sample(journal: type[Any], name: str) -> EpisodeEvent:
    """Return an event as the method of that name makes it."""
    events: list[EpisodeEvent] = []
    arguments: dict[str, Any] = {}
    positional: list[Any] = []
    method = getattr(journal("", None, [("reference", events.append)]), name)
    for parameter in inspect.signature(method).parameters.values():
        kind = annotation_text(parameter.annotation)
        value = {} if kind.startswith("Mapping") else () if kind.startswith("Sequence") else _SAMPLES.get(kind)
        if parameter.kind is parameter.KEYWORD_ONLY:
            arguments[parameter.name] = value
        else:
            positional.append(value)
    method(*positional, **arguments)
    return events[0]


def _known_fields(method: Any, arguments: Mapping[str, str], others: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return the type and the meaning of everything that an event may have as a field.

    Args:
        method: What records the event.
        arguments: What its docstring says of its arguments.
        others: What it says of fields that are no arguments, all of them texts.
    """
    known = {name: ("str", text) for name, text in others.items()}
    for parameter in inspect.signature(method).parameters.values():
        kind = annotation_text(parameter.annotation)
        if kind in _SPREAD:
            spread = _SPREAD[kind]
            texts = docstring_of(spread, spread.__name__).fields
            types = inspect.get_annotations(spread)
            spread_fields = {
                name: (annotation_text(types[name]), text) for name, text in texts.items() if name in types
            }
            known = spread_fields | known
        # Fields that bear the name of an argument, or, where Python has taken it, that name with an underscore.
        name = parameter.name.rstrip("_")
        if parameter.name in arguments:
            known[name] = (kind, arguments[parameter.name])
    return known


def _documents() -> Iterator[str]:
    for heading, kind in (
        ("`episode.json`, and a line of `mlgym run --json`", EpisodeResult),
        ("`score`", Score),
        ("`compute`", Compute),
        ("`tokens`", Tokens),
        ("`integrity`", Integrity),
    ):
        yield f"## {heading}\n"
        yield typed_fields_table(kind)
