"""Language models by name: `PROVIDER/NAME` and options to a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from mlgym_core.errors import PluginError, UnknownNameError, UsageError
from mlgym_core.host import Host
from mlgym_core.interfaces import Model
from mlgym_core.signatures import checked_arguments, parameters_model, secret_fields

_OWN_PARAMETERS = 3
"""`self`, `provider` and `name`; what follows are options."""


def make_model(host: Host, model_id: str, options: Mapping[str, Any]) -> Model:
    """Return the model that `model_id` names. Call its `check` before it is used.

    Args:
        model_id: `PROVIDER/NAME`, where `NAME` may have further slashes.
        options: By the names of the model's parameters; texts are converted to the parameters' types.

    Raises:
        UsageError: if there is no such provider or option, or a value does not fit.
    """
    provider, model_class, parameters = _provider(host, model_id)
    try:
        arguments = checked_arguments(parameters, options)
    except ValueError as error:
        raise UsageError(f"The options (-M) of the model {model_id!r} do not fit: {error}.") from None
    # The model's own text after the first slash, whatever it is.
    return model_class(provider, model_id.partition("/")[2], **arguments)


def secret_options(host: Host, model_id: str) -> frozenset[str]:
    """Return the names of a model's options that must not be recorded."""
    _, _, parameters = _provider(host, model_id)
    return secret_fields(parameters)


def _provider(host: Host, model_id: str) -> tuple[str, type[Model], type[BaseModel]]:
    provider, slash, name = model_id.partition("/")
    if not slash or not provider or not name:
        raise UsageError(
            f"{model_id!r} is not a model: write PROVIDER/NAME, such as openai/gpt-5. `mlgym models` lists providers."
        )
    try:
        model_class = host.models.load(provider)
    except UnknownNameError as error:
        remedy = "`mlgym models` lists what is installed; mlgym-model-litellm adds those that LiteLLM knows."
        raise UnknownNameError("provider of models", provider, error.suggestions, remedy) from None
    constructor: Any = model_class.__init__
    if constructor is Model.__init__:
        return provider, model_class, parameters_model(provider, _no_options, skip=0)
    try:
        return provider, model_class, parameters_model(provider, constructor, skip=_OWN_PARAMETERS)
    except (TypeError, NameError) as error:
        raise PluginError(f"The models of {provider!r} cannot be used: {error}.") from error


def _no_options() -> None:
    pass
