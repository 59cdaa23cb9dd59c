"""What the plugin registers: a provider of models for each that LiteLLM knows, without importing LiteLLM."""

from __future__ import annotations

from collections.abc import Iterator

from mlgym_core import ModelSpec, hookimpl
from mlgym_model_litellm.providers import PROVIDERS

MLGYM_API = 1
_TARGET = "mlgym_model_litellm.model:LiteLLMModel"


@hookimpl
def mlgym_models() -> Iterator[ModelSpec]:
    """Yield the providers, and `litellm` for those that newer versions of LiteLLM know."""
    yield ModelSpec("litellm", _TARGET, "Any model as LiteLLM names it: litellm/PROVIDER/NAME")
    for provider in PROVIDERS:
        yield ModelSpec(provider, _TARGET, f"Models of {provider}, through LiteLLM")
