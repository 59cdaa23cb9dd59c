"""The reference: an item goes where it leaves the least room (best fit)."""


def choose_bin(item: int, free: list[int]) -> int:
    """Return the number of the bin for an item; `len(free)` is a new one."""
    fitting = [(room, number) for number, room in enumerate(free) if room >= item]
    return min(fitting)[1] if fitting else len(free)
