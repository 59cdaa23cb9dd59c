"""The agent that plays actions from a file."""

from __future__ import annotations

import json
from pathlib import Path

from mlgym_core.env import AsyncEnv
from mlgym_core.errors import UsageError
from mlgym_core.ids import slug
from mlgym_core.interfaces import Agent
from mlgym_core.types import Action


class ScriptAgent(Agent):
    """Plays the actions of a file, one after another, until the episode is over.

    Args:
        file: Path of a file with one JSON value a line: a string is a shell command, an object such as
            `{"tool": "validate"}` a tool call. `{task}` in the path stands for the task (`games-blotto`).
    """

    def __init__(self, *, file: str) -> None:
        self._file = file

    async def run(self, env: AsyncEnv) -> None:
        """Play the file."""
        for action in read_actions(Path(self._file.replace("{task}", slug(env.task.id)))):
            if env.is_over:
                return
            await env.step(action)


def read_actions(path: Path) -> list[Action]:
    """Return the actions of a script.

    Raises:
        UsageError: if the file cannot be read, naming the line that is not an action.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The script {path} cannot be read: {error}.") from None
    actions: list[Action] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            action = json.loads(line)
        except ValueError as error:
            raise UsageError(f"Line {number} of {path} is not JSON: {error}.") from None
        if not isinstance(action, str | dict):
            raise UsageError(f"Line {number} of {path} is neither a string (a command) nor an object (a tool call).")
        actions.append(action)
    return actions
