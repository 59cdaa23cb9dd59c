"""The agent that does what the starter does: what it earns is the baseline."""

from __future__ import annotations

import shlex

from mlgym_core.env import AsyncEnv
from mlgym_core.interfaces import Agent
from mlgym_core.types import Observation


def run_script(path: str) -> str:
    """Return the shell command that runs a Python script of the workspace."""
    return f"python3 {shlex.quote(path)}"


class BaselineAgent(Agent):
    """Runs the task's baseline script, if it has one, and submits."""

    async def run(self, env: AsyncEnv) -> None:
        """Run the script and submit."""
        await self.run_and_submit(env)

    async def run_and_submit(self, env: AsyncEnv) -> Observation | None:
        """Run the script and submit. Return what the script said, or None if the task has no script."""
        ran = None
        if env.task.baseline_script is not None:
            ran, *_ = await env.step(run_script(env.task.baseline_script))
        if not env.is_over:
            await env.step({"tool": "submit"})
        return ran
