"""A grader as one would first write it: the strategy runs in the grader's process. Every attack here works on it.

Usage: python naive_grader.py FOLDER, where FOLDER holds strategy.py. The last line of its output is the result.
"""

import json
import random
import sys
from pathlib import Path
from typing import Any

SECRET_OPPONENT = "plays the first move with probability 0.8"


def opponent(history: list[tuple[int, int]]) -> int:
    if not history:
        return 1
    first = history[0][0]
    return first if random.random() < 0.8 else 1 - first


def main(folder: str, matches: int = 200, rounds: int = 10) -> None:
    source = (Path(folder) / "strategy.py").read_text()
    namespace: dict[str, Any] = {"__name__": "strategy"}
    exec(compile(source, "strategy.py", "exec"), namespace)
    total = 0.0
    for _ in range(matches):
        history: list[tuple[int, int]] = []
        for _ in range(rounds):
            row = namespace["row_strategy"](history)
            if row != 0 and row != 1:
                raise ValueError("not a move")
            column = opponent(history)
            history.append((row, column))
        for row, column in history:
            total += 0 if row != column else 2 if row == 0 else 1
    print(json.dumps({"payoff": total / (matches * rounds)}))


if __name__ == "__main__":
    random.seed(7)
    main(sys.argv[1])
