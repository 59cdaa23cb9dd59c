"""What counts as an answer of policies. Standard library only; agents get a copy."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from typing import Any


class IllegalActions(ValueError):  # noqa: N818 - an answer that was given
    """An answer that is not one action for each episode."""


@dataclass(frozen=True)
class ActionSpace:
    """The actions that an environment knows.

    Attributes:
        lowest: The least of them.
        highest: The greatest of them.
        is_discrete: Whether only integers count.
    """

    lowest: float
    highest: float
    is_discrete: bool

    def check(self, answer: Any, policies: int, episodes: int) -> None:
        """Check that an answer has an action for each episode, as one list for each policy.

        Raises:
            IllegalActions: if it is anything else.
        """
        if type(answer) is not list or len(answer) != policies:
            raise IllegalActions(f"{_shown(answer)}; expected {policies} lists, one for each policy")
        for policy, actions in enumerate(answer):
            if type(actions) is not list or len(actions) != episodes:
                raise IllegalActions(
                    f"{_shown(actions)} for policy {policy}; expected {episodes} numbers, one for each episode"
                )
            # NaN is in no range.
            if not set(map(type, actions)) <= self._kinds or not all(map(self._is_in_range, actions)):
                episode, action = next(
                    (episode, action) for episode, action in enumerate(actions) if not self._is_legal(action)
                )
                raise IllegalActions(
                    f"{_shown(action)} for policy {policy} in episode {episode}; expected "
                    f"{'an integer' if self.is_discrete else 'a number'} from {self.lowest:g} to {self.highest:g}"
                )

    @property
    def _kinds(self) -> set[type]:
        return {int} if self.is_discrete else {int, float}

    def _is_in_range(self, action: float) -> bool:
        return self.lowest <= action <= self.highest

    def _is_legal(self, action: Any) -> bool:
        return type(action) in self._kinds and self._is_in_range(action)


def _shown(value: Any) -> str:
    if type(value) is list:
        return f"a list of {len(value)}"
    # Not `repr`, which refuses integers of more than a few thousand digits.
    return "an integer out of range" if type(value) is int and abs(value) > 1 << 64 else reprlib.repr(value)
