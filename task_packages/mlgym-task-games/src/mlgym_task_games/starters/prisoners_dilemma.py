"""A strategy for the iterated prisoner's dilemma: answers the opponent's last move, with some chance.

0 is to cooperate, 1 is to defect. The lines marked "tunable" declare parameters: values that may be changed within
the range given there.
"""

import random

# Probability of opening with 1.
FIRST_DEFECTS = 0.5  # tunable: float 0 to 1

# What to do after the opponent has played 1. Only the proportions of the three weights count.
AFTER_ONE_PLAY_ONE = 0.75  # tunable: float 0 to 1
AFTER_ONE_REPEAT_OWN = 0.15  # tunable: float 0 to 1
AFTER_ONE_PLAY_ZERO = 0.1  # tunable: float 0 to 1

# What to do after the opponent has played 0.
AFTER_ZERO_PLAY_ZERO = 0.6  # tunable: float 0 to 1
AFTER_ZERO_REPEAT_OWN = 0.3  # tunable: float 0 to 1
AFTER_ZERO_PLAY_ONE = 0.1  # tunable: float 0 to 1


def drawn(zero: float, one: float, repeat: float, own: int) -> int:
    """Return 0, 1 or `own`, drawn with the weights `zero`, `one` and `repeat`."""
    draw = random.random() * (zero + one + repeat)
    if draw < zero:
        return 0
    if draw < zero + one:
        return 1
    return own


def row_strategy(history: list[tuple[int, int]]) -> int:
    """Return the row player's next move, 0 or 1.

    `history` is a list of tuples (own move, opponent's move), oldest first.
    """
    if not history:
        return int(random.random() < FIRST_DEFECTS)
    own, opponent = history[-1]
    if opponent == 1:
        return drawn(AFTER_ONE_PLAY_ZERO, AFTER_ONE_PLAY_ONE, AFTER_ONE_REPEAT_OWN, own)
    return drawn(AFTER_ZERO_PLAY_ZERO, AFTER_ZERO_PLAY_ONE, AFTER_ZERO_REPEAT_OWN, own)
