"""What `mlgym info` says of an agent, a tool, or a provider of models: above all its options."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from mlgym_core.errors import PluginError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from mlgym_core.host import Host
    from mlgym_core.specs import SuiteSpec

KINDS = {"agent": "-A ", "tool": "-T {id}.", "model": "-M "}
"""The kinds of things that are described here, and what stands before the name of an option of theirs."""
_OWN_PARAMETERS = {"agent": 1, "tool": 1, "model": 3}
"""Parameters of `__init__` that are no options: `self`; of a provider its own name and the model's, too."""
_OWN_PARAMETERS_OF_RUN = 2
"""Likewise those of a tool's `run` that are no arguments: `self` and the context."""


def facts_of(host: Host, kind: str, name: str) -> dict[str, Any]:
    """Return what is known of an agent, a tool or a provider of models.

    Raises:
        UnknownNameError: if there is none.
        PluginError: if it cannot be loaded.
    """
    entry = host.registry(kind).entry(name)
    found: Any = getattr(host, f"{kind}s").load(name)
    described = found.run if kind == "tool" else found
    facts: dict[str, Any] = {
        "kind": kind,
        "id": name,
        "summary": entry.spec.summary,
        "distribution": entry.distribution,
        "version": entry.version,
        "description": _prose(inspect.getdoc(described) or ""),
        "options": _parameters(name, found.__init__, found, _OWN_PARAMETERS[kind]),
    }
    if kind == "agent":
        spec = entry.spec
        tools = None if spec.tools is None else list(spec.tools)
        facts |= {"needs_model": spec.needs_model, "needs_tools": list(spec.needs_tools), "tools": tools}
        facts |= {"default": spec.default, "limits": dict(spec.limits)}
    if kind == "tool":
        arguments = _parameters(name, found.run, found.run, _OWN_PARAMETERS_OF_RUN)
        facts |= {"default": entry.spec.default, "grant": entry.spec.grant, "arguments": arguments}
    return facts


def show(facts: Mapping[str, Any]) -> None:
    """Print such facts for people."""
    click.echo(f"{facts['kind']} {facts['id']}: {facts['summary']}\n")
    click.echo(f"  from     {facts['distribution']} {facts['version']}")
    if facts["kind"] == "agent":
        needed = "needed: --model; plays unless --agent names another" if facts["default"] else "needed: --model"
        click.echo(f"  model    {needed if facts['needs_model'] else 'not needed'}")
        click.echo(f"  tools    {', '.join(facts['tools']) if facts['tools'] else 'the default ones'}")
        if facts["needs_tools"]:
            click.echo(f"  needs    {', '.join(facts['needs_tools'])}")
        limits = ", ".join(f"{name} {value}" for name, value in facts["limits"].items())
        click.echo(f"  limits   {limits or 'those of the run'}")
    if facts["kind"] == "tool":
        grant = facts["grant"]
        click.echo(f"  offered  {_offered(default=facts['default'], grant=grant)}")
        if grant is not None:
            click.echo(f"  grant    {grant}: only with --grant {grant}; results are flagged {grant!r}")
    if facts["description"]:
        click.echo(f"\n{textwrap.indent(facts['description'], '  ')}")
    if facts["kind"] == "tool":
        _show_parameters("Arguments", "", facts["arguments"])
    _show_parameters("Options", KINDS[facts["kind"]].format(id=facts["id"]), facts["options"])


def facts_of_suite(host: Host, name: str) -> dict[str, Any]:
    """Return what is known of a suite.

    Raises:
        UnknownNameError: if there is none.
    """
    from mlgym_core.cli.listings import suite_row

    entry = host.suites.entry(name)
    return (
        {"kind": "suite"} | suite_row(entry) | {"tasks": [_task_of(host, entry.spec, id_) for id_ in entry.spec.tasks]}
    )


