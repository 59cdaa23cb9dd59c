"""A language model behind LiteLLM."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import json
import logging
import math
import os
import re
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlgym_core import Message, Model, ModelCall, ModelReply, Sampling, ToolSchema, UsageError, did_you_mean
from mlgym_model_litellm.cache import ReplyCache
from mlgym_model_litellm.call_processes import usual_number
from mlgym_model_litellm.call_thread import CallThread
from mlgym_model_litellm.counting import count_request
from mlgym_model_litellm.exchanges import OUR_OWN, Answered, Exchange, OnText
from mlgym_model_litellm.failures import Failure, pause_before, shortened
from mlgym_model_litellm.library import load
from mlgym_model_litellm.prices import Price, is_possible, price_in_file, price_in_table
from mlgym_model_litellm.secrets import redacted, redacted_reply, redacted_so_far, secret_values, variables_of_keys

_log = logging.getLogger("mlgym")
_NO_KEY = "none"
"""What servers get that want no key: clients insist on one."""
_SECONDS_BETWEEN_PARTS = 0.1
_TOLD_AFTER = 2
"""Failed attempts."""
_SECONDS_BETWEEN_WARNINGS = 60.0
_OTHER_WAYS = ("AWS_", "VERTEX", "GOOGLE_APPLICATION")
"""Variables that need not be set, since these clouds also take keys from files and machines."""
_SECRET_PARAMETER = re.compile(r"key|secret|password|credential|headers|token(?!s|_ids)")
_RESERVED = frozenset(
    {
        *("model", "messages", "tools", "stream", "timeout", *OUR_OWN),
        # Addresses are told by base_url, with which no key is sent.
        *("api_base", "base_url", "custom_llm_provider", "fallbacks", "mock_response", "extra_query"),
        # Settings are the agents', and budgets bound them.
        *("max_tokens", "max_completion_tokens", "n", "temperature", "top_p", "seed", "stop"),
    }
)
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def _secret_names(value: Any) -> Iterator[str]:
    """Yield the names in a JSON value that look like those of keys."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if _SECRET_PARAMETER.search(name):
                yield name
            yield from _secret_names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _secret_names(inner)


