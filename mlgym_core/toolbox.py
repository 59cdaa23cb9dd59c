"""The tools of an episode: loaded by id, called by name with checked arguments."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

from mlgym_core.errors import PluginError, ToolError
from mlgym_core.host import Host
from mlgym_core.interfaces import Tool, ToolContext, ToolResult
from mlgym_core.signatures import checked_arguments, parameters_model


class BoundTool:
    """A tool under the name by which agents call it."""

    def __init__(self, name: str, tool: Tool) -> None:
        self.name = name
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


def load_tools(host: Host, names: Sequence[str] | None) -> dict[str, BoundTool]:
    """Return the tools with these ids, or all default tools if `names` is None."""
    chosen = [spec.id for spec in host.tools if spec.default] if names is None else list(dict.fromkeys(names))
    return {name: BoundTool(name, host.tools.load(name)()) for name in chosen}
