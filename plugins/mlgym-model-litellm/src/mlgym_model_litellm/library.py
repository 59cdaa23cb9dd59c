"""LiteLLM: imported when a model is used, silent, and without what we do ourselves."""

from __future__ import annotations

import functools
import logging
import os
import warnings
from typing import Any

_SETTINGS = {
    # The price table that it comes with, instead of one that it would fetch while it is imported.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    # Otherwise it reads `.env` in the working directory.
    "LITELLM_MODE": "PRODUCTION",
    # Its own client for OpenAI-compatible servers. That of OpenAI takes four times the time, all of it for checking
    # each message of the conversation against types.
    "EXPERIMENTAL_OPENAI_BASE_LLM_HTTP_HANDLER": "True",
    # It need not search conversations for images, for logs that nobody writes.
    "MAX_BASE64_LENGTH_FOR_LOGGING": "0",
}
# They write requests with their URLs, which hold the key with some providers.
_LOGGERS = ("LiteLLM", "LiteLLM Proxy", "LiteLLM Router", "httpx", "httpcore", "openai", "aiohttp")


def load() -> Any:
    """Return LiteLLM, imported when this is first called, which takes seconds."""
    # About its own code, and about answers that are not quite what they should be. Whoever resets filters, as pytest
    # does, gets these again with the next call.
    warnings.filterwarnings("ignore", module=r"litellm\b")
    warnings.filterwarnings("ignore", category=UserWarning, module=r"pydantic\b")
    # It forgets one where a call is cancelled at its beginning.
    warnings.filterwarnings("ignore", r"coroutine 'BaseLLMHTTPHandler\.", RuntimeWarning)
    return _loaded()


@functools.cache
def _loaded() -> Any:
    """Import LiteLLM and return it: silent, without telemetry, without retries of its own."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import litellm

    library: Any = litellm
    library.telemetry = False
    library.suppress_debug_info = True
    library.set_verbose = False
    library.drop_params = True
    library.num_retries = 0
    # Tokenizers of the hub, which counting tokens would fetch.
    library.disable_hf_tokenizer_download = True
    from mlgym_model_litellm.transport import install

    install()
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return library
