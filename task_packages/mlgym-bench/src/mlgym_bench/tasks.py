"""The tasks of the benchmark: their variants, who provides them, and what was published as their baselines."""

from __future__ import annotations

from typing import NamedTuple

from mlgym_core import PublishedScore

PAPER = "MLGym: A New Framework and Benchmark for Advancing AI Research Agents (2025)"


class Variants(NamedTuple):
    """Which data variant of a task each suite runs.

    Attributes:
        full: That of 2025.
        mini: One for two processors, without a network.
    """

    full: str
    mini: str


# Tasks whose only variant is `full` need nothing but a processor.
TASKS = {
    "tabular/house-price": Variants("kaggle", "ames"),
    "algorithms/3sat-heuristic": Variants("full", "full"),
    "vision/cifar10": Variants("full", "mini"),
    "vision/fashion-mnist": Variants("full", "mini"),
    "vision/coco-captioning": Variants("full", "mini"),
    "language/fineweb": Variants("full", "mini"),
    "language/mnli": Variants("full", "mini"),
    "games/battle-of-sexes": Variants("full", "full"),
    "games/prisoners-dilemma": Variants("full", "full"),
    "games/blotto": Variants("full", "full"),
    "rl/breakout-minatar": Variants("full", "mini"),
    "rl/meta-maze": Variants("full", "mini"),
    "rl/mountain-car-continuous": Variants("full", "mini"),
}
"""By task, in the order of reports."""

DISTRIBUTIONS = {task: f"mlgym-task-{task.partition('/')[0]}" for task in TASKS}
"""Which distribution provides each task."""

PUBLISHED_BASELINES = {
    task: PublishedScore(value=value, metric=metric, source=PAPER)
    for task, (value, metric) in {
        "tabular/house-price": (0.880, "r2"),
        # Of 2025's own instances and machine. Here, decisions count instead, which no machine changes.
        "algorithms/3sat-heuristic": (16.158, "seconds"),
        "vision/cifar10": (0.497, "accuracy"),
        "vision/fashion-mnist": (0.783, "accuracy"),
        "vision/coco-captioning": (0.279, "bleu"),
        "language/fineweb": (4.673, "val_loss"),
        "language/mnli": (0.525, "accuracy"),
        "games/battle-of-sexes": (1.023, "payoff"),
        "games/prisoners-dilemma": (2.372, "payoff"),
        "games/blotto": (-0.248, "payoff"),
        "rl/breakout-minatar": (48.82, "reward_mean"),
        "rl/meta-maze": (15.73, "reward_mean"),
        "rl/mountain-car-continuous": (33.79, "reward_mean"),
    }.items()
}
"""What the publication of 2025 has as the score of each task's starter."""
