"""The baseline: an item goes into the newest bin if it fits there, and else into a new one."""

# How many of the newest bins are looked at.
LOOKED_AT = 1  # tunable: int 1 to 40


def choose_bin(item: int, free: list[int]) -> int:
    """Return the number of the bin for an item; `len(free)` is a new one."""
    for number in range(len(free) - 1, max(len(free) - 1 - LOOKED_AT, -1), -1):
        if free[number] >= item:
            return number
    return len(free)
