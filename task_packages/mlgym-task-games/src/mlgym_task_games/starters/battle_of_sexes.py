"""A strategy for the battle of the sexes: a mixture of four simple habits.

The lines marked "tunable" declare parameters: values that may be changed within the range given there.
"""

import random

FIRST_MOVE = 0  # tunable: choice 0, 1

# After the first round, one of four habits is drawn with these weights. Only their proportions count.
PLAY_ZERO = 0.1  # tunable: float 0 to 1
PLAY_ONE = 0.1  # tunable: float 0 to 1
COPY_OPPONENT = 0.7  # tunable: float 0 to 1
REPEAT_OWN = 0.1  # tunable: float 0 to 1


def row_strategy(history: list[tuple[int, int]]) -> int:
    """Return the row player's next move, 0 or 1.

    `history` is a list of tuples (own move, opponent's move), oldest first.
    """
    if not history:
        return FIRST_MOVE
    own, opponent = history[-1]
    draw = random.random() * (PLAY_ZERO + PLAY_ONE + COPY_OPPONENT + REPEAT_OWN)
    if draw < PLAY_ZERO:
        return 0
    if draw < PLAY_ZERO + PLAY_ONE:
        return 1
    if draw < PLAY_ZERO + PLAY_ONE + COPY_OPPONENT:
        return opponent
    return own