class LiteLLMModel(Model):
    """A model of a provider that LiteLLM knows.

    Args:
        provider: `litellm`, or the provider.
        name: The model's name with the provider, or without the provider's.
        base_url: Address of an OpenAI-compatible server (or of the provider's own kind), instead of the provider's.
        api_key_variable: Environment variable that holds the key. Unless given, it is the provider's usual one; and a
            server at `base_url` gets none.
        prices: File with prices, for what LiteLLM's table does not know.
        retries: How often a call is tried again after a rate limit, an error of the server or a broken answer.
        retry_pause: Mean pause before the first of those, in seconds; it doubles each time, up to a minute.
        timeout: Seconds for an answer; with `stream`, for each part of it.
        concurrency: Calls at the same time, of all episodes together; no limit unless given.
        processes: Processes that are started where many calls go on at the same time, and make them; 0 for none. Unless
            given, one for each processor, up to four.
        cache: Folder in which replies are kept and looked up.
        stream: Let the answer come in parts, so that a slow one does not run into `timeout`.
        longest: With `stream`, seconds for all parts together.
        token_ids: Ask for token ids and log-probabilities, from servers that give them.
        reasoning_effort: How much a reasoning model thinks, as its provider names it: `low`, `high` …
        parameters: Further parameters of LiteLLM's `completion`, as a JSON object.
        context_tokens: Size of the context, for models that LiteLLM does not know.
        answer_tokens: Longest answer, likewise.
    """

    def __init__(
        self,
        provider: str,
        name: str,
        *,
        base_url: str | None = None,
        api_key_variable: str | None = None,
        prices: Path | None = None,
        retries: int = 6,
        retry_pause: float = 1.0,
        timeout: float = 600.0,
        concurrency: int | None = None,
        processes: int | None = None,
        cache: Path | None = None,
        stream: bool = False,
        longest: float = 3600.0,
        token_ids: bool = False,
        reasoning_effort: str | None = None,
        parameters: str | None = None,
        context_tokens: int | None = None,
        answer_tokens: int | None = None,
    ) -> None:
        super().__init__(provider, name)
        self._id = f"{provider}/{name}"
        self._called = name if provider == "litellm" else self._id
        self._base_url = base_url
        self._key_variable = api_key_variable
        self._prices = prices
        self._retries = retries
        self._retry_pause = retry_pause
        self._timeout = timeout
        self._concurrency = concurrency
        self._processes = usual_number() if processes is None else processes
        self._cache = None if cache is None else ReplyCache(cache.expanduser())
        self._stream = stream
        self._longest = longest
        self._token_ids = token_ids
        self._reasoning_effort = reasoning_effort
        self._parameters_text = parameters
        self._context_tokens = context_tokens
        self._answer_tokens = answer_tokens
        self._thread: CallThread | None = None
        self._told = -math.inf

    # --------------------------------------------------------------------------------- before any episode

    def check(self) -> None:
        """Look for the key, and at the options."""
        for option, value, least in (
            ("retries", self._retries, 0),
            ("retry_pause", self._retry_pause, 0),
            ("timeout", self._timeout, 0.001),
            ("longest", self._longest, 0.001),
            ("concurrency", self._concurrency, 1),
            ("processes", self._processes, 0),
            ("context_tokens", self._context_tokens, 1),
            ("answer_tokens", self._answer_tokens, 1),
        ):
            if value is not None and not (math.isfinite(value) and value >= least):
                raise UsageError(f"The model's option {option} is {value}: it must be at least {least}.")
        self._check_url()
        _ = self._parameters
        _ = self._own_price
        if self._cache is not None:
            self._cache.prepare()
        self._check_key()
        # The seconds that this takes are not an episode's.
        load()

    def _check_url(self) -> None:
        if self._base_url is None:
            return
        parts = urllib.parse.urlsplit(self._base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError("The model's option base_url is no address: write such as http://localhost:8000/v1.")
        if parts.username is not None or parts.password is not None or parts.query:
            raise UsageError(
                "The model's option base_url holds a name, a password or a query, which would be recorded: put the key "
                "into an environment variable and name that with -M api_key_variable=NAME."
            )

    def _check_key(self) -> None:
        if self._key_variable is not None:
            if not _VARIABLE_NAME.match(self._key_variable):
                raise UsageError(
                    "The model's option api_key_variable is no name of a variable. It is not the key itself."
                )
            if not os.environ.get(self._key_variable, "").strip():
                raise UsageError(f"{self._id} needs a key: set the environment variable {self._key_variable}.")
            return
        library = load()
        try:
            _, provider, *_ = library.get_llm_provider(model=self._called)
        except Exception:  # noqa: BLE001 - it raises different things
            provider = None
        known = {str(getattr(one, "value", one)) for one in library.provider_list}
        if provider not in known:
            meant = did_you_mean([self._called.partition("/")[0]], known)
            raise UsageError(f"LiteLLM knows no provider of {self._called!r}: write PROVIDER/NAME.{meant}")
        if self._base_url is not None:
            return
        with _without_blank_keys():
            missing: list[str] = library.validate_environment(model=self._called)["missing_keys"]
        # LiteLLM asks for addresses, too, which have defaults, and does not know of this one.
        keys = [name for name in missing if name.endswith(("_KEY", "_TOKEN")) and not name.startswith(_OTHER_WAYS)]
        if keys == ["AZURE_API_KEY"] and os.environ.get("AZURE_AD_TOKEN"):
            return
        if provider == "openai" and (os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_BASE")):
            return
        if keys:
            raise UsageError(
                f"{self._id} needs a key: set the environment variable {' or '.join(keys)}. For a server without a "
                "key, name its address with -M base_url=…"
            )

    @functools.cached_property
    def _parameters(self) -> dict[str, Any]:
        if self._parameters_text is None:
            return {}
        try:
            parameters = json.loads(self._parameters_text)
        except ValueError as error:
            raise UsageError(f"The model's option parameters is no JSON: {error}.") from None
        if not isinstance(parameters, dict):
            raise UsageError("The model's option parameters is no JSON object.")
        for name in (*(name for name in parameters if name in _RESERVED), *_secret_names(parameters)):
            raise UsageError(
                f"The model's option parameters must not have {name!r}: addresses, settings and keys have options of "
                "their own."
            )
        return parameters

    # ------------------------------------------------------------------------------------------- calls

    async def complete(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSchema] = (),
        sampling: Sampling = Sampling(),
        call: ModelCall | None = None,
    ) -> ModelReply:
        """Answer a conversation, trying again where that may help."""
        if self._cache is None:
            return (await self._tried_again(messages, tools, sampling, call))[0]
        request = self._request(messages, tools, sampling)
        place = self._cache.place(request | {"base_url": self._base_url}, 0 if call is None else call.repeat)
        if (cached := self._cache.find(place)) is not None:
            return cached
        reply, settings = await self._tried_again(messages, tools, sampling, call)
        if settings == sampling:
            self._cache.keep(place, reply)
        return reply

    async def _tried_again(
        self, messages: Sequence[Message], tools: Sequence[ToolSchema], sampling: Sampling, call: ModelCall | None
    ) -> tuple[ModelReply, Sampling]:
        """Return an answer, and the settings with which it was given."""
        tried = 0
        while True:
            exchange = Exchange(
                model=self._id,
                request=self._request(messages, tools, sampling),
                timeout=self._timeout,
                longest=self._longest,
                stream=self._stream,
                base_url=self._base_url,
                key=self._key,
                key_source=self._key_source,
            )
            began = time.perf_counter()
            outcome = await self._exchanged(exchange, call)
            if isinstance(outcome, Answered):
                return self._finished(outcome, time.perf_counter() - began), sampling
            tried += 1
            message = _as_sentence(shortened(redacted(str(outcome.error), self._secrets)))
            if call is not None and outcome.may_cost:
                call.attempt_failed(message, completion_tokens=outcome.completion_tokens)
            if not outcome.retry or tried > self._retries:
                times = f" It was tried {tried} times." if tried > 1 else ""
                raise type(outcome.error)(message + self._near_misses(outcome.error) + times)
            pause = pause_before(tried, outcome.after, self._retry_pause)
            # After the second time, people who see nothing happen want to know why; of many episodes, one says it.
            is_news = tried == _TOLD_AFTER and time.monotonic() - self._told >= _SECONDS_BETWEEN_WARNINGS
            if is_news:
                self._told = time.monotonic()
            level = logging.WARNING if is_news else logging.INFO
            _log.log(level, "%s It is tried again in %.1f s.", message, pause)
            if call is None:
                await asyncio.sleep(pause)
            else:
                sampling = await call.next_attempt(pause)

    async def _exchanged(self, exchange: Exchange, call: ModelCall | None) -> Answered | Failure:
        """Make one attempt."""
        # Another one than before after a fork, which threads do not survive.
        thread = self._thread = CallThread.current()
        places = thread.enter(self, self._concurrency)
        attempt = functools.partial(thread.processes.attempt, exchange, self._processes, self._teller(call))
        if places is None:
            return await attempt()
        # Calls of all event loops share the places.
        return await thread.call(_placed(places, attempt))

    def _teller(self, call: ModelCall | None) -> OnText | None:
        """Return what tells a call the parts of an answer: in its event loop, not too often, without keys."""
        if call is None or not self._stream:
            return None
        loop = asyncio.get_running_loop()
        said: list[str] = []
        told = -math.inf

        def tell(part: str) -> None:
            nonlocal told
            said.append(part)
            if (now := time.monotonic()) - told >= _SECONDS_BETWEEN_PARTS:
                told = now
                # The loop may have been closed by an interrupt.
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(call.said, redacted_so_far("".join(said), self._secrets))

        return tell

    def _finished(self, answered: Answered, seconds: float) -> ModelReply:
        """Return the reply with its cost, and without keys: the agent would carry them into the sandbox."""
        reply = redacted_reply(answered.reply, self._secrets)
        return dataclasses.replace(reply, cost_usd=self._cost(answered), seconds=seconds)

    def _request(self, messages: Sequence[Message], tools: Sequence[ToolSchema], sampling: Sampling) -> dict[str, Any]:
        """Return the parameters on which the answer depends."""
        request: dict[str, Any] = {"model": self._called, "messages": [dict(message) for message in messages]}
        if tools:
            request["tools"] = [{"type": "function", "function": dict(tool)} for tool in tools]
        for name in ("temperature", "top_p", "max_tokens", "seed"):
            if (value := getattr(sampling, name)) is not None:
                request[name] = value
        if sampling.stop:
            request["stop"] = list(sampling.stop)
        if self._reasoning_effort is not None:
            request["reasoning_effort"] = self._reasoning_effort
        if self._token_ids:
            request["logprobs"] = True
            request["extra_body"] = {"return_token_ids": True}
        return {**request, **self._parameters}

    async def close(self) -> None:
        """Close connections."""
        thread, self._thread = self._thread, None
        if thread is not None:
            await thread.leave(self)

    # -------------------------------------------------------------------------------------------- keys

    @property
    def _key(self) -> str | None:
        """The key to hand over; None leaves it to LiteLLM, which knows the provider's variable."""
        if self._key_variable is not None:
            return os.environ.get(self._key_variable) or _NO_KEY
        return _NO_KEY if self._has_no_key else None

    @property
    def _has_no_key(self) -> bool:
        """Whether a server gets none: at an address of the user's, it must not get the one that is for the provider."""
        # The address may also be in the environment: `check` refuses OpenAI's without a key.
        return self._base_url is not None or (
            self._called.startswith("openai/") and not os.environ.get("OPENAI_API_KEY", "").strip()
        )

    @property
    def _key_source(self) -> str | None:
        """Where the key comes from, in words; None if none is sent."""
        if self._key_variable is not None:
            return f"the environment variable {self._key_variable}"
        return None if self._has_no_key else self._usual_key_source

    @functools.cached_property
    def _usual_key_source(self) -> str:
        provider = self._called.partition("/")[0].upper()
        names = sorted(name for name in variables_of_keys() if name.startswith(f"{provider}_"))
        if not names:
            return "the provider's environment variable, which must hold the key"
        return f"the environment variable {' or '.join(names)}"

    @property
    def _secrets(self) -> tuple[str, ...]:
        """What nobody gets to see. Variables may change while a model is used, as calls follow them."""
        return secret_values([] if self._key in (None, _NO_KEY) else [str(self._key)])

    # -------------------------------------------------------------------------------- tokens and prices

    @functools.cached_property
    def _entry(self) -> dict[str, Any]:
        """The model's entry in LiteLLM's table; empty if there is none."""
        library = load()
        name = self._called.partition("/")[2]
        for key in (self._called, name):
            entry: dict[str, Any] | None = library.model_cost.get(key)
            if entry is not None and (key == self._called or self._is_of(entry)):
                return entry
        return {}

    def _is_of(self, entry: Mapping[str, Any]) -> bool:
        return str(entry.get("litellm_provider", "")).startswith(self._called.partition("/")[0])

    @functools.cached_property
    def _price(self) -> Price | None:
        return price_in_table(self._entry) if self._own_price is None else self._own_price

    @functools.cached_property
    def _own_price(self) -> Price | None:
        return None if self._prices is None else price_in_file(self._prices, self._id, self._called, self.name)

    def _cost(self, answered: Answered) -> float | None:
        reply = answered.reply
        if reply.estimated:
            return None
        by_table = answered.table_cost if self._own_price is None and self._price is not None else None
        # The table, too, is used with the provider's figures, of which only the main ones were looked at.
        for cost in (answered.stated_cost, by_table):
            if cost is not None and is_possible(cost, self._price, reply.prompt_tokens, reply.completion_tokens):
                return cost
        if self._price is None:
            return None
        return self._price.cost(reply.prompt_tokens, reply.completion_tokens, reply.cached_tokens)

    def context_tokens(self) -> int | None:
        """Return the size of the context in tokens, or None if unknown."""
        stated = self._context_tokens
        return _whole(self._entry.get("max_input_tokens")) if stated is None else stated

    def answer_tokens(self) -> int | None:
        """Return the longest answer in tokens, or None if unknown."""
        stated = self._answer_tokens
        return _whole(self._entry.get("max_output_tokens")) if stated is None else stated

    def price_usd(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """Return what so many tokens cost, in US dollars, or None if unknown."""
        return None if self._price is None else self._price.cost(prompt_tokens, completion_tokens)

    def count_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> int:
        """Return about how many tokens a request has. Texts that were counted before are not counted again."""
        return count_request(self._called, messages, tools)

    def _near_misses(self, error: Exception) -> str:
        if not str(error).startswith("The provider does not know"):
            return ""
        if self._base_url is not None:
            return f" Or is {self._base_url} not the address? Those of most OpenAI-compatible servers end in /v1."
        provider, _, name = self._called.partition("/")
        known = load().models_by_provider.get(provider, ())
        return did_you_mean([name], [one.removeprefix(f"{provider}/") for one in known])


@contextlib.contextmanager
def _without_blank_keys() -> Iterator[None]:
    """Take away keys that are set to nothing, as a forgotten secret is: LiteLLM takes them for keys."""
    blank = {name: value for name in variables_of_keys() if not (value := os.environ[name]).strip()}
    for name in blank:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(blank)


async def _placed(
    places: asyncio.Semaphore, attempt: Callable[[], Awaitable[Answered | Failure]]
) -> Answered | Failure:  # fmt: skip
    async with places:
        return await attempt()


def _as_sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
