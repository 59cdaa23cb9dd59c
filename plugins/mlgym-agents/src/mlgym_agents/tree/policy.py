"""What a tree search does next. Policies of your own derive from `Policy`."""

from __future__ import annotations

import abc
import importlib
from dataclasses import dataclass
from typing import Literal

from mlgym_agents.tree.nodes import Node, Tree
from mlgym_core import UsageError, did_you_mean

KINDS = ("draft", "debug", "improve")


@dataclass(frozen=True)
class Choice:
    """What to make next.

    Attributes:
        kind: `draft` begins anew, `debug` repairs `parent`, `improve` betters it.
        parent: A node of the tree; of a draft the start.
    """

    kind: Literal["draft", "debug", "improve"]
    parent: Node


class Policy(abc.ABC):
    """Chooses what a tree search makes next. One instance serves one episode.

    Args:
        drafts: How many drafts to begin with.
        debug_depth: How many repairs in a row to try of a draft or an improvement.
        seed: The episode's, for policies that draw.
    """

    def __init__(self, *, drafts: int, debug_depth: int, seed: int) -> None:
        self.drafts = drafts
        self.debug_depth = debug_depth
        self.seed = seed

    @abc.abstractmethod
    def choose(self, tree: Tree) -> Choice | None:
        """Return what to make next, or None to submit the best node now."""


class Greedy(Policy):
    """Repairs what is broken as long as that may help, makes its drafts, and then improves the best node."""

    def choose(self, tree: Tree) -> Choice | None:
        """Return what to make next."""
        repairable = [node for node in tree.broken_leaves if node.debug_depth < self.debug_depth]
        if repairable:
            return Choice("debug", repairable[-1])
        if len(tree.drafts) < self.drafts or tree.best is None:
            return Choice("draft", tree.start)
        return Choice("improve", tree.best)


def policy_class(target: str) -> type[Policy]:
    """Return the policy that `package.module:Class` or, for those of this module, `Class` names.

    Raises:
        UsageError: if there is none.
    """
    module_name, colon, class_name = target.rpartition(":")
    module_name = module_name or __name__
    if (colon and not module_name) or not class_name.isidentifier():
        raise UsageError(f"policy is {target!r}: write package.module:Class.")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # noqa: BLE001 - whatever breaks in somebody's module
        raise UsageError(
            f"The policy {target!r} cannot be loaded: {type(error).__name__}: {error}. Is its package installed, or "
            "its folder on PYTHONPATH?"
        ) from None
    found = getattr(module, class_name, None)
    policies = [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Policy) and value is not Policy
    ]
    if found is None:
        meant = did_you_mean([class_name], policies)
        raise UsageError(f"The policy {target!r} does not exist.{meant} {module_name} has: {', '.join(policies)}.")
    if not (isinstance(found, type) and issubclass(found, Policy) and found is not Policy):
        raise UsageError(f"The policy {target!r} does not derive from mlgym_agents.tree.policy.Policy.")
    return found
