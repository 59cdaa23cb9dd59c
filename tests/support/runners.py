"""Starting the runner of `runner.py` and talking to it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

_SUPPORT = Path(__file__).parent


class Runner:
    """A process with an episode in it, in a session and with a cache of its own.

    Args:
        folder: For its cache and its records.
        before: A command that becomes the one that follows it.
    """

    def __init__(
        self, sandbox: str, folder: Path, *, before: Sequence[str] = (), environment: Mapping[str, str] | None = None
    ) -> None:
        self.environment = {
            **os.environ,
            **(environment or {}),
            "MLGYM_CACHE_DIR": str(folder / "cache"),
            "PYTHONPATH": os.pathsep.join([str(_SUPPORT), *sys.path]),
        }
        command = [*before, sys.executable, str(_SUPPORT / "runner.py"), sandbox, str(folder / "runs")]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment,
            start_new_session=True,
        )
        assert self._answer() == "begun"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def _answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the runner ended"
        return str(json.loads(line))

    def tell(self, action: str | dict[str, Any]) -> None:
        """Give it an action, and do not wait."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(action) + "\n")
        self.process.stdin.flush()

    def step(self, action: str | dict[str, Any]) -> str:
        """Give it an action and return what is observed."""
        self.tell(action)
        return self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
            if kind is None:
                self.process.wait(60)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
