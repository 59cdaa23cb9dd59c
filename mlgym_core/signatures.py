"""Arguments of tools and options of agents, checked against the typed parameters of a function."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError, create_model

from mlgym_core.ids import did_you_mean


def parameters_model(name: str, function: Callable[..., Any], *, skip: int) -> type[BaseModel]:
    """Return a model with a field for each parameter of `function` after the first `skip` ones.

    Raises:
        TypeError: if a parameter has no type or takes a variable number of values.
    """
    hints = typing.get_type_hints(function)
    fields: dict[str, Any] = {}
    for parameter in list(inspect.signature(function).parameters.values())[skip:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(f"{function.__qualname__} takes a variable number of arguments in {parameter.name!r}")
        if parameter.name not in hints:
            raise TypeError(f"parameter {parameter.name!r} of {function.__qualname__} has no type")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)


def options_model(name: str, kind: type) -> type[BaseModel]:
    """Return a model with a field for each parameter of a class's `__init__`.

    Raises:
        TypeError: if a parameter has no type or takes a variable number of values.
    """
    constructor: Any = kind.__init__  # type: ignore[misc]
    return parameters_model(name, _no_options if constructor is object.__init__ else constructor, skip=1)


def _no_options(self: object) -> None:
    pass


def secret_fields(model: type[BaseModel]) -> frozenset[str]:
    """Return the names of the parameters whose values must not be recorded: those typed as `SecretStr`."""
    return frozenset(
        name
        for name, field in model.model_fields.items()
        if SecretStr in (field.annotation, *typing.get_args(field.annotation))
    )


def checked_arguments(model: type[BaseModel], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments as the parameters' types.

    Raises:
        ValueError: naming each argument that is missing, unknown or of the wrong type.
    """
    try:
        checked = model(**arguments)
    except ValidationError as error:
        problems = []
        for problem in error.errors(include_url=False, include_context=False, include_input=False):
            name = ".".join(str(part) for part in problem["loc"])
            meant = did_you_mean([name], model.model_fields) if problem["type"] == "extra_forbidden" else ""
            problems.append(f"{name or 'arguments'}: {problem['msg']}{meant and f'.{meant}'}")
        known = ", ".join(model.model_fields) or "none"
        raise ValueError(f"{'; '.join(problems)} (known: {known})") from None
    return {name: getattr(checked, name) for name in model.model_fields}
