"""The agent that is a person at the terminal."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from mlgym_core.errors import UsageError
from mlgym_core.interfaces import Agent
from mlgym_core.types import Action

if TYPE_CHECKING:
    from mlgym_core.face import Env

_HELP = """\
Type shell commands. Besides them:
  :validate               grade what is in the workspace on the validation split
  :submit                 submit what is in the workspace and end the episode
  :call TOOL {JSON}       call any tool, such as  :call read_file {"path": "strategy.py"}
  :tools                  list the tools
  :task                   show the task again
  :quit                   stop; what is in the workspace is graded
  :help                   show this
"""


class HumanAgent(Agent):
    """Lets a person play the episode in the terminal."""

    def run(self, env: Env) -> None:  # type: ignore[override]  # the synchronous face, as for every plain `run`
        """Ask for actions until the episode is over."""
        self._say(env.task.description)
        self._say(_HELP)
        while not env.is_over:
            try:
                line = self._ask(f"[{env.observation.steps_left} steps left] {env.observation.cwd} $ ")
            except EOFError:
                return
            if not line:
                continue
            try:
                action = self._action(line, env)
            except UsageError as error:
                self._say(str(error))
                continue
            if action is None:
                if line == ":quit":
                    return
                continue
            observation, reward, *_ = env.step(action)
            self._say(observation.text)
            if reward:
                self._say(f"[reward {reward:+.4f}]")

    def _action(self, line: str, env: Env) -> Action | None:
        """Return the action that a line asks for, or None if it asked us something."""
        if not line.startswith(":"):
            return line
        command, _, rest = line[1:].partition(" ")
        if command in ("validate", "submit"):
            return {"tool": command}
        if command == "call":
            tool, _, arguments = rest.strip().partition(" ")
            try:
                return {"tool": tool, "arguments": json.loads(arguments or "{}")}
            except ValueError as error:
                raise UsageError(f"The arguments are not JSON: {error}") from None
        answers = {"task": env.task.description, "help": _HELP, "quit": ""}
        if command == "tools":
            self._say("\n".join(f"  {tool['name']}: {tool['description']}" for tool in env.tools))
        elif command in answers:
            self._say(answers[command])
        else:
            raise UsageError(f"There is no :{command}. Type :help for what there is.")
        return None

    @staticmethod
    def _ask(prompt: str) -> str:
        sys.stderr.write(prompt)
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.rstrip("\n")

    @staticmethod
    def _say(text: str) -> None:
        print(text, file=sys.stderr)
