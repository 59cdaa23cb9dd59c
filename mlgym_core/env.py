"""The gym: one episode of a task at a time, as `reset`, `step` and `close`.

`AsyncEnv` is the one implementation; `mlgym_core.face.Env` is the same for code that is not asynchronous.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict, TypeVar, Unpack

from mlgym_core.errors import EpisodeOver, InfrastructureError, InvalidSubmission, MlgymError, ToolError, UsageError
from mlgym_core.grading.grader import GradingOrder, grade_submission
from mlgym_core.host import Host, default_host
from mlgym_core.ids import slug
from mlgym_core.interfaces import Sandbox, ToolContext, ToolResult
from mlgym_core.journal import Journal, Observer
from mlgym_core.limits import Limits
from mlgym_core.preparation import PreparedTask, prepare_task
from mlgym_core.records import episode_folder, new_run_folder, write_json
from mlgym_core.rewards import RewardLedger
from mlgym_core.sandbox.scratch import remove_scratch, scratch_folder
from mlgym_core.sandbox.selection import choose_sandbox
from mlgym_core.sandbox.shell import as_text
from mlgym_core.specs import Direction
from mlgym_core.toolbox import BoundTool, load_tools
from mlgym_core.types import (
    PROTOCOLS,
    REWARD_SCHEMES,
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

Choice = TypeVar("Choice", bound=str)
Info = dict[str, Any]
StepResult = tuple[Observation, float, bool, bool, Info]


@dataclass(frozen=True, kw_only=True)
class EpisodeIdentity:
    """Who plays, for the record.

    Attributes:
        episode_id: Name of the episode's folder; None makes a new one at each reset.
        agent: The agent's id.
        model: The model's id.
        repeat: Number of the episode among those with the same task and agent.
    """

    episode_id: str | None = None
    agent: str | None = None
    model: str | None = None
    repeat: int = 0


@dataclass(frozen=True, kw_only=True)
class TaskView:
    """What agents may know of a task besides its description.

    Attributes:
        metric: Name of the primary metric.
        baseline: The starter's value of it on the split that validations use.
        submission_files: Paths in the workspace of the files that make up a submission.
    """

    id: str
    variant: str
    description: str
    metric: str
    direction: Direction
    baseline: float
    submission_files: tuple[str, ...]


def _view(prepared: PreparedTask, protocol: Protocol) -> TaskView:
    metric = prepared.spec.primary_metric
    return TaskView(
        id=prepared.spec.id,
        variant=prepared.variant,
        description=prepared.task.description(),
        metric=metric.name,
        direction=metric.direction,
        baseline=prepared.task.anchors(_split_of_validations(protocol)).baseline,
        submission_files=tuple(file.path for file in prepared.task.submission_files()),
    )


def _split_of_validations(protocol: Protocol) -> Split:
    return "validation" if protocol == "strict" else "test"


class EnvOptions(TypedDict, total=False):
    """Options of `make` and `make_async`.

    Attributes:
        sandbox: `auto` (the default), or the id of a sandbox.
        seed: Seed of the episodes, 0 unless given; everything random in grading derives from it.
        reward: `improvement` (the default) pays each validation that beats the best so far, `final` only the end.
        protocol: `strict` (the default), or `paper` for the rules of the 2025 benchmark.
        variant: The task's first variant unless given.
        tools: Ids of the tools on offer; the default tools unless given.
        runs_dir: Where episodes are recorded; not at all unless given.
        max_steps: Actions per episode, 50 unless given.
        max_time: Wall time per episode, in seconds; no limit unless given.
        max_validations: Validations per episode under protocol `strict`, 20 unless given.
        max_cost: Cost of model calls per episode, in US dollars; no limit unless given.
        action_timeout: Wall time of one action, in seconds; 1800 unless given.
    """

    sandbox: str
    seed: int
    reward: RewardScheme
    protocol: Protocol
    variant: str | None
    tools: Sequence[str] | None
    runs_dir: str | Path | None
    max_steps: int
    max_time: float | None
    max_validations: int | None
    max_cost: float | None
    action_timeout: float


@dataclass
class _Episode:
    """The state of the episode that is going on."""

    id: str
    seed: int
    folder: Path | None
    workplace: Workplace
    journal: Journal
    ledger: RewardLedger
    started: float = field(default_factory=time.monotonic)
    started_at: str = field(default_factory=lambda: _now())
    steps: int = 0
    validations: int = 0
    best_validation: float | None = None
    step_reward: float = 0.0
    submitted: bool = False
    cost_usd: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    observation: Observation | None = None


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
    ) -> None:
        self._prepared = prepared
        self.task = _view(prepared, protocol)
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
        self._episode: _Episode | None = None
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
        if self.limits.max_time is None:
            return None
        return max(self.limits.max_time - (time.monotonic() - self._current().started), 0.0)

    @property
    def validations_left(self) -> int | None:
        """Validations that are still allowed; None without a limit."""
        if self._protocol == "paper" or self.limits.max_validations is None:
            return None
        return max(self.limits.max_validations - self._current().validations, 0)

    def record_model_call(
        self, fields: dict[str, Any], *, prompt_tokens: int, completion_tokens: int, cost_usd: float | None
    ) -> None:
        """Record an answer of a language model and count what it used.

        Args:
            fields: What to write into the trajectory.
            cost_usd: None if unknown; the episode's cost is then unknown, too.
        """
        episode = self._current()
        first = episode.prompt_tokens + episode.completion_tokens == 0
        known = cost_usd is not None and (first or episode.cost_usd is not None)
        episode.cost_usd = (episode.cost_usd or 0.0) + cost_usd if known and cost_usd is not None else None
        episode.prompt_tokens += prompt_tokens
        episode.completion_tokens += completion_tokens
        episode.journal.model(fields)

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
        self.result = None
        episode_id = self._identity.episode_id or f"{slug(self._prepared.spec.id)}-{secrets.token_hex(5)}"
        folder = None if self._run_folder is None else episode_folder(self._run_folder, episode_id)
        workplace = Workplace(self._prepared, self._sandbox_class)
        try:
            await workplace.open()
            journal = Journal(episode_id, folder, self._observers)
        except BaseException as error:
            await workplace.close()
            if isinstance(error, InfrastructureError):
                self.result = self._base_result(episode_id, folder).model_copy(update={"error": str(error)})
                self._write_result(folder)
            raise
        ledger = RewardLedger(self._reward, self._prepared.task.floor)
        episode = _Episode(episode_id, self._seed, folder, workplace, journal, ledger)
        self._episode = episode
        observation = Observation(
            text=self.task.description, cwd=workplace.working_directory, steps_left=self.limits.max_steps
        )
        episode.observation = observation
        journal.reset(
            task=self._prepared.spec.id,
            variant=self._prepared.variant,
            protocol=self._protocol,
            reward=self._reward,
            seed=episode.seed,
            sandbox=self._sandbox_name,
            text=observation.text,
        )
        info = {
            "episode_id": episode_id,
            "task": self.task.id,
            "variant": self.task.variant,
            "seed": episode.seed,
            "sandbox": self._sandbox_name,
            "metric": self.task.metric,
            "direction": self.task.direction,
            "baseline": self.task.baseline,
        }
        return observation, info

    async def step(self, action: Action) -> StepResult:
        """Carry out an action: a shell command (a string), or a tool call (`{"tool": …, "arguments": {…}}`).

        Returns:
            Observation, reward, terminated, truncated, info. With the last step, `info` holds the `score`, the
            `exit_reason` and, if the infrastructure failed, `mask`: then the step must not be learnt from.

        Raises:
            EpisodeOver: if no episode is going on.
            UsageError: if the action is neither, or another step is going on.
        """
        episode = self._current()
        if self._busy:
            raise UsageError("A step of this episode is still going on; an environment takes one action at a time.")
        call = _as_call(action)
        self._busy = True
        try:
            return await self._step(episode, call)
        finally:
            self._busy = False

    async def _step(self, episode: _Episode, call: ToolCall) -> StepResult:
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
        except (EpisodeOver, UsageError):
            raise
        except Exception as problem:  # noqa: BLE001 - a bug, ours or a tool's, is not the agent's doing
            return await self._fail(
                episode, InfrastructureError(f"The tool {call.tool!r} broke: {type(problem).__name__}: {problem}")
            )
        observation = Observation(
            text=result.text,
            exit_code=result.exit_code,
            duration_s=time.perf_counter() - began,
            truncated=result.truncated,
            timed_out=result.timed_out,
            cwd=episode.workplace.working_directory,
            steps_left=max(self.limits.max_steps - episode.steps, 0),
            score=result.score,
            error=error,
        )
        episode.observation = observation
        reason = self._reason_to_end(episode)
        if reason is None:
            episode.journal.observation(observation, step=episode.steps, reward=episode.step_reward)
            return observation, episode.step_reward, False, False, {}
        if reason != "submitted":
            episode.journal.limit(name=reason)
        try:
            score = await self._grade_final(episode, reason)
        except InfrastructureError as problem:
            return await self._fail(episode, problem)
        reward = episode.step_reward + episode.ledger.final(score.normalized)
        episode.journal.observation(observation, step=episode.steps, reward=episode.step_reward)
        episode.journal.score(score, reward=reward - episode.step_reward)
        await self._end(episode, "completed" if score.valid else "invalid_submission", reason, score=score)
        info: Info = {"score": score, "exit_reason": reason}
        return observation, reward, reason == "submitted", reason != "submitted", info

    async def close(self) -> None:
        """End what is going on and remove its traces from the machine. An unfinished episode counts as interrupted."""
        await self._abandon()

    async def finish(self, exit_reason: ExitReason = "agent_exit") -> EpisodeResult:
        """End the episode without a submission of the agent's: grade what is in the workspace.

        Raises:
            EpisodeOver: if no episode is going on.
        """
        episode = self._current()
        try:
            score = await self._grade_final(episode, exit_reason)
        except InfrastructureError as problem:
            await self._fail(episode, problem)
        else:
            reward = episode.ledger.final(score.normalized)
            episode.journal.score(score, reward=reward)
            await self._end(episode, "completed" if score.valid else "invalid_submission", exit_reason, score=score)
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

    # ------------------------------------------------------------------------------ what tools are given

    async def run_shell(self, command: str) -> ToolResult:
        episode = self._current()
        seconds = self._action_seconds()
        result = await episode.workplace.run(command, seconds)
        text = as_text(result.output)
        notes = []
        if result.timed_out:
            notes.append(
                f"[The command was still running after {seconds:g} s, so that it and its processes were ended.]"
            )
        if result.restarted:
            notes.append(
                "[The shell ended. A new one was started in the workspace; variables, functions and background "
                "processes are gone, files are still there.]"
            )
        if notes:
            text = "\n".join([*([text.rstrip("\n")] if text.strip() else []), *notes])
        return ToolResult(
            text=text, exit_code=result.exit_code, truncated=result.omitted_bytes > 0, timed_out=result.timed_out
        )

    async def read_file(self, path: str, max_bytes: int) -> bytes:
        return await self._current().workplace.read_file(path, max_bytes)

    async def write_file(self, path: str, content: bytes) -> None:
        await self._current().workplace.write_file(path, content)

    async def validate(self) -> ToolResult:
        episode = self._current()
        left = self.validations_left
        if left == 0:
            raise ToolError("No validation is left. Submit when you are done.")
        episode.validations += 1
        score = await self._grade(episode, _split_of_validations(self._protocol))
        reward = episode.ledger.validation(score.normalized) if self._protocol == "strict" else 0.0
        episode.step_reward += reward
        if score.value is not None:
            better = max if score.direction == "maximize" else min
            best = episode.best_validation
            episode.best_validation = score.value if best is None else better(best, score.value)
        episode.journal.validation(score, step=episode.steps, number=episode.validations)
        text = _score_text(score, "Validation" if self._protocol == "strict" else "Test")
        if left is not None:
            text += f"\nValidations left: {left - 1}."
        return ToolResult(text=text, score=score)

    async def submit(self) -> ToolResult:
        self._current().submitted = True
        return ToolResult(text="Submitted. The episode is over.")

    # ---------------------------------------------------------------------------------------- inner works

    def _current(self) -> _Episode:
        if self._episode is None:
            raise EpisodeOver("No episode is going on: call reset() first.")
        if not self._episode.workplace.belongs_to_this_process:
            raise EpisodeOver("This episode belongs to the process that began it: call reset() in this one.")
        return self._episode

    async def _call_tool(self, call: ToolCall) -> ToolResult:
        tool = self._tools.get(call.tool)
        if tool is None:
            raise ToolError(f"There is no tool {call.tool!r}. There are: {', '.join(self._tools)}.")
        return await tool(self, call.arguments)

    def _action_seconds(self) -> float:
        left = self.seconds_left
        return self.limits.action_timeout if left is None else min(self.limits.action_timeout, left)

    def _reason_to_end(self, episode: _Episode) -> ExitReason | None:
        limits = self.limits
        if episode.submitted:
            return "submitted"
        if limits.max_cost is not None and episode.cost_usd is not None and episode.cost_usd >= limits.max_cost:
            return "max_cost"
        if limits.max_tokens is not None and episode.prompt_tokens + episode.completion_tokens >= limits.max_tokens:
            return "max_tokens"
        if self.seconds_left == 0:
            return "max_time"
        return "max_steps" if episode.steps >= limits.max_steps else None

    async def _grade_final(self, episode: _Episode, reason: ExitReason) -> Score:
        await episode.workplace.end_processes()
        return await self._grade(episode, "test", exit_reason=reason)

    async def _grade(self, episode: _Episode, split: Split, *, exit_reason: ExitReason | None = None) -> Score:
        submission = scratch_folder("submission")
        try:
            try:
                episode.workplace.copy_submission(submission)
            except InvalidSubmission as problem:
                score = invalid_score(self._prepared, split, self._protocol, str(problem))
            else:
                order = GradingOrder(split, self._protocol, episode.seed, self._identity.repeat)
                score = await grade_submission(self._prepared, submission, self._sandbox_class, order)
            if exit_reason is not None:
                self._keep_submission(episode, submission, exit_reason)
            return score
        finally:
            remove_scratch(submission)

    @staticmethod
    def _keep_submission(episode: _Episode, submission: Path, exit_reason: ExitReason) -> None:
        files = sorted(str(path.relative_to(submission)) for path in submission.rglob("*") if path.is_file())
        if episode.folder is not None:
            shutil.copytree(submission, episode.folder / "submission", dirs_exist_ok=True)
        episode.journal.submission(files=files, exit_reason=exit_reason)

    async def _fail(self, episode: _Episode, problem: MlgymError) -> StepResult:
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
        episode: _Episode,
        status: Status,
        exit_reason: ExitReason,
        *,
        score: Score | None = None,
        error: str | None = None,
    ) -> None:
        return_ = episode.ledger.paid if status in ("completed", "invalid_submission") else None
        self._episode = None
        self.result = self._base_result(episode.id, episode.folder).model_copy(
            update={
                "seed": episode.seed,
                "started_at": episode.started_at,
                "error": error,
                "status": status,
                "exit_reason": exit_reason,
                "steps": episode.steps,
                "score": score,
                "best_validation": episode.best_validation,
                "final": None if score is None else score.value,
                "return_": return_,
                "validations": episode.validations,
                "cost_usd": episode.cost_usd,
                "tokens": Tokens(prompt=episode.prompt_tokens, completion=episode.completion_tokens),
                "wall_s": round(time.monotonic() - episode.started, 6),
            }
        )
        episode.journal.end(status=status, exit_reason=exit_reason, return_=return_)
        episode.journal.close()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(episode.workplace.close())
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
            started_at=_now(),
            status="infrastructure_failure",
            exit_reason="error",
            steps=0,
            wall_s=0.0,
            integrity=Integrity(flags=() if self._sandbox_class.isolated else ("unisolated",)),
            dir=None if folder is None else str(folder),
        )

    def _write_result(self, folder: Path | None) -> None:
        if folder is not None and self.result is not None:
            write_json(folder / "episode.json", self.result.model_dump(mode="json"))


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def invalid_score(prepared: PreparedTask, split: Split, protocol: Protocol, reason: str) -> Score:
    """Return the score of a submission that never reached the grader."""
    anchors = prepared.task.anchors(split)
    metric = prepared.spec.primary_metric
    return Score(
        task=prepared.spec.id,
        variant=prepared.variant,
        split=split,
        protocol=protocol,
        valid=False,
        reason=reason,
        primary=metric.name,
        direction=metric.direction,
        baseline=anchors.baseline,
        reference=anchors.reference,
    )


def _as_call(action: Action) -> ToolCall:
    if isinstance(action, str):
        return ToolCall(tool="bash", arguments={"command": action})
    if isinstance(action, ToolCall):
        return action
    if isinstance(action, dict) and isinstance(action.get("tool"), str):
        arguments = action.get("arguments", {})
        if isinstance(arguments, dict) and set(action) <= {"tool", "arguments"}:
            return ToolCall(tool=action["tool"], arguments=arguments)
    raise UsageError(
        f"{action!r} is not an action: pass a shell command as a string, or "
        '{"tool": name, "arguments": {…}} for a tool call.'
    )


def _score_text(score: Score, split: str) -> str:
    if not score.valid:
        return f"Invalid submission: {score.reason}"
    more = "higher" if score.direction == "maximize" else "lower"
    values = ", ".join(f"{name} = {value:.6g}" for name, value in score.metrics.items())
    return f"{split} score: {values} (baseline {score.baseline:.6g}; {more} {score.primary} is better)."


async def make_env(
    task: str,
    *,
    host: Host | None = None,
    run_folder: Path | None = None,
    identity: EpisodeIdentity | None = None,
    observers: Sequence[Observer] = (),
    max_tokens: int | None = None,
    **options: Unpack[EnvOptions],
) -> AsyncEnv:
    """Return an environment. `make` and `make_async` are the public ways to call this; the runner calls it, too.

    Args:
        run_folder: Folder of the run to record in, instead of a new one below `runs_dir`.
        identity: Who plays.
        observers: Told of every event, besides the plugins that observe.
        max_tokens: Tokens of model calls per episode.
    """
    unknown = set(options) - set(EnvOptions.__annotations__)
    if unknown:
        raise UsageError(
            f"make() has no option {', '.join(sorted(unknown))}. It has: {', '.join(EnvOptions.__annotations__)}."
        )
    host = host or default_host()
    reward = _chosen("reward", options.get("reward", "improvement"), REWARD_SCHEMES)
    protocol = _chosen("protocol", options.get("protocol", "strict"), PROTOCOLS)
    limits = Limits(
        max_tokens=max_tokens,
        **{name: options[name] for name in Limits.__annotations__ if name in options},  # type: ignore[literal-required]
    )
    sandbox_name, sandbox_class = choose_sandbox(host, options.get("sandbox", "auto"))
    prepared = await asyncio.to_thread(prepare_task, host, task, options.get("variant"))
    runs_dir = options.get("runs_dir")
    if run_folder is None and runs_dir is not None:
        run_folder = new_run_folder(runs_dir, "make")
    return AsyncEnv(
        prepared,
        sandbox_name,
        sandbox_class,
        load_tools(host, options.get("tools")),
        seed=options.get("seed", 0),
        reward=reward,
        protocol=protocol,
        limits=limits,
        run_folder=run_folder,
        identity=identity or EpisodeIdentity(),
        observers=(*host.observers(), *observers),
    )


def _chosen(name: str, value: Choice, known: Sequence[Choice]) -> Choice:
    if value not in known:
        raise UsageError(f"{value!r} is not a {name}: choose {' or '.join(map(str, known))}.")
    return value
