"""A space of texts in any script.

Gymnasium's own `Text` lists its characters, which is not to be done for Unicode, and a text with any other character
comes out of the shared memory of `AsyncVectorEnv` as another text. This one goes through it as UTF-8.
"""

from __future__ import annotations

from collections.abc import Sequence
from multiprocessing.context import BaseContext
from typing import Any, overload

import numpy as np
from gymnasium import Space
from gymnasium.vector.utils import create_shared_memory, read_from_shared_memory, write_to_shared_memory

_LENGTH_BYTES = 4
_SAMPLE_CHARACTERS = tuple("abcdefghijklmnopqrstuvwxyz0123456789 .-_")
_SAMPLE_LENGTH = 12


class UnicodeText(Space[str]):
    """All texts of at most `max_bytes` bytes in UTF-8.

    Args:
        max_bytes: Largest size.
        seed: Seed for samples, which are short words of ordinary characters.
    """

    def __init__(self, max_bytes: int, seed: int | np.random.Generator | None = None) -> None:
        self.max_bytes = max_bytes
        super().__init__(dtype=str, seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        """Whether it can become an array of numbers: no."""
        return False

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """Return a short random text."""
        length = int(self.np_random.integers(1, min(_SAMPLE_LENGTH, self.max_bytes) + 1))
        return "".join(self.np_random.choice(_SAMPLE_CHARACTERS, size=length))

    def contains(self, x: Any) -> bool:
        """Whether `x` is a text of no more than the largest size."""
        return isinstance(x, str) and len(x.encode("utf-8", "surrogatepass")) <= self.max_bytes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnicodeText) and other.max_bytes == self.max_bytes

    __hash__ = None  # type: ignore[assignment]  # like Gymnasium's own spaces

    def __repr__(self) -> str:
        return f"UnicodeText({self.max_bytes})"


def _slot_bytes(space: UnicodeText) -> int:
    return _LENGTH_BYTES + space.max_bytes


@create_shared_memory.register(UnicodeText)
def _create(space: UnicodeText, n: int = 1, ctx: BaseContext | None = None) -> Any:
    import multiprocessing

    return (ctx or multiprocessing).Array("B", n * _slot_bytes(space))


@write_to_shared_memory.register(UnicodeText)
def _write(space: UnicodeText, index: int, value: str, shared_memory: Any) -> None:
    content = value.encode("utf-8", "surrogatepass")
    start = index * _slot_bytes(space)
    slot = len(content).to_bytes(_LENGTH_BYTES, "little") + content
    with shared_memory.get_lock():
        memoryview(shared_memory.get_obj()).cast("B")[start : start + len(slot)] = slot


@read_from_shared_memory.register(UnicodeText)
def _read(space: UnicodeText, shared_memory: Any, n: int = 1) -> LiveTexts:
    return LiveTexts(space, shared_memory, n)


class LiveTexts(Sequence[str]):
    """The texts that are in the shared memory at the moment of looking; a deep copy is a tuple of them.

    `AsyncVectorEnv` reads its memory once, expecting arrays that change with it, and hands out deep copies.
    """

    def __init__(self, space: UnicodeText, shared_memory: Any, number: int) -> None:
        self._space = space
        self._memory = shared_memory
        self._number = number

    def __len__(self) -> int:
        return self._number

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        if isinstance(index, slice):
            return tuple(self[position] for position in range(*index.indices(self._number)))
        position = range(self._number)[index]
        start = position * _slot_bytes(self._space)
        with self._memory.get_lock():
            memory = memoryview(self._memory.get_obj()).cast("B")
            length = int.from_bytes(memory[start : start + _LENGTH_BYTES], "little")
            begin = start + _LENGTH_BYTES
            return bytes(memory[begin : begin + length]).decode("utf-8", "surrogatepass")

    def __deepcopy__(self, memo: dict[int, Any]) -> tuple[str, ...]:
        return tuple(self)
