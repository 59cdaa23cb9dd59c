"""Solutions, and how each came from another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from mlgym_core import Snapshot

Kind = Literal["start", "draft", "debug", "improve"]


@dataclass(eq=False, kw_only=True)
class Node:
    """A solution: one answer of the model, applied to its parent's files, executed, and validated.

    Attributes:
        number: Its place in the order in which nodes were made; 0 is the start, which has the task's own files.
        kind: How it came about: `draft` begins anew, `debug` repairs its parent, `improve` betters it.
        parent: What it was applied to; None for the start.
        plan: What the model said it would do.
        files: What the model wrote, by path.
        output: What its command printed, as the model is shown it.
        score: The task's metric on the validation split; None if there is none.
        problem: Why it has no score; None if it has one.
        snapshot: Its files, and the shell's state.
        children: What was made of it.
    """

    number: int
    kind: Kind
    parent: Node | None = field(default=None, repr=False)
    plan: str = ""
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    output: str = field(default="", repr=False)
    score: float | None = None
    problem: str | None = None
    snapshot: Snapshot = field(repr=False)
    children: list[Node] = field(default_factory=list, repr=False)

    @property
    def is_broken(self) -> bool:
        """Whether something went wrong with it, so that it can be debugged."""
        return self.problem is not None

    @property
    def debug_depth(self) -> int:
        """How many repairs in a row led to it, itself included."""
        return 1 + self.parent.debug_depth if self.kind == "debug" and self.parent is not None else 0

    @property
    def all_files(self) -> dict[str, str]:
        """What the model wrote for it and for the nodes that it came from."""
        return {**(self.parent.all_files if self.parent is not None else {}), **self.files}


class Tree:
    """All nodes of an episode.

    Args:
        start: The node that has the task's own files.
        direction: Whether more or less of the metric is better.

    Attributes:
        start: The same.
        nodes: The others, in the order in which they were made.
        direction: `maximize` or `minimize`.
    """

    def __init__(self, start: Node, direction: Literal["maximize", "minimize"]) -> None:
        self.start = start
        self.direction = direction
        self.nodes: list[Node] = []

    def __iter__(self) -> Iterator[Node]:
        """Iterate over the nodes without the start, in the order in which they were made."""
        return iter(self.nodes)

    def add(self, node: Node) -> None:
        """Add a node to the tree and to its parent."""
        self.nodes.append(node)
        if node.parent is not None:
            node.parent.children.append(node)

    def is_better(self, score: float, other: float) -> bool:
        """Whether a score is better than another one."""
        return score > other if self.direction == "maximize" else score < other

    @property
    def best(self) -> Node | None:
        """The node with the best score, the first of several; None if none has one."""
        sign = 1 if self.direction == "maximize" else -1
        scored = [(sign * node.score, -node.number, node) for node in self.nodes if node.score is not None]
        return max(scored)[2] if scored else None

    @property
    def drafts(self) -> list[Node]:
        """The nodes that began anew."""
        return [node for node in self.nodes if node.kind == "draft"]

    @property
    def broken_leaves(self) -> list[Node]:
        """The nodes that have a problem, and of which nothing was made yet."""
        return [node for node in self.nodes if node.is_broken and not node.children]
