"""Models through LiteLLM's own code, and the server that they talk to."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from mlgym_core import Host
from mlgym_core.models import make_model
from mlgym_core.testing import ScriptedModelServer
from mlgym_core.testing.model_server import Answer
from mlgym_model_litellm import plugin
from mlgym_model_litellm.model import LiteLLMModel


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_BASE_URL", "_API_BASE", "_TOKEN")):
            monkeypatch.delenv(name)


@pytest.fixture
async def make() -> AsyncIterator[Callable[..., tuple[LiteLLMModel, ScriptedModelServer]]]:
    """Returns a model and the server that it talks to."""
    servers: list[ScriptedModelServer] = []
    models: list[LiteLLMModel] = []

    def made(
        *answers: Answer, name: str = "scripted", provider: str = "openai", **options: Any
    ) -> tuple[LiteLLMModel, ScriptedModelServer]:
        server = ScriptedModelServer(answers, key=options.pop("key", None))
        servers.append(server.__enter__())
        url = server.url.removesuffix("/v1") if provider == "anthropic" else server.url
        settings = {"base_url": url, "retry_pause": 0.01} | options
        model = make_model(Host.of(plugin), f"{provider}/{name}", settings)
        assert isinstance(model, LiteLLMModel)
        model.check()
        models.append(model)
        return model, server

    yield made
    for model in models:
        await model.close()
    for server in servers:
        server.__exit__(None, None, None)