def _task_of(host: Host, suite: SuiteSpec, task: str) -> dict[str, Any]:
    from dataclasses import asdict

    entry = next((entry for entry in host.tasks.entries() if entry.spec.id == task), None)
    published = suite.published_baselines.get(task)
    return {
        "id": task,
        "variant": suite.variants.get(task) or (None if entry is None else entry.spec.variants[0]),
        "metric": None if entry is None else entry.spec.primary_metric.name,
        "published_baseline": None if published is None else asdict(published),
        "distribution": suite.distributions.get(task) if entry is None else entry.distribution,
        "installed": entry is not None,
    }


def show_suite(facts: Mapping[str, Any]) -> None:
    """Print such facts for people."""
    from mlgym_core.cli.listings import print_table

    click.echo(f"suite {facts['id']}: {facts['summary']}\n")
    click.echo(f"  from     {facts['distribution']} {facts['version']}")
    limits = ", ".join(f"{name} {value}" for name, value in facts["limits"].items())
    click.echo(f"  limits   {limits or 'those of the run'}\n")
    rows = [("TASK", "VARIANT", "METRIC", "PUBLISHED BASELINE", "FROM")]
    for task in facts["tasks"]:
        baseline = task["published_baseline"]
        published = "" if baseline is None else f"{baseline['value']:g} ({baseline['metric']})"
        origin = task["distribution"] or ""
        if not task["installed"]:
            origin = f"not installed: pip install {origin}" if origin else "not installed"
        rows.append((task["id"], task["variant"] or "", task["metric"] or "", published, origin))
    print_table(rows)
    baselines = [task["published_baseline"] for task in facts["tasks"] if task["published_baseline"] is not None]
    for source in dict.fromkeys(baseline["source"] for baseline in baselines):
        click.echo(f"\nPublished baselines: {source}")


def _offered(*, default: bool, grant: str | None) -> str:
    if not default:
        return "where --tools or an agent names it"
    return "by default" if grant is None else "by default, where it is granted"


def _show_parameters(title: str, prefix: str, parameters: Sequence[Mapping[str, Any]]) -> None:
    click.echo(f"\n{title}:{'' if parameters else ' none'}")
    for parameter in parameters:
        optional = "optional" if parameter["default"] in (None, "") else f"default: {parameter['default']}"
        default = "required" if parameter["required"] else optional
        click.echo(f"\n  {prefix}{parameter['name']}  ({parameter['type']}; {default})")
        if parameter["description"]:
            click.echo(textwrap.fill(parameter["description"], 100, initial_indent="    ", subsequent_indent="    "))


def _parameters(name: str, function: Callable[..., Any], described: object, skip: int) -> list[dict[str, Any]]:
    from mlgym_core.signatures import parameters_model

    parameters = list(inspect.signature(function).parameters.values())[skip:]
    # A class without a constructor of its own shows that of `object`, or of its base.
    if any(parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) for parameter in parameters):
        return []
    try:
        model: type[BaseModel] = parameters_model(name, function, skip=skip)
    except (TypeError, NameError) as error:
        raise PluginError(f"The options of {name!r} cannot be told: {error}.") from error
    lines = _documented(inspect.getdoc(described) or "") | _documented(inspect.getdoc(function) or "")
    return [
        {
            "name": option,
            "type": _type_text(field.annotation),
            "required": field.is_required(),
            "default": None if field.is_required() else _plain(field.default),
            "description": lines.get(option, ""),
        }
        for option, field in model.model_fields.items()
    ]


def _type_text(annotation: Any) -> str:
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    text = re.sub(r"\b[a-z_]+(?:\.[a-z_]+)*\.", "", text)
    for choice in ("Literal", "Union"):
        text = re.sub(rf"{choice}\[([^\[\]]*)\]", lambda match: match[1].replace(", ", " | "), text)
    return text.replace(" | None", "")


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _prose(docstring: str) -> str:
    """Return a docstring without its sections."""
    return re.split(r"\n\n(?:Args|Attributes|Raises|Returns|Example|Class attributes):\n", docstring)[0].strip()


def _documented(docstring: str) -> dict[str, str]:
    """Return what the section `Args` says of each argument."""
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)*)", docstring, re.MULTILINE)
    if section is None:
        return {}
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", textwrap.dedent(section[1]).strip()):
        names, colon, text = entry.partition(":")
        if colon:
            found[names.strip()] = " ".join(text.split())
    return found
