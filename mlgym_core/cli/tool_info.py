"""`mlgym info TOOL`."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pydantic import BaseModel

    from mlgym_core.host import Host

_OWN_PARAMETERS = 2
"""`self` and `context`; what follows are arguments."""


def show_tool(host: Host, name: str, *, as_json: bool) -> None:
    """Print what a tool does, its arguments and options, and the grant that it needs."""
    from mlgym_core.cli.listings import tool_row
    from mlgym_core.signatures import parameters_model
    from mlgym_core.toolbox import tool_options_model

    entry = host.tools.entry(name)
    kind = host.tools.load(name)
    facts = tool_row(entry) | {
        "description": inspect.cleandoc(kind.run.__doc__ or ""),
        "arguments": _parameters(parameters_model(name, kind.run, skip=_OWN_PARAMETERS)),
        "options": _parameters(tool_options_model(host, name)),
        "notes": inspect.cleandoc(kind.__doc__ or ""),
    }
    if as_json:
        click.echo(json.dumps(facts, default=str))
        return
    click.echo(f"{name}  (tool)\n{facts['summary']}\n")
    click.echo(f"  from            {facts['distribution']} {facts['version']}")
    grant = facts["grant"]
    click.echo(f"  offered         {_offered(default=facts['default'], grant=grant)}")
    if grant:
        click.echo(f"  grant           {grant}: only with --grant {grant}; results are flagged {grant!r}")
    for kind_of_row, flag in (("arguments", ""), ("options", f"-T {name}.")):
        for row in facts[kind_of_row] or [None]:
            text = "none" if row is None else f"{flag}{row['name']}: {row['type']}{_default(row)}"
            click.echo(f"  {kind_of_row[:-1]:<15} {text}")
    click.echo(f"\nWhat agents are told:\n\n{facts['description']}")
    if facts["notes"]:
        click.echo(f"\nWhat it is:\n\n{facts['notes']}")


def _offered(*, default: bool, grant: str | None) -> str:
    if not default:
        return "if --tools names it"
    return "by default" if grant is None else "by default, where it is granted"


def _parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "type": inspect.formatannotation(field.annotation).replace("typing.", ""),
            "required": field.is_required(),
            "default": None if field.is_required() else field.default,
        }
        for name, field in model.model_fields.items()
    ]


def _default(row: dict[str, Any]) -> str:
    return " (required)" if row["required"] else f" = {row['default']!r}"
