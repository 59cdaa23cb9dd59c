"""LiteLLM: imported when a model is used, and run in a thread of its own."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import threading
import warnings
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

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


class CallThread:
    """A thread with an event loop, in which all calls of this process run.

    LiteLLM keeps its connections for an event loop, and environments come with event loops of their own. Besides, its
    work for one call does not hold up the episodes on other loops.
    """

    _current: CallThread | None = None
    _lock = threading.Lock()

    def __init__(self) -> None:
        self._process_id = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._users = 0
        self._thread = threading.Thread(target=self._run, name="mlgym-litellm", daemon=True)
        self._thread.start()

    @classmethod
    def current(cls) -> CallThread:
        """Return the thread of this process, which is started when it is first needed."""
        with cls._lock:
            if cls._current is None or cls._current._process_id != os.getpid():
                cls._current = CallThread()
            return cls._current

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def call(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine there. Cancelling this cancels it."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))

    def enter(self) -> None:
        """Count a model that has connections."""
        with self._lock:
            self._users += 1

    async def leave(self) -> None:
        """Count it no more. The last one closes the connections, which models share."""
        with self._lock:
            self._users -= 1
            last = self._users == 0
        if last:
            from mlgym_model_litellm.transport import close_connections

            await self.call(close_connections())
