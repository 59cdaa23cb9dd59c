"""One attempt to get an answer of a provider: question and outcome are plain values that processes can exchange.

What a model does around it (prices, retries, the cache, taking out keys) is not here.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlgym_core import ModelReply
from mlgym_model_litellm.counting import count_request, count_text
from mlgym_model_litellm.failures import Failure, RefusedAnswer, UnreadableAnswer, failure_of
from mlgym_model_litellm.library import load
from mlgym_model_litellm.replies import reply_of, stated_cost, table_cost
from mlgym_model_litellm.streamed_calls import number_calls
from mlgym_model_litellm.turns import Turn, Turns
from mlgym_model_litellm.usage_figures import Figures

if TYPE_CHECKING:
    from mlgym_model_litellm.transport import Passage

# Retries are ours, records are ours, and what a model does not know, such as a temperature, is left out.
OUR_OWN: Mapping[str, Any] = {"max_retries": 0, "num_retries": 0, "drop_params": True}
"""Parameters of LiteLLM's `completion` that every call has."""

_UNOBSERVED: Mapping[str, Any] = {"_is_litellm_internal_call": True}
"""Tells LiteLLM that it need not put together what callbacks want to know, which is an eighth of its work."""
_OBSERVERS = (
    "callbacks",
    *("input_callback", "success_callback", "failure_callback"),
    *("_async_input_callback", "_async_success_callback", "_async_failure_callback"),
)
"""LiteLLM's lists of them. A call can have some of its own, under the same names."""

OnText = Callable[[str], None]
"""Is called with each part of an answer's text as it comes."""


@dataclass(frozen=True)
class Exchange:
    """What an attempt needs to know.

    Attributes:
        model: The model's id, for error messages.
        request: Parameters of LiteLLM's `completion` on which the answer depends.
        timeout: Seconds for the answer; with `stream`, for each part of it.
        longest: With `stream`, seconds for the whole answer.
        stream: Whether the answer comes in parts.
        base_url: Address of the server; None for the provider's own.
        key: The key; None leaves it to LiteLLM, which knows the provider's variable.
        key_source: Where the key comes from, in words; None if none is sent.
    """

    model: str
    request: Mapping[str, Any]
    timeout: float
    longest: float = math.inf
    stream: bool = False
    base_url: str | None = None
    key: str | None = None
    key_source: str | None = None


@dataclass(frozen=True)
class Answered:
    """What came of an attempt that succeeded.

    Attributes:
        reply: The answer, without its cost and the time it took.
        stated_cost: Its cost in US dollars as the provider says; None if it does not.
        table_cost: The same by LiteLLM's table, which also knows of prices that depend on the length, and of what
            writing to caches costs; None if it has none.
    """

    reply: ModelReply
    stated_cost: float | None
    table_cost: float | None


async def attempt(exchange: Exchange, on_text: OnText | None = None, turns: Turns | None = None) -> Answered | Failure:
    """Ask the provider once.

    Args:
        exchange: What to ask, and whom.
        on_text: Is told the text of an answer in parts as it comes.
        turns: Whose turns to work it waits for.
    """
    from mlgym_model_litellm.transport import watched

    said: list[str] = []
    with Turn(turns) as turn, watched(turn, streams=exchange.stream) as passage:
        await turn.take()
        try:
            return await _answered(exchange, passage, said, on_text)
        except Exception as error:  # noqa: BLE001 - LiteLLM raises what its providers' clients raise
            failure = failure_of(
                passage.refusal or error, exchange.model, exchange.key_source, exchange.timeout, passage.status
            )
    return dataclasses.replace(
        failure,
        may_cost=failure.may_cost or passage.answered,
        # Of an answer in one piece nobody knows what was said before it failed.
        completion_tokens=count_text(exchange.request["model"], "".join(said)) if exchange.stream else None,
    )


async def _answered(exchange: Exchange, passage: Passage, said: list[str], on_text: OnText | None) -> Answered:
    library = load()
    call = {**exchange.request, "timeout": exchange.timeout, **OUR_OWN}
    if not _is_observed(library, call):
        call.update(_UNOBSERVED)
    if exchange.base_url is not None:
        call["api_base"] = exchange.base_url
    if exchange.key is not None:
        call["api_key"] = exchange.key
    has_usage = True
    if exchange.stream:
        response, has_usage = await _streamed(library, call, exchange.longest, said, on_text)
        has_usage = has_usage and passage.figures not in (Figures.ZERO, Figures.BAD)
    else:
        async with asyncio.timeout(exchange.timeout):
            response = await library.acompletion(**call)
    reply = reply_of(response, functools.partial(_count, exchange.request), has_usage=has_usage)
    return Answered(reply, stated_cost(response), table_cost(response))


def _is_observed(library: Any, call: Mapping[str, Any]) -> bool:
    """Return whether LiteLLM has to tell anybody of a call, or to add up what calls cost."""
    return bool(library.max_budget) or any(getattr(library, name, None) or call.get(name) for name in _OBSERVERS)


async def _streamed(
    library: Any, call: Mapping[str, Any], longest: float, said: list[str], on_text: OnText | None
) -> tuple[Any, bool]:
    """Return an answer that comes in parts, and whether the provider says what it used.

    Args:
        library: LiteLLM.
        call: Parameters of its `completion`.
        longest: Seconds for all of it.
        said: Gets the parts of its text.
        on_text: Is told them.
    """
    chunks: list[Any] = []
    seconds = call["timeout"]
    clock = asyncio.get_running_loop().time
    end = clock() + longest
    try:
        async with asyncio.timeout(min(seconds, longest)) as deadline:
            stream = await library.acompletion(**call, stream=True, stream_options={"include_usage": True})
            async for chunk in stream:
                chunks.append(chunk)
                deadline.reschedule(min(clock() + seconds, end))
                if text := _text_of(chunk):
                    said.append(text)
                    if on_text is not None:
                        on_text(text)
    except TimeoutError:
        if clock() < end:
            raise
        raise RefusedAnswer(f"its answer was not at its end after {longest:g} s.") from None
    # LiteLLM ends each stream with a reason, whether the provider gave one or not.
    if not chunks or getattr(stream, "received_finish_reason", "stop") is None:
        raise UnreadableAnswer("an answer that was cut off.")
    # It also makes up figures where there are none, or only 0.
    has_usage = any(getattr(chunk, "usage", None) is not None for chunk in chunks)
    number_calls(chunks)
    return library.stream_chunk_builder(chunks, messages=call["messages"]), has_usage


def _text_of(chunk: Any) -> str:
    choices = getattr(chunk, "choices", None)
    text = getattr(getattr(choices[0], "delta", None), "content", None) if choices else None
    return text if isinstance(text, str) else ""


def _count(request: Mapping[str, Any], text: str | None) -> int:
    if text is not None:
        return count_text(request["model"], text)
    tools = [tool["function"] for tool in request.get("tools", ())]
    return count_request(request["model"], request["messages"], tools)
