"""The values that cross mlgym's boundaries: observations, scores, results. All are frozen."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from mlgym_core.specs import Direction

Split = Literal["validation", "test"]
Protocol = Literal["strict", "paper"]
RewardScheme = Literal["improvement", "final"]
Status = Literal["completed", "invalid_submission", "infrastructure_failure", "interrupted"]
ExitReason = Literal["submitted", "max_steps", "max_time", "max_cost", "max_tokens", "agent_exit", "error"]

PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
REWARD_SCHEMES: tuple[RewardScheme, ...] = get_args(RewardScheme)
RESULT_SCHEMA = "mlgym.episode/1"


class Frozen(BaseModel):
    """Base of the value models: immutable, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ToolCall(Frozen):
    """An action: call a tool. A plain string as action means `bash` with that command.

    Attributes:
        tool: The tool's name.
        arguments: Its arguments, by name.
    """

    tool: str
    arguments: dict[str, Any] = Field(default_factory=dict)


Action = str | dict[str, Any] | ToolCall


class Score(Frozen):
    """The outcome of one grading, as `mlgym grade --json` prints it.

    Attributes:
        task: The task's id.
        variant: Which data.
        split: `validation` or `test`.
        protocol: `strict` or `paper`.
        valid: Whether the submission could be graded.
        reason: Why not, in words the agent can use; None if valid.
        metrics: Everything that the grader reported.
        primary: Name of the metric that counts.
        value: The primary metric; None if invalid.
        direction: Whether more or less of it is better: `maximize` or `minimize`.
        normalized: `value` on the scale where the baseline is 0 and the reference 1, unclipped.
        baseline: The baseline's value of the primary metric on this split.
        reference: The best clean value known on this split, or None.
        flags: What a reader of the score must know about it, such as `implausible_score`.
    """

    task: str
    variant: str
    split: Split
    protocol: Protocol
    valid: bool
    reason: str | None = None
    metrics: dict[str, float] = Field(default_factory=dict)
    primary: str
    value: float | None = None
    direction: Direction
    normalized: float | None = None
    baseline: float
    reference: float | None = None
    flags: tuple[str, ...] = ()


class Observation(Frozen):
    """What an agent sees after an action.

    Attributes:
        text: Output of the tool; bytes that are not UTF-8 appear as `\\xff`.
        exit_code: Of a shell command; None for other tools or if the command did not end by itself.
        duration_s: Wall time of the action in seconds.
        truncated: Whether the middle of a long output was cut out.
        timed_out: Whether the action was ended at its time limit.
        cwd: The shell's working directory after the action.
        steps_left: Steps that the episode still allows.
        score: The validation's score, if the action was one.
        error: Whether the tool refused the call.
    """

    text: str
    exit_code: int | None = None
    duration_s: float = 0.0
    truncated: bool = False
    timed_out: bool = False
    cwd: str = ""
    steps_left: int = 0
    score: Score | None = None
    error: bool = False


class Tokens(Frozen):
    """Tokens that an episode's model calls used.

    Attributes:
        prompt: Of requests.
        completion: Of answers.
    """

    prompt: int = 0
    completion: int = 0


class Compute(Frozen):
    """What an episode used of the machine, measured from outside of its sandbox: nothing of it is the agent's claim.

    What the episode's forks used until then is included, and what gradings used is not, but for their time.

    Attributes:
        command_s: Wall time in which the agent's commands ran, in seconds.
        processor_s: Processor time of all processes in the agent's sandbox, in seconds, also of those that went to the
            background; None if unknown.
        processor_counter: What that relies on: `control group …` counts every process, `process table …` may miss some.
        devices: Graphics processors that the episode was granted.
        device_s: Those times `command_s`, in seconds; None if none was granted.
        grading_s: Wall time of validations and of the final grading, in seconds.
    """

    command_s: float
    processor_s: float | None = None
    processor_counter: str | None = None
    devices: int = 0
    device_s: float | None = None
    grading_s: float = 0.0


class Integrity(Frozen):
    """What a reader of a score must know about how it came about, such as `unisolated`.

    Attributes:
        flags: `unisolated`: the sandbox keeps nothing from anything. `public_answers`: the test split's answers can be
            found in the world. `implausible_score`: better than the data allow without their answers.
            `shared_memory`: the agent could read notes of other episodes. The names of grants, such as `literature`:
            tools that need them were on offer. Further ones are the task's own.
    """

    flags: tuple[str, ...] = ()


class EpisodeResult(Frozen):
    """One finished episode: `episode.json`, and a line of `mlgym run --json`.

    Attributes:
        schema_: Name and version of the document's form (`schema` in JSON).
        episode_id: A readable name and a hash of task, variant, agent, options, model and repeat.
        task: The task's id.
        task_version: The version that its spec states.
        data_hash: Hash of the public and private files that the task was prepared with; empty if it could not be.
        variant: Which data.
        protocol: `strict` or `paper`.
        reward: The reward scheme.
        sandbox: The sandbox's id.
        agent: The agent's id, or None if nobody of that name played.
        model: The model's id, or None for agents without one.
        seed: The run's seed.
        repeat: Which of several episodes of the same kind, from 0.
        started_at: Start in UTC, ISO 8601.
        error: What broke that is nobody's submission; None if nothing did. With a score: what the provider of the model
            refused, which ended the episode.
        status: `completed`: there is a score. `invalid_submission`: what was submitted cannot be graded.
            `infrastructure_failure`: something else broke; masked, and never a score. `interrupted`: somebody ended it.
        exit_reason: Why it ended. Limits are grouped; `limit` has the exact one.
        limit: The exact limit that ended it, such as `max_working_time` or `max_run_cost`; None if none did.
        steps: Actions that were carried out.
        score: The final score on the test split.
        best_validation: Best primary metric that a validation returned.
        final: The primary metric of the final score.
        return_: Sum of rewards (`return` in JSON); None after an infrastructure failure.
        validations: Validations that were graded.
        cost_usd: Cost of the model calls in US dollars, with those of the episode's forks until then; None if unknown.
        tokens: Tokens of the model calls, likewise.
        wall_s: Wall time from reset to the end, in seconds.
        compute: What it used of the machine; None if it did not begin.
        integrity: What a reader of the score must know.
        dir: The episode's folder, or None if the episode was not recorded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    schema_: str = Field(default=RESULT_SCHEMA, alias="schema")
    episode_id: str
    task: str
    task_version: str
    data_hash: str
    variant: str
    protocol: Protocol
    reward: RewardScheme
    sandbox: str
    agent: str | None = None
    model: str | None = None
    seed: int
    repeat: int = 0
    started_at: str
    error: str | None = None
    status: Status
    exit_reason: ExitReason
    limit: str | None = None
    steps: int
    score: Score | None = None
    best_validation: float | None = None
    final: float | None = None
    return_: float | None = Field(default=None, alias="return")
    validations: int = 0
    cost_usd: float | None = None
    tokens: Tokens = Tokens()
    wall_s: float
    compute: Compute | None = None
    integrity: Integrity = Integrity()
    dir: str | None = None
