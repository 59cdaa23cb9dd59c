"""The public ways to make an environment, and the face of it for code that is not asynchronous."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from mlgym_core.env import AsyncEnv, Info, StepResult
from mlgym_core.episode import Snapshot
from mlgym_core.interfaces import EpisodeModel, Message, ModelReply, Sampling, ToolSchema
from mlgym_core.making import EnvOptions, make_env
from mlgym_core.types import Action, EpisodeResult, Observation

Result = TypeVar("Result")
Runner = Callable[[Coroutine[Any, Any, Any]], Any]


class _OwnLoop:
    """Runs coroutines to their end on an event loop of its own.

    There is no thread behind it, so that it works after a fork; only where a loop is already running in the calling
    thread (a notebook, say) does a helper thread take over for the length of the call.
    """

    def __init__(self) -> None:
        self._process_id = -1
        self._loop: asyncio.AbstractEventLoop | None = None
        self._helper: ThreadPoolExecutor | None = None

    def __call__(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        if self._loop is None or self._process_id != os.getpid():
            self._process_id = os.getpid()
            self._loop = asyncio.new_event_loop()
            self._helper = None
        loop = self._loop
        if not _is_inside_a_loop():
            return loop.run_until_complete(coroutine)
        if self._helper is None:
            self._helper = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mlgym-env")
        return self._helper.submit(loop.run_until_complete, coroutine).result()

    def close(self) -> None:
        if self._loop is not None and self._process_id == os.getpid():
            self(self._loop.shutdown_default_executor())
            if self._helper is not None:
                self._helper.shutdown()
                self._helper = None
            self._loop.close()
            self._loop = None


def _is_inside_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class ModelFace:
    """The language model of an episode, as `env.model` in code that is not asynchronous.

    Args:
        core: The model behind this face.
        run: How its coroutines are run.
    """

    def __init__(self, core: EpisodeModel, run: Runner) -> None:
        self._core = core
        self._run = run

    def __getattr__(self, name: str) -> Any:
        """Show what the model itself shows, such as `calls` and `count_tokens`."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._core, name)

    def complete(
        self, messages: Sequence[Message], tools: Sequence[ToolSchema] = (), sampling: Sampling = Sampling()
    ) -> ModelReply:
        """Answer a conversation; see `EpisodeModel.complete`."""
        reply: ModelReply = self._run(self._core.complete(messages, tools, sampling))
        return reply


class Env:
    """A gym environment. Make it with `make`; it is a context manager, and `close` ends it.

    Args:
        core: The environment behind this face.
        run: How its coroutines are run.
        close_runner: Called when the environment is closed.
    """

    def __init__(self, core: AsyncEnv, run: Runner, close_runner: Callable[[], None] = lambda: None) -> None:
        self._core = core
        self._run = run
        self._close_runner = close_runner
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        """Show the public properties of the asynchronous environment, such as `tools` and `seconds_left`."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._core, name)

    @property
    def result(self) -> EpisodeResult | None:
        """The result of the episode that ended last, or None."""
        return self._core.result

    @property
    def observation(self) -> Observation:
        """The last observation."""
        return self._core.observation

    @property
    def is_over(self) -> bool:
        """Whether the episode has ended, so that `step` would raise."""
        return self._core.is_over

    @property
    def model(self) -> ModelFace | None:
        """The language model of the episode, or None if the environment was made without."""
        model = self._core.model
        return None if model is None else ModelFace(model, self._run)

    def reset(self, *, seed: int | None = None) -> tuple[Observation, Info]:
        """Begin an episode in a fresh workspace; see `AsyncEnv.reset`."""
        self._closed = False
        result: tuple[Observation, Info] = self._run(self._core.reset(seed=seed))
        return result

    def step(self, action: Action) -> StepResult:
        """Carry out an action; see `AsyncEnv.step`."""
        result: StepResult = self._run(self._core.step(action))
        return result

    def snapshot(self) -> Snapshot:
        """Return the episode as it is now; see `AsyncEnv.snapshot`."""
        result: Snapshot = self._run(self._core.snapshot())
        return result

    def fork(self, snapshot: Snapshot) -> Env:
        """Return another environment that goes on from a snapshot; see `AsyncEnv.fork`. Close it, too."""
        twin: AsyncEnv = self._run(self._core.fork(snapshot))
        # Whichever is closed last closes the event loop; one that is closed too early is made again.
        return Env(twin, self._run, self._close_runner)

    def restore(self, snapshot: Snapshot) -> Observation:
        """Bring files and shell back to a snapshot; see `AsyncEnv.restore`."""
        result: Observation = self._run(self._core.restore(snapshot))
        return result

    def close(self) -> None:
        """End what is going on and remove its traces from the machine. Safe to call twice."""
        if not self._closed:
            self._closed = True
            try:
                self._run(self._core.close())
            finally:
                self._close_runner()


def make(task: str, **options: Unpack[EnvOptions]) -> Env:
    """Return a gym environment over a task.

    Args:
        task: A task id, such as `games/blotto`.
        options: See `EnvOptions`.

    Raises:
        UsageError: if a name or value is not valid; the message says what is.

    Example:
        >>> with make("games/blotto") as env:  # doctest: +SKIP
        ...     observation, info = env.reset(seed=0)
        ...     observation, reward, terminated, truncated, info = env.step("ls")
    """
    run = _OwnLoop()
    try:
        core: AsyncEnv = run(make_env(task, **options))
    except BaseException:
        run.close()
        raise
    return Env(core, run, run.close)


@contextlib.asynccontextmanager
async def make_async(task: str, **options: Unpack[EnvOptions]) -> AsyncIterator[AsyncEnv]:
    """The same as `make` for asynchronous code: `async with make_async(…) as env`, then `await env.step(…)`."""
    async with await make_env(task, **options) as env:
        yield env
