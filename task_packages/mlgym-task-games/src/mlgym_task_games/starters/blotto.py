"""A strategy for Colonel Blotto: reinforces random fields, then spreads what is left over the empty ones.

The lines marked "tunable" declare parameters: values that may be changed within the range given there.
"""

import random

SOLDIERS = 120
FIELDS = 6

# How many times a random field is reinforced: between these two numbers.
FEWEST_TIMES = 1  # tunable: int 1 to 6
MOST_TIMES = 6  # tunable: int 1 to 6

# How many soldiers are added each time: between these two numbers.
FEWEST_ADDED = 10  # tunable: int 0 to 40
MOST_ADDED = 30  # tunable: int 0 to 40

# Whether it is another field each time.
OTHER_FIELD = False  # tunable: choice False, True

# The largest share of the remaining soldiers that a field which is still empty may get.
LARGEST_SHARE = 1.0  # tunable: float 0 to 1


def row_strategy(history: list[tuple[list[int], list[int]]]) -> list[int]:
    """Return the row player's soldiers on each of the six fields, at most 120 in all.

    `history` is a list of tuples (own allocation, opponent's allocation), oldest first. It is not used here.
    """
    times = random.randint(*sorted((FEWEST_TIMES, MOST_TIMES)))
    if OTHER_FIELD:
        reinforced = random.sample(range(FIELDS), times)
    else:
        reinforced = [random.randrange(FIELDS) for _ in range(times)]
    allocation = [0] * FIELDS
    for field in reinforced:
        allocation[field] += random.randint(*sorted((FEWEST_ADDED, MOST_ADDED)))
    for field in range(FIELDS):
        if allocation[field] == 0:
            remaining = max(0, SOLDIERS - sum(allocation))
            allocation[field] = random.randint(0, int(remaining * LARGEST_SHARE))
    # Scale to all 120 soldiers, rounding down; whoever is left over goes to a random field.
    total = sum(allocation) or 1
    allocation = [number * SOLDIERS // total for number in allocation]
    allocation[random.randrange(FIELDS)] += SOLDIERS - sum(allocation)
    return allocation
