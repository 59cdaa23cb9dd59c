"""What tokens cost: a file of the user's, else LiteLLM's table."""

from __future__ import annotations

import json
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlgym_core import UsageError

_FIELDS = ("prompt", "cached", "completion")
_DEAREST = 1000.0
"""US dollars per million tokens. The dearest models of 2025 took 600 for their answers (OpenAI's o1-pro)."""
_SURCHARGE = 1.0
"""US dollars that a provider may take for a call besides its tokens, for searches and other tools of its own."""
_TIMES = 10.0
"""Times what the price makes of a call: long contexts, writing to caches, a reseller's margin."""


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens.

    Attributes:
        prompt: Of requests.
        completion: Of answers.
        cached: Of those tokens of requests that the provider had in its cache.
    """

    prompt: float
    completion: float
    cached: float

    def cost(self, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> float:
        """Return the cost in US dollars; `cached_tokens` are some of `prompt_tokens`."""
        fresh = prompt_tokens - cached_tokens
        return (fresh * self.prompt + cached_tokens * self.cached + completion_tokens * self.completion) / 1e6


def is_possible(stated: float, price: Price | None, prompt_tokens: int, completion_tokens: int) -> bool:
    """Return whether a call can have cost what its provider says, in US dollars."""
    if price is None:
        price = Price(_DEAREST, _DEAREST, _DEAREST)
        return stated <= price.cost(prompt_tokens, completion_tokens) + _SURCHARGE
    return stated <= _TIMES * price.cost(prompt_tokens, completion_tokens) + _SURCHARGE


def price_in_file(path: Path, *names: str) -> Price | None:
    """Return the price of the first of the names that a price file has, or None.

    The file is JSON or TOML: an object (table) for each model, with `prompt`, `completion` and, if there is a discount,
    `cached`, in US dollars per million tokens.

    Raises:
        UsageError: if the file cannot be read, or says something that is no price.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content: Any = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError) as error:
        raise UsageError(f"The price file {path} cannot be read: {error}.") from None
    if not isinstance(content, dict):
        raise UsageError(f"The price file {path} holds no object with a price for each model.")
    prices = {name: _price(path, name, value) for name, value in content.items()}
    return next((prices[name] for name in names if name in prices), None)


def _price(path: Path, name: str, value: object) -> Price:
    where = f"The price file {path}: {name!r}"
    if not isinstance(value, dict) or not {"prompt", "completion"} <= set(value) <= set(_FIELDS):
        raise UsageError(f"{where} needs `prompt` and `completion`, may have `cached`, and nothing else.")
    for field, number in value.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < math.inf:
            raise UsageError(f"{where}: `{field}` is {number!r}; write US dollars per million tokens.")
    prompt, completion = float(value["prompt"]), float(value["completion"])
    return Price(prompt, completion, float(value["cached"]) if "cached" in value else prompt)


def price_in_table(entry: dict[str, Any]) -> Price | None:
    """Return the price in an entry of LiteLLM's table, or None if it has none.

    An entry that says 0 means that nobody has looked it up, or that somebody pays in another way.
    """
    prompt, completion = entry.get("input_cost_per_token"), entry.get("output_cost_per_token")
    if not isinstance(prompt, int | float) or not isinstance(completion, int | float) or not prompt + completion:
        return None
    cached = entry.get("cache_read_input_token_cost")
    return Price(prompt * 1e6, completion * 1e6, (prompt if not isinstance(cached, int | float) else cached) * 1e6)
