"""The agent that does what the starter does: what it earns is the baseline."""

from __future__ import annotations

import shlex

from mlgym_core.env import AsyncEnv
from mlgym_core.interfaces import Agent


def run_script(path: str) -> str:
    """Return the shell command that runs a Python script of the workspace."""
    return f"python3 {shlex.quote(path)}"


class BaselineAgent(Agent):
    """Runs the task's baseline script, if it has one, and submits."""

    async def run(self, env: AsyncEnv) -> None:
        """Run the script and submit."""
        if env.task.baseline_script is not None:
            await env.step(run_script(env.task.baseline_script))
        if not env.is_over:
            await env.step({"tool": "submit"})
