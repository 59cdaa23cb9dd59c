"""The ledger of compute: what an episode used of the machine, measured from outside of its sandbox.

Nothing in it is taken from what the agent says. So it has no steps of a training, and no tokens that a trained model
has seen: only the agent's own code could count these.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from mlgym_core.errors import BudgetExhausted
from mlgym_core.types import Compute


class ComputeLedger:
    """Adds up what an episode uses. What its forks use counts for it, too.

    Args:
        processor_seconds: Returns the processor time that the episode's sandbox has used, in seconds; None if unknown.
        counter: What that relies on.
        devices: Graphics processors that the episode was granted.
        origin: The ledger of the episode that this one is a fork of.
    """

    def __init__(
        self,
        processor_seconds: Callable[[], float | None],
        *,
        counter: str | None,
        devices: int = 0,
        origin: ComputeLedger | None = None,
    ) -> None:
        self._read = processor_seconds
        self._counter = counter
        self._devices = devices
        self._root: ComputeLedger = self if origin is None else origin._root
        self._forks: list[ComputeLedger] = []
        self._command_seconds = 0.0
        self._grading_seconds = 0.0
        self._command_began: float | None = None
        if origin is not None:
            origin._forks.append(self)

    @property
    def runs_command(self) -> bool:
        """Whether a command of the agent's is running."""
        return self._command_began is not None

    def begin_command(self) -> None:
        """Count the time from now until `end_command` as that of a command of the agent's."""
        self._command_began = time.monotonic()

    def end_command(self) -> None:
        """The command has ended."""
        if self._command_began is not None:
            self._command_seconds += time.monotonic() - self._command_began
            self._command_began = None

    @contextlib.contextmanager
    def grading(self) -> Iterator[None]:
        """Count the time of a grading."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._grading_seconds += time.monotonic() - began

    def processor_seconds(self) -> float | None:
        """Return the processor time of the episode's processes and its forks', in seconds; None if unknown."""
        used = self._read()
        for fork in self._forks:
            seconds = fork.processor_seconds()
            used = None if used is None or seconds is None else used + seconds
        return used

    def used(self) -> Compute:
        """Return all that was used so far."""
        command, grading = self._seconds()
        processor = self.processor_seconds()
        return Compute(
            command_s=round(command, 6),
            processor_s=None if processor is None else round(processor, 6),
            processor_counter=None if processor is None else self._counter,
            devices=self._devices,
            device_s=round(self._devices * command, 6) if self._devices else None,
            grading_s=round(grading, 6),
        )

    def _seconds(self) -> tuple[float, float]:
        """Return the time of commands, with the one that is running, and of gradings, in seconds."""
        command, grading = self._command_seconds, self._grading_seconds
        if self._command_began is not None:
            command += time.monotonic() - self._command_began
        for fork in self._forks:
            forks_command, forks_grading = fork._seconds()
            command, grading = command + forks_command, grading + forks_grading
        return command, grading

    def exhausted(self, max_processor_time: float | None) -> BudgetExhausted | None:
        """Return what says that an episode and all its forks have used their processor time, or None.

        Args:
            max_processor_time: In seconds; None for no limit.
        """
        if max_processor_time is None:
            return None
        used = self._root.processor_seconds()
        if used is None or used < max_processor_time:
            return None
        said = f"max_processor_time is reached: {used:.4g} of {max_processor_time:g} s of processor time are used."
        return BudgetExhausted("max_processor_time", said)

    def settle(self) -> None:
        """Take a last look at the sandbox, which is about to go."""
        last = self._read()
        self._read = lambda: last
