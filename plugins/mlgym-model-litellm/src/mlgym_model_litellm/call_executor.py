"""Threads for what would hold up an event loop, and none for what LiteLLM only says that it would."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context
from typing import Any, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

QUICK_PROVIDERS = ("openai/", "hosted_vllm/")
"""Prefixes of models whose calls LiteLLM begins without waiting for anything: it only puts a request together. With
others, it may fetch a token or a picture meanwhile."""


class CallExecutor(ThreadPoolExecutor):
    """The default executor of an event loop that makes calls.

    LiteLLM's `acompletion` lets its `completion` begin in a thread. Going there and back costs a fifth of a call.
    """

    def submit(
        self, function: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """Begin a call at once if that is quick; let all else run in a thread."""
        if not _begins_quick_call(function):
            return super().submit(function, *args, **kwargs)
        future: Future[Result] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - whoever waits for it gets it
            future.set_exception(error)
        return future


def _begins_quick_call(function: Callable[..., Any]) -> bool:
    """Return whether this is `partial(context.run, partial(completion, model=…, acompletion=True, …))`."""
    if not isinstance(function, functools.partial) or not isinstance(
        getattr(function.func, "__self__", None), Context
    ):  # fmt: skip
        return False
    call = function.args[0] if function.args else None
    if not isinstance(call, functools.partial) or call.keywords.get("acompletion") is not True:
        return False
    return str(call.keywords.get("model")).startswith(QUICK_PROVIDERS)
