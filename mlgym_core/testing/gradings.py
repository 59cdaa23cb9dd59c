"""Gradings in one process, for tests of graders: without sandboxes, and without the wire to submitted programs."""

from __future__ import annotations

import marshal
import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlgym_core.errors import InvalidSubmission
from mlgym_core.grading.submission_runtime.serve import plain
from mlgym_core.interfaces import Grading, Kept, SubmittedProgram
from mlgym_core.types import Protocol, Split


class LocalProgram(SubmittedProgram):
    """Functions of this process that are called as a submitted program's are: with copies, for plain answers.

    Args:
        functions: The functions by name, or all that a submitted file defines.
    """

    def __init__(self, functions: Mapping[str, Any]) -> None:
        self._functions = functions
        self._kept: dict[str, bytes] = {}

    def keep(self, name: str, value: Any) -> Kept:
        """Keep a value under a name."""
        self._kept[name] = marshal.dumps(value, 2)
        return Kept(name)

    def call(self, function: str, *arguments: Any) -> Any:
        """Call a function with copies. Whatever it raises is an invalid submission."""
        copies = [self._copy(argument) for argument in arguments]
        try:
            return plain(self._functions[function](*copies))
        except Exception as error:
            raise InvalidSubmission(f"{function} raised {error!r}") from error

    def _copy(self, argument: Any) -> Any:
        is_kept = isinstance(argument, Kept)
        return marshal.loads(self._kept[argument.name] if is_kept else marshal.dumps(argument, 2))  # noqa: S302 - ours


class LocalGrading(Grading):
    """A grading in this process.

    Args:
        submission: Folder with the submitted files.
        functions: Stand for what the submitted program defines; if not given, the file is run.
        private: The task's private folder.

    Attributes:
        flags: Those that were raised.
    """

    def __init__(
        self,
        submission: Path,
        *,
        functions: Mapping[str, Callable[..., Any]] | None = None,
        private: Path | None = None,
        variant: str = "full",
        split: Split = "test",
        protocol: Protocol = "strict",
        seed: int = 0,
    ) -> None:
        self.submission = submission
        self.private = private or submission
        self.variant = variant
        self.split = split
        self.protocol = protocol
        self.seed = seed
        self.flags: list[str] = []
        self._functions = functions

    def flag(self, name: str) -> None:
        """Note a flag."""
        self.flags.append(name)

    def program(
        self, path: str, *, call_seconds: float = 1.0, total_seconds: float = 300.0, answer_bytes: int = 1 << 20
    ) -> SubmittedProgram:
        """Return the functions, or those of the submitted file, as a program. No limit holds."""
        return LocalProgram(runpy.run_path(str(self.submission / path)) if self._functions is None else self._functions)


__all__ = ["LocalGrading", "LocalProgram"]
