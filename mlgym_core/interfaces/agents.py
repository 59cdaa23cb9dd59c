"""Agents: what plays episodes."""

from __future__ import annotations

import abc
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from mlgym_core.env import AsyncEnv
    from mlgym_core.interfaces.models import Message
    from mlgym_core.interfaces.sandboxes import Mount


class Agent(abc.ABC):
    """Something that plays episodes.

    The typed keyword parameters of its `__init__` are its options (`-A key=value`). One instance plays one episode.

    Class attributes:
        sends_tools: Whether its model is sent the schemas of the tools, for `mlgym run --show-prompt`.
    """

    sends_tools: ClassVar[bool] = True

    @abc.abstractmethod
    def run(self, env: AsyncEnv) -> Awaitable[None] | None:
        """Play the episode `env`, which has been reset.

        Usually `async def run(self, env)`. A plain `def run(self, env)` is run in a thread and handed the
        synchronous face of the same environment. Returning without having submitted ends the episode, and what
        is in the workspace is graded.
        """

    def sandbox_mounts(self) -> Sequence[Mount]:
        """Return what the episode's sandbox is to show besides, such as a folder of packages; read-only.

        It is called in a thread, before any episode begins and again for each, and may take its time the first time.
        `env.path_inside` tells where what a mount shows is seen.

        Raises:
            MlgymError: if it cannot be had; nothing is played then.
        """
        return ()

    def opening(self, env: AsyncEnv) -> Sequence[Message] | Awaitable[Sequence[Message]]:
        """Return the messages that a language model sees first, for `mlgym run --show-prompt`; none unless it has one.

        It may be asynchronous, and look around in the environment.

        Args:
            env: The environment, which has been reset.
        """
        return ()
