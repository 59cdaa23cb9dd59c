"""Between the two: an item goes into the newest of three bins that has room."""


def choose_bin(item: int, free: list[int]) -> int:
    """Return the number of the bin for an item; `len(free)` is a new one."""
    for number in range(len(free) - 1, max(len(free) - 4, -1), -1):
        if free[number] >= item:
            return number
    return len(free)
