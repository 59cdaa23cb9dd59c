"""The tools of an episode: loaded by id, called by name with checked arguments."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from mlgym_core.errors import PluginError, ToolError, UnknownNameError, UsageError
from mlgym_core.host import Host
from mlgym_core.ids import did_you_mean, near_misses
from mlgym_core.interfaces import Tool, ToolContext, ToolResult
from mlgym_core.signatures import checked_arguments, options_model, parameters_model, secret_fields


class BoundTool:
    """A tool under the name by which agents call it.

    Attributes:
        grant: The grant that it needs, which it has.
        shares_notes: Whether it carries notes from one episode to others.
    """

    def __init__(self, name: str, tool: Tool, grant: str | None = None) -> None:
        self.name = name
        self.grant = grant
        self.shares_notes = tool.shares_notes
        self._tool = tool
        self._run = tool.run
        try:
            # `run` is bound, so that only the context comes before the arguments.
            self._model = parameters_model(name, self._run, skip=1)
        except (TypeError, NameError) as error:
            raise PluginError(f"Tool {name!r} cannot be offered: {error}.") from error

    @functools.cached_property
    def description(self) -> str:
        """The first paragraph of the docstring of `run`."""
        text = inspect.getdoc(self._run) or ""
        return " ".join(text.partition("\n\n")[0].split())

    def schema(self) -> dict[str, Any]:
        """Return the tool as `{"name", "description", "parameters"}`, the parameters as a JSON schema."""
        return {"name": self.name, "description": self.description, "parameters": json.loads(self._parameters)}

    @functools.cached_property
    def _parameters(self) -> str:
        # Agents ask for it in every step, and each may change what it gets.
        return json.dumps(self._model.model_json_schema())

    async def __call__(self, context: ToolContext, arguments: Mapping[str, Any]) -> ToolResult:
        """Call the tool.

        Raises:
            ToolError: if the arguments do not fit, or the tool cannot do what they ask for.
        """
        try:
            checked = checked_arguments(self._model, arguments)
        except ValueError as error:
            raise ToolError(f"The arguments of {self.name} do not fit: {error}.") from None
        return await self._run(context, **checked)


def offered_tools(host: Host, names: Sequence[str] | None, grants: Sequence[str] = ()) -> list[str]:
    """Return the ids of the tools on offer: those named, or all default tools that need no further grant if None."""
    if names is None:
        return [spec.id for spec in host.tools if spec.default and (spec.grant is None or spec.grant in grants)]
    return list(dict.fromkeys(names))


def load_tools(
    host: Host,
    names: Sequence[str] | None,
    *,
    options: Mapping[str, Any] | None = None,
    grants: Sequence[str] = (),
) -> dict[str, BoundTool]:
    """Return the tools with these ids, or all default tools that nothing needs to be granted for if `names` is None.

    Args:
        options: Options of the tools, by `TOOL.KEY`.
        grants: What is granted. A default tool that needs one of them is on offer, too.

    Raises:
        UsageError: if there is no such tool, option or grant, a value does not fit, or a grant is missing.
    """
    _check_grants(host, grants)
    specs = {name: host.tools.spec(name) for name in offered_tools(host, names, grants)}
    for spec in specs.values():
        if spec.grant is not None and spec.grant not in grants:
            raise UsageError(
                f"The tool {spec.id!r} needs the grant {spec.grant!r}: add --grant {spec.grant} (in Python, "
                f"grants=[{spec.grant!r}]), or leave the tool out. What that means is in `mlgym info {spec.id}`."
            )
    by_tool: dict[str, dict[str, Any]] = {name: {} for name in specs}
    for option, value in (options or {}).items():
        tool, key = _tool_and_key(option)
        if tool not in specs:
            host.tools.spec(tool)
            raise UsageError(f"-T {option}: the tool {tool!r} is not on offer. There are: {', '.join(specs)}.")
        by_tool[tool][key] = value
    return {name: BoundTool(name, _make_tool(host, name, by_tool[name]), spec.grant) for name, spec in specs.items()}


def tool_options_model(host: Host, name: str) -> type[BaseModel]:
    """Return the model that checks the options of a tool.

    Raises:
        PluginError: if the parameters of its `__init__` cannot be options.
    """
    try:
        return options_model(name, host.tools.load(name))
    except (TypeError, NameError) as error:
        raise PluginError(f"Tool {name!r} cannot be offered: {error}.") from error


def secret_tool_options(host: Host, options: Mapping[str, Any]) -> frozenset[str]:
    """Return the names (`TOOL.KEY`) of those options of tools that must not be recorded."""
    parted = {option: _tool_and_key(option) for option in options}
    return frozenset(
        option for option, (tool, key) in parted.items() if key in secret_fields(tool_options_model(host, tool))
    )


def _tool_and_key(option: str) -> tuple[str, str]:
    tool, dot, key = option.partition(".")
    if not dot or not tool or not key:
        raise UsageError(f"{option!r} is not an option of a tool: write TOOL.KEY, such as memory_write.scope.")
    return tool, key


def _make_tool(host: Host, name: str, options: Mapping[str, Any]) -> Tool:
    model = tool_options_model(host, name)
    for key in options:
        if key not in model.model_fields:
            meant = did_you_mean([key], model.model_fields)
            known = ", ".join(model.model_fields) or "none"
            raise UsageError(f"The tool {name!r} has no option {key!r}.{meant} It has: {known}.")
    try:
        arguments = checked_arguments(model, options)
    except ValueError as error:
        raise UsageError(f"The options (-T) of the tool {name!r} do not fit: {error}.") from None
    return host.tools.load(name)(**arguments)


def _check_grants(host: Host, grants: Sequence[str]) -> None:
    known = sorted({spec.grant for spec in host.tools if spec.grant is not None})
    for grant in grants:
        if grant not in known:
            remedy = f"Tools that are installed need: {', '.join(known) or 'none'}."
            raise UnknownNameError("grant", grant, near_misses(grant, known), remedy)
