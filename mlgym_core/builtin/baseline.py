"""The agent that does nothing: what it earns is the baseline."""

from __future__ import annotations

from mlgym_core.env import AsyncEnv
from mlgym_core.interfaces import Agent


class BaselineAgent(Agent):
    """Submits the starter untouched."""

    async def run(self, env: AsyncEnv) -> None:
        """Submit."""
        await env.step({"tool": "submit"})
