"""The agent `exec`: a program of the user's that works inside the sandbox, with the episode's model at its side."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import secrets
import shlex
from collections.abc import Iterator, Sequence

from mlgym_agents.exec.endpoint import Endpoint
from mlgym_agents.exec.installation import PACKAGES, install
from mlgym_agents.exec.server import Server
from mlgym_agents.prompting import Prompts
from mlgym_agents.remaining import remaining
from mlgym_core import Agent, AsyncEnv, InfrastructureError, Message, Mount, Observation, UsageError, packages_for

PROMPTS = {"exec_task": ("left", "limits", "task", "tools")}
"""The agent's prompts, and what each is rendered with."""
_BETWEEN_LOOKS = 0.05
_log = logging.getLogger("mlgym.agents.exec")


class ExecAgent(Agent):
    """Runs a command in the sandbox that plays the episode by itself.

    Args:
        command: The command, for bash. `$MLGYM_TASK` is the text of the task, `$MLGYM_TASK_FILE` a file with it,
            `$MLGYM_MODEL` the model's name; `OPENAI_BASE_URL` and `OPENAI_API_KEY` are set.
        requirements: Python packages that the command needs, as requirement strings separated by white space.
        timeout: Seconds after which the command is ended. Unless given, what the episode has left of its time, or the
            action timeout where its time is not limited.
        prompts: Folder with a Jinja template that replaces the text of the task, `exec_task.md.jinja`.
    """

    sends_tools = False

    def __init__(
        self, *, command: str, requirements: str = "", timeout: float | None = None, prompts: str | None = None
    ) -> None:
        if not command.strip():
            raise UsageError(
                "command is empty: name the program to run, such as -A command='my-agent \"$MLGYM_TASK\"'."
            )
        if timeout is not None and not (math.isfinite(timeout) and timeout > 0):
            raise UsageError(f"timeout is {timeout}: it must be a positive number of seconds.")
        self._command = command
        self._requirements = requirements.split()
        self._timeout = timeout
        self._prompts = Prompts(PROMPTS, prompts)

    def sandbox_mounts(self) -> Sequence[Mount]:
        """Return the folder with the packages that the command requires.

        Raises:
            InfrastructureError: if they cannot be installed.
        """
        packages = packages_for(self._requirements, _log.warning)
        return () if packages is None else (Mount(packages, PACKAGES),)

    def opening(self, env: AsyncEnv) -> list[Message]:
        """Return the text of the task as a message. What else the command tells its model is its own affair.

        Raises:
            UsageError: if the user's prompt cannot be rendered.
        """
        return [{"role": "user", "content": self._task_text(env)}]

    def _task_text(self, env: AsyncEnv) -> str:
        tools = [str(tool["name"]) for tool in env.tools]
        known = {
            "task": env.task,
            "limits": env.limits,
            "tools": tools,
            "left": remaining(env, validates="validate" in tools),
        }
        return self._prompts.render("exec_task", **known)

    async def run(self, env: AsyncEnv) -> None:
        """Play the episode.

        Raises:
            BudgetExhausted: if a limit is reached.
            InfrastructureError: if the provider, the grader or the sandbox fails.
            UsageError: if the user's prompt cannot be rendered.
        """
        listener = await env.listen()
        secret = secrets.token_urlsafe(16)
        endpoint = Endpoint(env, secret)
        async with Server(listener.socket, endpoint.answer, endpoint.refuse):
            packages = await asyncio.to_thread(packages_for, self._requirements)
            url = f"http://{listener.host}:{listener.port}/{secret}"
            try:
                await install(env, self._task_text(env), url, packages)
            except InfrastructureError:
                if 0.0 in (env.seconds_left, env.working_seconds_left):
                    # Nothing is broken: the time did not even suffice for this.
                    return
                raise
            with _ended_with_working_time(env):
                observation = await env.run_program(self._command, seconds=self._seconds(env))
        if endpoint.failure is not None:
            raise endpoint.failure
        self._tell(env, observation)

    def _seconds(self, env: AsyncEnv) -> float | None:
        if self._timeout is not None or env.seconds_left is not None:
            return self._timeout
        return env.limits.action_timeout

    def _tell(self, env: AsyncEnv, observation: Observation) -> None:
        """Say what the user would otherwise learn from the record only."""
        name = shlex.quote(self._command[:60])
        if observation.timed_out and env.seconds_left != 0.0:
            _log.warning(
                "%s: the command %s was ended after %.0f s; what is in the workspace is graded. Give it more time with "
                "--max-time or -A timeout=SECONDS.", env.task.id, name, observation.duration_s,
            )  # fmt: skip
        elif observation.exit_code:
            last = observation.text.strip().rpartition("\n")[2][:300]
            _log.warning("%s: the command %s ended with status %d: %s", env.task.id, name, observation.exit_code, last)


@contextlib.contextmanager
def _ended_with_working_time(env: AsyncEnv) -> Iterator[None]:
    """End the command when no working time is left, which calls of the model do not use."""

    async def watch() -> None:
        while (left := env.working_seconds_left) is not None:
            # It may not have begun yet.
            if left <= 0.0 and env.end_command():
                return
            await asyncio.sleep(max(left, _BETWEEN_LOOKS))

    watching = asyncio.ensure_future(watch())
    try:
        yield
    finally:
        watching.cancel()
