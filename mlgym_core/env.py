"""The gym: one episode of a task at a time, as `reset`, `step` and `close`.

`AsyncEnv` is the one implementation; `mlgym_core.face.Env` is the same for code that is not asynchronous.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mlgym_core.budgets import Budget, EpisodeClock
from mlgym_core.compute import ComputeLedger
from mlgym_core.episode import (
    Episode,
    EpisodeIdentity,
    Snapshot,
    as_call,
    invalid_score,
    now,
    score_text,
    split_of_validations,
    task_view,
)
from mlgym_core.errors import (
    BudgetExhausted,
    EpisodeOver,
    InfrastructureError,
    InvalidSubmission,
    MlgymError,
    SandboxError,
    ToolError,
    UsageError,
)
from mlgym_core.grading.grader import GradingOrder, grade_submission
from mlgym_core.grading.places import place_to_grade
from mlgym_core.ids import slug
from mlgym_core.interfaces import EpisodeModel, Model, Mount, Sandbox, SharedNotes, ToolContext, ToolResult
from mlgym_core.journal import Journal, Observer
from mlgym_core.limits import Limits, exit_reason_of
from mlgym_core.metering import MeteredModel
from mlgym_core.notes import NotesFile
from mlgym_core.preparation import PreparedTask
from mlgym_core.records import episode_folder, write_json
from mlgym_core.rewards import RewardLedger
from mlgym_core.sandbox.listening import Listener
from mlgym_core.sandbox.scratch import remove_scratch, scratch_folder
from mlgym_core.sandbox.shell import as_text
from mlgym_core.toolbox import BoundTool
from mlgym_core.types import (
    Action,
    EpisodeResult,
    ExitReason,
    Integrity,
    Observation,
    Protocol,
    RewardScheme,
    Score,
    Split,
    Status,
    Tokens,
    ToolCall,
)
from mlgym_core.workplace import Workplace

Info = dict[str, Any]
_LOOK_SECONDS = 1.0
"""How often is looked at what a command uses. Most commands end before that."""
_RECORD_SECONDS = 5.0
"""How old may be what the record says of what was used."""
StepResult = tuple[Observation, float, bool, bool, Info]


class AsyncEnv(ToolContext):
    """A gym environment over one task. Make it with `make_async`.

    Attributes:
        task: What agents may know of the task.
        limits: What an episode may use.
        result: The `EpisodeResult` of the episode that ended last, or None.
    """

    def __init__(
        self,
        prepared: PreparedTask,
        sandbox_name: str,
        sandbox_class: type[Sandbox],
        tools: dict[str, BoundTool],
        *,
        seed: int,
        reward: RewardScheme,
        protocol: Protocol,
        limits: Limits,
        run_folder: Path | None,
        identity: EpisodeIdentity,
        observers: Sequence[Observer] = (),
        model: Model | None = None,
        run_budget: Budget | None = None,
        owns_model: bool = False,
        on_text: Callable[[str], None] | None = None,
        mounts: Sequence[Mount] = (),
    ) -> None:
        self._prepared = prepared
        self.task = task_view(prepared, protocol)
        self.limits = limits
        self.result: EpisodeResult | None = None
        self._sandbox_name = sandbox_name
        self._sandbox_class = sandbox_class
        self._tools = tools
        self._seed = seed
        self._reward: RewardScheme = reward
        self._protocol: Protocol = protocol
        self._run_folder = run_folder
        self._identity = identity
        self._observers = observers
        self._model = model
        self._run_budget = run_budget
        self._owns_model = owns_model
        self._on_text = on_text
        self._mounts = mounts
        self._episode: Episode | None = None
        self._busy = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # ------------------------------------------------------------------------------- what agents look at

    @property
    def tools(self) -> list[dict[str, Any]]:
        """The tools on offer, each `{"name", "description", "parameters"}` with a JSON schema."""
        return [tool.schema() for tool in self._tools.values()]

    @property
    def observation(self) -> Observation:
        """The last observation; after `reset`, the task's description.

        Raises:
            EpisodeOver: if no episode is going on.
        """
        episode = self._current()
        assert episode.observation is not None
        return episode.observation

    @property
    def is_over(self) -> bool:
        """Whether the episode has ended, so that `step` would raise."""
        return self._episode is None

    @property
    def seed(self) -> int:
        """The seed of the current or, before it, the next episode."""
        return self._seed if self._episode is None else self._episode.seed

    @property
    def seconds_left(self) -> float | None:
        """Wall time that the episode still has, in seconds; None without a limit."""
        return self._current().clock.seconds_left

    @property
    def working_seconds_left(self) -> float | None:
        """Time without that in which the language model is waited for, in seconds; None without a limit."""
        limit = self.limits.max_working_time
        return None if limit is None else max(limit - self._current().clock.working, 0.0)

    @property
    def validations_left(self) -> int | None:
        """Validations that are still allowed; None without a limit."""
        if self._protocol == "paper" or self.limits.max_validations is None:
            return None
        return max(self.limits.max_validations - self._current().meter.used, 0)

    @property
    def model(self) -> EpisodeModel | None:
        """The language model that the environment was made with, or None if it was made without.

        Raises:
            EpisodeOver: if no episode is going on.
        """
        return None if self._model is None else self._current().model

    # ------------------------------------------------------------------------------------ the gym's verbs

    async def reset(self, *, seed: int | None = None) -> tuple[Observation, Info]:
        """Begin an episode in a fresh workspace and return the task's description.

        Args:
            seed: Replaces the seed that the environment was made with, from now on.

        Raises:
            InfrastructureError: if the sandbox cannot be started.
        """
        await self._abandon()
        if seed is not None:
            self._seed = seed
        ledger = RewardLedger(self._reward, self._prepared.task.floor)
        episode = await self._begin(self._identity.episode_id, ledger)
        observation = Observation(
            text=self.task.description, cwd=episode.workplace.working_directory, steps_left=self.limits.max_steps
        )
        self._record_beginning(episode, observation)
        info = {
            "episode_id": episode.id,
            "task": self.task.id,
            "variant": self.task.variant,
            "seed": episode.seed,
            "sandbox": self._sandbox_name,
            "metric": self.task.metric,
            "direction": self.task.direction,
            "baseline": self.task.baseline,
        }
        return observation, info

    async def snapshot(self) -> Snapshot:
        """Return the episode as it is now: workspace, home and temporary files, shell variables, functions, directory.

        Background processes are not part of it.

        Raises:
            EpisodeOver: if no episode is going on.
            SandboxError: if the files or the shell's state cannot be read.
        """
        episode = self._idle()
        assert episode.observation is not None
        return Snapshot(
            episode_id=episode.id,
            step=episode.steps,
            observation=episode.observation,
            _workplace=await episode.workplace.snapshot(),
            _ledger=episode.ledger.copy(),
            _meter=episode.meter,
            _budget=episode.budget,
            _compute=episode.compute,
            _best_validation=episode.best_validation,
            _seed=episode.seed,
        )

    async def fork(self, snapshot: Snapshot) -> AsyncEnv:
        """Return another environment whose episode goes on from a snapshot, independently.

        It has taken as many steps, and its rewards go on from those until then. Validations, and what model calls cost,
        are metered for an episode and all its forks together; its time begins anew. It returns while the shell is
        still starting; a shell that does not start is a failure of the infrastructure in the first step.

        Raises:
            SandboxError: if its sandbox does not start.
        """
        twin = AsyncEnv(
            self._prepared,
            self._sandbox_name,
            self._sandbox_class,
            self._tools,
            seed=snapshot._seed,
            reward=self._reward,
            protocol=self._protocol,
            limits=self.limits,
            run_folder=self._run_folder,
            identity=dataclasses.replace(self._identity, episode_id=None),
            observers=self._observers,
            model=self._model,
            run_budget=self._run_budget,
            on_text=self._on_text,
            mounts=self._mounts,
        )
        episode = await twin._begin(None, snapshot._ledger.copy(), snapshot)
        episode.steps = snapshot.step
        episode.meter = snapshot._meter
        episode.best_validation = snapshot._best_validation
        twin._record_beginning(episode, snapshot.observation, snapshot)
        return twin

    async def restore(self, snapshot: Snapshot) -> Observation:
        """Bring files and shell back to a snapshot and return the observation that came before it.

        Steps, validations, time and rewards are not brought back: what is spent is spent. Background processes end.

        Raises:
            EpisodeOver: if no episode is going on.
            SandboxError: if the shell does not start.
        """
        episode = self._idle()
        await episode.workplace.restore(snapshot._workplace)
        left = max(self.limits.max_steps - episode.steps, 0)
        observation = snapshot.observation.model_copy(update={"steps_left": left})
        self._record_beginning(episode, observation, snapshot)
        return observation

    def fall_back_on(self, snapshot: Snapshot | None) -> None:
        """Say what is graded if the episode ends otherwise than by `submit`: at a limit, say, or when its agent stops.

        Without it, that is what lies in the workspace at that moment. The last call counts; forks do not inherit it.

        Args:
            snapshot: A snapshot of this episode, or None for the workspace again.

        Raises:
            EpisodeOver: if no episode is going on.
        """
        self._current().fallback = snapshot

    async def _begin(self, episode_id: str | None, ledger: RewardLedger, origin: Snapshot | None = None) -> Episode:
        self.result = None
        episode_id = episode_id or f"{slug(self._prepared.spec.id)}-{secrets.token_hex(5)}"
        folder = None if self._run_folder is None else episode_folder(self._run_folder, episode_id)
        place = None if origin is None else origin._workplace
        workplace = Workplace(self._prepared, self._sandbox_class, place, self._mounts)
        resources = self._prepared.spec.resources
        compute = ComputeLedger(
            workplace.processor_seconds,
            counter=self._sandbox_class.processor_time_counter(),
            devices=0 if resources is None else resources.gpus,
            origin=None if origin is None else origin._compute,
        )
        try:
            await workplace.open()
            if self.limits.max_processor_time is not None and compute.processor_seconds() is None:
                raise SandboxError(
                    f"The sandbox {self._sandbox_name!r} does not tell how much processor time its processes use, so "
                    "that max_processor_time cannot be held. Leave it out, or choose another sandbox."
                )
            journal = Journal(episode_id, folder, self._observers)
        except BaseException as error:
            await workplace.close()
            if isinstance(error, InfrastructureError):
                self.result = self._base_result(episode_id, folder).model_copy(update={"error": str(error)})
                self._write_result(folder)
            raise
        clock = EpisodeClock(self.limits, self._run_budget)
        budget = Budget.of_episode(self.limits) if origin is None else origin._budget
        self._episode = Episode(episode_id, self._seed, folder, workplace, journal, ledger, clock, budget, compute)
        self._episode.is_fork = origin is not None
        if self._model is not None:
            budgets = [budget] if self._run_budget is None else [budget, self._run_budget]
            self._episode.model = MeteredModel(
                self._model,
                self._identity.model or "",
                journal,
                clock,
                budgets,
                repeat=self._identity.repeat,
                on_text=self._on_text,
            )
        return self._episode

    def _record_beginning(self, episode: Episode, observation: Observation, origin: Snapshot | None = None) -> None:
        episode.observation = observation
        episode.journal.reset(
            task=self._prepared.spec.id,
            variant=self._prepared.variant,
            protocol=self._protocol,
            reward=self._reward,
            seed=episode.seed,
            sandbox=self._sandbox_name,
            text=observation.text,
            origin=None if origin is None else origin.origin,
        )

    async def step(self, action: Action) -> StepResult:
        """Carry out an action: a shell command (a string), or a tool call (`{"tool": …, "arguments": {…}}`).

        Returns:
            Observation, reward, terminated, truncated, info. With the last step, `info` holds the `score`, the
            `exit_reason` and, if the infrastructure failed, `mask`: then the step must not be learnt from.

        Raises:
            EpisodeOver: if no episode is going on.
            UsageError: if the action is neither, or another step is going on.
        """
        episode = self._idle()
        call = as_call(action)
        self._busy = True
        try:
            return await self._step(episode, call)
        finally:
            self._busy = False

    async def _step(self, episode: Episode, call: ToolCall) -> StepResult:
        episode.steps += 1
        episode.step_reward = 0.0
        episode.journal.action(step=episode.steps, tool=call.tool, arguments=call.arguments)
        began = time.perf_counter()
        error = False
        try:
            result = await self._call_tool(call)
        except ToolError as problem:
            result, error = ToolResult(text=str(problem)), True
        except InfrastructureError as problem:
            return await self._fail(episode, problem)
        except EpisodeOver:
            raise
        except Exception as problem:  # noqa: BLE001 - a bug, ours or a tool's
            # Not a failure of the infrastructure: an agent that found such a bug could end bad episodes with it.
            message = f"The tool {call.tool!r} broke: {type(problem).__name__}: {problem}"
            episode.journal.error(message=message)
            result, error = ToolResult(text=message), True
        observation = self._observe(episode, result, time.perf_counter() - began, error=error)
        reason, limit = self._reason_to_end(episode)
        if reason is None:
            episode.journal.observation(observation, step=episode.steps, reward=episode.step_reward)
            return observation, episode.step_reward, False, False, {}
        if limit is not None:
            episode.journal.limit(name=limit)
        try:
            score = await self._grade_final(episode, reason)
        except InfrastructureError as problem:
            return await self._fail(episode, problem)
        reward = episode.step_reward + episode.ledger.final(score.normalized)
        episode.journal.observation(observation, step=episode.steps, reward=episode.step_reward)
        episode.journal.score(score, reward=reward - episode.step_reward)
        status: Status = "completed" if score.valid else "invalid_submission"
        await self._end(episode, status, reason, limit=limit, score=score)
        info: Info = {"score": score, "exit_reason": reason, "limit": limit}
        return observation, reward, reason == "submitted", reason != "submitted", info

    def _observe(self, episode: Episode, result: ToolResult, seconds: float, *, error: bool = False) -> Observation:
        """Return what a tool's result looks like to the agent, which is the last observation from now on."""
        episode.observation = Observation(
            text=_encodable(result.text),
            exit_code=result.exit_code,
            duration_s=seconds,
            truncated=result.truncated,
            timed_out=result.timed_out,
            cwd=_encodable(episode.workplace.working_directory),
            steps_left=max(self.limits.max_steps - episode.steps, 0),
            score=result.score,
            error=error,
        )
        return episode.observation

    async def run_program(self, command: str, *, seconds: float | None = None) -> Observation:
        """Run a command that plays the episode by itself, such as another agent's program, and wait for its end.

        It is no step, and the episode goes on after it: let the agent return, so that what is in the workspace is
        graded. Meanwhile other tasks may call `validate`, `submit`, `count_step` and `end_command`, but not `step`.

        Args:
            command: A shell command.
            seconds: Wall time after which it is ended; what the episode has left unless given. The working time that
                is left is not looked at, since model calls may stop it: end the command when none is left.

        Raises:
            EpisodeOver: if no episode is going on.
            ToolError: if the command is too long.
            UsageError: if a step is going on.
            SandboxError: if the sandbox fails.
        """
        episode = self._idle()
        limits = [limit for limit in (seconds, episode.clock.seconds_left) if limit is not None]
        self._busy = True
        try:
            episode.step_reward = 0.0
            episode.journal.action(step=episode.steps, tool="bash", arguments={"command": command})
            began = time.perf_counter()
            result = await self._run_in_shell(episode, command, min(limits, default=None))
            observation = self._observe(episode, result, time.perf_counter() - began)
            episode.journal.observation(observation, step=episode.steps, reward=episode.step_reward)
            return observation
        finally:
            self._busy = False

    def count_step(self) -> None:
        """Count a step that a program, which `run_program` runs, is about to take: a call of its model, say.

        Raises:
            BudgetExhausted: if no step is left.
            EpisodeOver: if no episode is going on.
        """
        episode = self._current()
        if episode.steps >= self.limits.max_steps:
            raise BudgetExhausted("max_steps", f"max_steps is reached: all {self.limits.max_steps} steps are taken.")
        episode.steps += 1

    def end_command(self) -> bool:
        """End the shell command that is running, with everything it started, and return whether one was running.

        Whoever waits for it, in another task, gets what it printed so far.

        Raises:
            EpisodeOver: if no episode is going on.
        """
        episode = self._current()
        ended = episode.workplace.end_command()
        episode.command_was_ended |= ended
        return ended

    async def listen(self) -> Listener:
        """Return a listening socket on the loopback interface inside the sandbox, to be accepted from out here.

        It works where the sandbox has no network, too. Where it shares that of the host, every process of the host can
        connect. It leads nowhere any more once the shell has ended, and is closed by whoever asked for it.

        Raises:
            EpisodeOver: if no episode is going on.
            SandboxError: if the sandbox cannot give one.
        """
        return await self._idle().workplace.listen()

    def path_inside(self, path: Path) -> str:
        """Return the path at which the sandbox shows a path of the host, such as one below a mount of the agent's.

        Raises:
            EpisodeOver: if no episode is going on.
            UsageError: if it does not show it.
        """
        try:
            return self._current().workplace.sandbox.inside(path)
        except ValueError as error:
            raise UsageError(f"{error} Name it in the agent's `sandbox_mounts`.") from None

    async def close(self) -> None:
        """End what is going on and remove its traces from the machine. An unfinished episode counts as interrupted."""
        try:
            await self._abandon()
        finally:
            if self._owns_model and self._model is not None:
                await self._model.close()

    async def finish(
        self, exit_reason: ExitReason = "agent_exit", *, limit: str | None = None, error: str | None = None
    ) -> EpisodeResult:
        """End the episode without a submission of the agent's: grade what is in the workspace.

        If the agent has submitted before, that is why it ends; likewise if a model call has run into a limit, or time
        is up.

        Args:
            limit: The limit that ends it, such as `max_cost`; the exit reason follows from it.
            error: What broke, if that ends it and is no reason not to grade it.

        Raises:
            EpisodeOver: if no episode is going on.
        """
        episode = self._idle()
        if exit_reason == "agent_exit" and limit is None:
            if episode.submitted:
                exit_reason = "submitted"
            elif episode.model is not None and episode.model.exhausted is not None:
                limit = episode.model.exhausted.limit
            elif (late := episode.clock.exhausted() or self._used_up(episode)) is not None:
                limit = late.limit
        if limit is not None:
            exit_reason = exit_reason_of(limit)
            episode.journal.limit(name=limit)
        if error is not None:
            episode.journal.error(message=error)
        try:
            score = await self._grade_final(episode, exit_reason)
        except InfrastructureError as problem:
            await self._fail(episode, problem)
        else:
            reward = episode.ledger.final(score.normalized)
            episode.journal.score(score, reward=reward)
            status: Status = "completed" if score.valid else "invalid_submission"
            await self._end(episode, status, exit_reason, limit=limit, score=score, error=error)
        assert self.result is not None
        return self.result

    async def fail(self, message: str) -> EpisodeResult:
        """End the episode because something outside it broke, such as the agent's own code.

        Raises:
            EpisodeOver: if no episode is going on.
        """
        await self._fail(self._current(), MlgymError(message))
        assert self.result is not None
        return self.result

    def refuse(self, limit: BudgetExhausted) -> EpisodeResult:
        """Have a result, which is not recorded, that says that an episode did not begin because of a limit."""
        self.result = self._base_result(self._identity.episode_id or "", None).model_copy(
            update={
                "status": "interrupted",
                "exit_reason": exit_reason_of(limit.limit),
                "limit": limit.limit,
                "error": f"The episode did not begin: {limit}",
            }
        )
        return self.result

    async def give_up(self, limit: BudgetExhausted) -> None:
        """End the episode as interrupted, since a limit left it nothing to be played with: what is there is no result.

        Raises:
            EpisodeOver: if no episode is going on.
        """
        reason = exit_reason_of(limit.limit)
        await self._end(
            self._idle(), "interrupted", reason, limit=limit.limit, error=f"Nothing could be played: {limit}"
        )

    # ------------------------------------------------------------------------------ what tools are given

    async def run_shell(self, command: str) -> ToolResult:
        return await self._run_in_shell(self._current(), command, self._action_seconds())

    async def _run_in_shell(self, episode: Episode, command: str, seconds: float | None) -> ToolResult:
        episode.command_was_ended = False
        self._watch(episode)
        episode.compute.begin_command()
        try:
            result = await episode.workplace.run(command, seconds)
        finally:
            episode.compute.end_command()
        self._record_compute(episode)
        text = as_text(result.output)
        notes = []
        timed_out = result.timed_out and not episode.command_was_ended
        used_up = self._used_up(episode) if result.timed_out and episode.command_was_ended else None
        if used_up is not None:
            notes.append(f"[The command was ended, and so were its processes: {used_up}]")
        elif result.timed_out and episode.command_was_ended:
            notes.append("[The command was ended, and so were its processes.]")
        elif result.timed_out:
            notes.append(
                f"[The command was still running after {seconds:g} s, so that it and its processes were ended.]"
            )
        notes += [f"[{episode.workplace.limit_text(name)}]" for name in result.limits_reached]
        if result.restarted:
            notes.append(
                "[The shell ended. A new one was started in the workspace; variables, functions and background "
                "processes are gone, files are still there.]"
            )
        if notes:
            text = "\n".join([*([text.rstrip("\n")] if text.strip() else []), *notes])
        return ToolResult(
            text=text, exit_code=result.exit_code, truncated=result.omitted_bytes > 0, timed_out=timed_out
        )

    def _watch(self, episode: Episode) -> None:
        """See to it that what commands use is looked at while they run, as long as the episode goes on.

        One timer for all commands: most of them end before anybody looks, and should not have to pay for one each.
        """
        loop = asyncio.get_running_loop()
        if episode.watching_loop is loop:
            return
        if episode.watch is not None:
            episode.watch.cancel()
        episode.watching_loop = loop
        episode.watch = loop.call_later(_LOOK_SECONDS, self._look, episode)

    def _look(self, episode: Episode) -> None:
        """Record what a command has used, and end it at the limit."""
        if episode.compute.runs_command:
            if self._used_up(episode) is not None:
                episode.command_was_ended |= episode.workplace.end_command()
            with contextlib.suppress(OSError):  # the next event says that the disk is full
                self._record_compute(episode)
        assert episode.watching_loop is not None
        episode.watch = episode.watching_loop.call_later(_LOOK_SECONDS, self._look, episode)

    @staticmethod
    def _record_compute(episode: Episode) -> None:
        now_ = time.monotonic()
        if now_ - episode.compute_recorded > _RECORD_SECONDS:
            episode.compute_recorded = now_
            episode.journal.compute(episode.compute.used())

    def _used_up(self, episode: Episode) -> BudgetExhausted | None:
        return episode.compute.exhausted(self.limits.max_processor_time)

    async def read_file(self, path: str, max_bytes: int) -> bytes:
        return await self._current().workplace.read_file(path, max_bytes)

    async def write_file(self, path: str, content: bytes) -> None:
        await self._current().workplace.write_file(path, content)

    async def validate(self) -> ToolResult:
        episode = self._current()
        # A program in the sandbox may ask for several at once, and for one while the episode ends.
        async with episode.grading:
            if episode.is_ending:
                raise EpisodeOver("The episode is ending; nothing is validated any more.")
            return await self._validate(episode)

    async def _validate(self, episode: Episode) -> ToolResult:
        left = self.validations_left
        if left == 0:
            raise ToolError("No validation is left. Submit when you are done.")
        episode.validations += 1
        episode.meter.used += 1
        score = await self._grade(episode, split_of_validations(self._protocol))
        if self._episode is not episode:
            raise EpisodeOver("The environment was closed while a validation was going on.")
        reward = episode.ledger.validation(score.normalized) if self._protocol == "strict" else 0.0
        episode.step_reward += reward
        if score.value is not None:
            better = max if score.direction == "maximize" else min
            best = episode.best_validation
            episode.best_validation = score.value if best is None else better(best, score.value)
        episode.journal.validation(score, step=episode.steps, number=episode.validations)
        text = score_text(score, "Validation" if self._protocol == "strict" else "Test")
        if left is not None:
            text += f"\nValidations left: {left - 1}."
        return ToolResult(text=text, score=score)

    @property
    def shared_notes(self) -> SharedNotes | None:
        if self._run_folder is None or not self._notes_are_shared:
            return None
        return NotesFile(
            self._run_folder,
            agent=self._identity.agent,
            model=self._identity.model,
            episode_id=self._current().id,
            task=self.task.id,
        )

    @property
    def _notes_are_shared(self) -> bool:
        return any(tool.shares_notes for tool in self._tools.values())

    async def submit(self) -> ToolResult:
        self._current().submitted = True
        return ToolResult(text="Submitted. The episode is over.")

    # ---------------------------------------------------------------------------------------- inner works

    def _current(self) -> Episode:
        if self._episode is None:
            raise EpisodeOver("No episode is going on: call reset() first.")
        if not self._episode.workplace.belongs_to_this_process:
            raise EpisodeOver("This episode belongs to the process that began it: call reset() in this one.")
        return self._episode

    def _idle(self) -> Episode:
        episode = self._current()
        if self._busy:
            raise UsageError("A step of this episode is still going on; an environment takes one action at a time.")
        return episode

    async def _call_tool(self, call: ToolCall) -> ToolResult:
        tool = self._tools.get(call.tool)
        if tool is None:
            raise ToolError(f"There is no tool {call.tool!r}. There are: {', '.join(self._tools)}.")
        result: object = await tool(self, call.arguments)
        if not isinstance(result, ToolResult) or not isinstance(result.text, str):
            said = f"a {type(result).__name__}" if not isinstance(result, ToolResult) else "one without a text"
            raise TypeError(f"it returned {said}, and not a ToolResult with a text")
        return result

    def _action_seconds(self) -> float:
        left = self._current().clock.action_seconds_left
        return self.limits.action_timeout if left is None else min(self.limits.action_timeout, left)

    def _reason_to_end(self, episode: Episode) -> tuple[ExitReason | None, str | None]:
        """Return why the episode ends now, and which limit it is, if it is one."""
        if episode.submitted:
            return "submitted", None
        found = [episode.model.exhausted if episode.model is not None else None, episode.budget.exhausted()]
        found += [None if self._run_budget is None else self._run_budget.exhausted(), episode.clock.exhausted()]
        found += [self._used_up(episode)]
        for exhausted in found:
            if exhausted is not None:
                return exit_reason_of(exhausted.limit), exhausted.limit
        return ("max_steps", "max_steps") if episode.steps >= self.limits.max_steps else (None, None)

    async def _grade_final(self, episode: Episode, reason: ExitReason) -> Score:
        async with episode.grading:
            episode.is_ending = True
            if reason != "submitted" and episode.fallback is not None:
                await episode.workplace.restore(episode.fallback._workplace)
                self._record_beginning(episode, episode.fallback.observation, episode.fallback)
            await episode.workplace.end_processes()
            return await self._grade(episode, "test", exit_reason=reason)

    async def _grade(self, episode: Episode, split: Split, *, exit_reason: ExitReason | None = None) -> Score:
        submission = scratch_folder("submission")
        try:
            try:
                await episode.workplace.copy_submission(submission)
            except InvalidSubmission as problem:
                score = invalid_score(self._prepared, split, self._protocol, str(problem))
            else:
                order = GradingOrder(split, self._protocol, episode.seed, self._identity.repeat)
                async with place_to_grade():
                    with episode.compute.grading():
                        score = await grade_submission(self._prepared, submission, self._sandbox_class, order)
            if exit_reason is not None:
                self._keep_submission(episode, submission, exit_reason)
            return score
        finally:
            remove_scratch(submission)

    @staticmethod
    def _keep_submission(episode: Episode, submission: Path, exit_reason: ExitReason) -> None:
        files = sorted(str(path.relative_to(submission)) for path in submission.rglob("*") if path.is_file())
        if episode.folder is not None:
            shutil.copytree(submission, episode.folder / "submission", dirs_exist_ok=True)
        episode.journal.submission(files=files, exit_reason=exit_reason)

    async def _fail(self, episode: Episode, problem: MlgymError) -> StepResult:
        if self._episode is not episode:
            raise EpisodeOver("The environment was closed while the step was going on.") from problem
        episode.journal.error(message=str(problem))
        await self._end(episode, "infrastructure_failure", "error", error=str(problem))
        text = f"The episode ended because of a failure of the infrastructure: {problem}"
        observation = Observation(text=text, error=True)
        return observation, 0.0, False, True, {"mask": True, "error": str(problem), "exit_reason": "error"}

    async def _abandon(self) -> None:
        episode = self._episode
        if episode is None:
            return
        if not episode.workplace.belongs_to_this_process:
            self._episode = None
            return
        await self._end(episode, "interrupted", "error", error="The episode was abandoned before its end.")

    async def _end(
        self,
        episode: Episode,
        status: Status,
        exit_reason: ExitReason,
        *,
        limit: str | None = None,
        score: Score | None = None,
        error: str | None = None,
    ) -> None:
        return_ = episode.ledger.paid if status in ("completed", "invalid_submission") else None
        self._episode = None
        if episode.model is not None:
            episode.model.close()
        # An episode answers for its forks, too; they for themselves.
        if episode.watch is not None:
            episode.watch.cancel()
        episode.compute.settle()
        compute = episode.compute.used()
        used = episode.budget.spent if episode.model is None or not episode.is_fork else episode.model.usage
        self.result = self._base_result(episode.id, episode.folder).model_copy(
            update={
                "seed": episode.seed,
                "started_at": episode.started_at,
                "error": error,
                "status": status,
                "exit_reason": exit_reason,
                "limit": limit,
                "steps": episode.steps,
                "score": score,
                "best_validation": episode.best_validation,
                "final": None if score is None else score.value,
                "return_": return_,
                "validations": episode.validations,
                "cost_usd": used.total_cost_usd,
                "tokens": Tokens(prompt=used.prompt_tokens, completion=used.completion_tokens),
                "wall_s": round(episode.clock.elapsed, 6),
                "compute": compute,
                "integrity": Integrity(flags=(*self._standing_flags(), *(score.flags if score is not None else ()))),
            }
        )
        try:
            episode.journal.end(
                status=status, exit_reason=exit_reason, return_=return_, compute=compute.model_dump(mode="json")
            )
        finally:
            # Also where a full disk takes no record any more.
            episode.journal.close()
            try:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.shield(episode.workplace.close())
            finally:
                self._write_result(episode.folder)

    def _base_result(self, episode_id: str, folder: Path | None) -> EpisodeResult:
        """Return a result that holds what is known before an episode begins, as one that failed."""
        spec = self._prepared.spec
        return EpisodeResult(
            episode_id=episode_id,
            task=spec.id,
            task_version=spec.version,
            data_hash=self._prepared.data_hash,
            variant=self._prepared.variant,
            protocol=self._protocol,
            reward=self._reward,
            sandbox=self._sandbox_name,
            agent=self._identity.agent,
            model=self._identity.model,
            seed=self._seed,
            repeat=self._identity.repeat,
            started_at=now(),
            status="infrastructure_failure",
            exit_reason="error",
            steps=0,
            wall_s=0.0,
            integrity=Integrity(flags=self._standing_flags()),
            dir=None if folder is None else str(folder),
        )

    def _standing_flags(self) -> tuple[str, ...]:
        """Return what readers must know of every result of this environment."""
        flags = [] if self._sandbox_class.isolated else ["unisolated"]
        flags += ["public_answers"] if self._prepared.task.answers_public else []
        flags += ["shared_memory"] if self._notes_are_shared else []
        return (*flags, *sorted({tool.grant for tool in self._tools.values() if tool.grant is not None}))

    def _write_result(self, folder: Path | None) -> None:
        if folder is not None and self.result is not None:
            write_json(folder / "episode.json", self.result.model_dump(mode="json"))


def _encodable(text: str) -> str:
    """Return a text without lone surrogates, which stand for bytes that are not UTF-8 and cannot be written as such."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
