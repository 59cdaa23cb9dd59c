"""What plugins register: small frozen descriptions that name the class which does the work.

A spec is cheap: making one imports nothing. Its `target` is a string `"package.module:Class"`, imported only
when somebody asks for that id. Listings print specs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

from mlgym_core.errors import UsageError
from mlgym_core.ids import check_plain_id, check_task_id, domain_of

Direction = Literal["maximize", "minimize"]

EPISODE_LIMITS = (
    "max_steps",
    "max_time",
    "max_working_time",
    "max_processor_time",
    "max_validations",
    "max_cost",
    "max_tokens",
    "action_timeout",
)
"""The limits of an episode: the fields of `Limits`, by the names that agents give theirs."""

_ALWAYS_LIMITED = ("max_steps", "action_timeout")

_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*\Z")


def _check_target(target: str) -> None:
    if not _TARGET.match(target):
        raise UsageError(f"{target!r} is not a target: write 'package.module:Class'.")


def _check_direction(direction: object) -> None:
    if direction not in get_args(Direction):
        raise UsageError(f"{direction!r} is not a direction: write {' or '.join(map(repr, get_args(Direction)))}.")


def _check_text(owner: str, name: str, value: object) -> None:
    if not isinstance(value, str):
        raise UsageError(f"{owner}: `{name}` is {value!r}; write a string.")


def _checked_limits(owner: str, limits: Mapping[str, float | None]) -> dict[str, float | None]:
    for name, value in limits.items():
        if name not in EPISODE_LIMITS:
            raise UsageError(f"{owner} limits {name!r}; there are only: {', '.join(EPISODE_LIMITS)}.")
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise UsageError(f"{owner}: its limit {name} is {value!r}; write a number, or None for no limit.")
        if value is None and name in _ALWAYS_LIMITED:
            raise UsageError(f"{owner}: its limit {name} is None; every episode has one: write a number.")
    return dict(limits)


def _as_tuple(owner: str, name: str, values: object, kind: type) -> tuple[Any, ...]:
    # One string where a tuple belongs would pass for a tuple of its letters, and break a listing much later.
    if not isinstance(values, list | tuple) or not all(isinstance(value, kind) for value in values):
        raise UsageError(f"{owner}: `{name}` is {values!r}; write a tuple of {kind.__name__}, such as (first,).")
    return tuple(values)


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one process of a task may use. `None` leaves the sandbox's default.

    Attributes:
        memory_bytes: Resident memory of all processes together, in bytes.
        processes: Processes and threads alive at once.
        cpus: Processors' worth of time that all processes together get.
        disk_bytes: Size of all files together that the agent's folders may hold, in bytes.
        gpus: Graphics processors needed.
    """

    memory_bytes: int | None = None
    processes: int | None = None
    cpus: float | None = None
    disk_bytes: int | None = None
    gpus: int = 0


@dataclass(frozen=True)
class TaskMetric:
    """A number that a task's grader reports. The first of a task is the primary one.

    Attributes:
        name: The key in the grader's result.
        direction: Whether more or less of it is better.
    """

    name: str
    direction: Direction = "maximize"

    def __post_init__(self) -> None:
        _check_text("A metric", "name", self.name)
        _check_direction(self.direction)


@dataclass(frozen=True)
class Spec:
    """What all registered things share.

    Attributes:
        id: Its name on the command line.
        target: The class behind it, as `package.module:Class`.
        summary: One line for listings.
    """

    kind: ClassVar[str] = ""

    id: str
    target: str
    summary: str

    def __post_init__(self) -> None:
        self._check_id()
        _check_target(self.target)
        _check_text(f"The {self.kind} {self.id!r}", "summary", self.summary)

    def _check_id(self) -> None:
        check_plain_id(self.id)


@dataclass(frozen=True)
class TaskSpec(Spec):
    """A task, as a listing shows it.

    Attributes:
        version: Changes whenever scores stop being comparable.
        domain: Where listings group it; the part of the id before the slash unless given.
        tags: Free words for filtering.
        metrics: What the grader reports, the primary metric first.
        paper_metric: Name of the metric that is primary under the protocol `paper`; the same one unless given.
        variants: The data variants, the default first.
        requirements: Requirement strings (PEP 508) of the agent's and the submission's Python.
        grader_requirements: The same for the grader's Python.
        resources: What one process of the task may use.
        network: Whether the agent's sandbox may reach the network.
        image: Container image that sandboxes of containers use as it is, for the agent and for submissions.
        dockerfile: The same as a recipe: path of a Dockerfile below the task's package, with `/` between the parts.
            Its folder is the build's context.
    """

    kind: ClassVar[str] = "task"

    version: str = field(default="1", kw_only=True)
    domain: str | None = field(default=None, kw_only=True)
    tags: tuple[str, ...] = field(default=(), kw_only=True)
    metrics: tuple[TaskMetric, ...] = field(default=(), kw_only=True)
    paper_metric: str | None = field(default=None, kw_only=True)
    variants: tuple[str, ...] = field(default=("full",), kw_only=True)
    requirements: tuple[str, ...] = field(default=(), kw_only=True)
    grader_requirements: tuple[str, ...] = field(default=(), kw_only=True)
    resources: Resources | None = field(default=None, kw_only=True)
    network: bool = field(default=False, kw_only=True)
    image: str | None = field(default=None, kw_only=True)
    dockerfile: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        owner = f"The task {self.id!r}"
        if self.image is not None and self.dockerfile is not None:
            raise UsageError(f"{owner} names both an `image` and a `dockerfile`: choose one.")
        _check_text(owner, "version", self.version)
        for name in ("tags", "variants", "requirements", "grader_requirements"):
            object.__setattr__(self, name, _as_tuple(owner, name, getattr(self, name), str))
        object.__setattr__(self, "metrics", _as_tuple(owner, "metrics", self.metrics, TaskMetric))
        if self.domain is None:
            object.__setattr__(self, "domain", domain_of(self.id))
        if not self.metrics:
            raise UsageError(f"Task {self.id!r} names no metric: give at least one in `metrics`.")
        names = [metric.name for metric in self.metrics]
        if self.paper_metric is not None and self.paper_metric not in names:
            raise UsageError(f"{owner}: its `paper_metric` {self.paper_metric!r} is none of its metrics: {names}.")
        if not self.variants:
            raise UsageError(f"Task {self.id!r} has no variant: give at least one in `variants`.")

    def _check_id(self) -> None:
        check_task_id(self.id)

    @property
    def primary_metric(self) -> TaskMetric:
        """The metric that scores and rewards are made of, under the protocol `strict`."""
        return self.metrics[0]

    def primary_metric_under(self, protocol: str) -> TaskMetric:
        """Return the metric that scores and rewards are made of under a protocol."""
        if protocol == "paper" and self.paper_metric is not None:
            return next(metric for metric in self.metrics if metric.name == self.paper_metric)
        return self.primary_metric


@dataclass(frozen=True)
class AgentSpec(Spec):
    """An agent.

    Attributes:
        needs_model: Whether `--model` must be given.
        needs_tools: Ids of the tools without which it cannot play, whatever the run names.
        tools: Ids of the tools that it is offered unless the run names its own; None for the default ones.
        tools_from: The distribution that provides those of them that are not the core's, for the advice to install it.
        limits: Limits of its episodes by name, such as `{"max_cost": 4.0}`, unless the run says otherwise.
        default: Whether it plays where a command names a model and no agent; only for agents that need a model.
    """

    kind: ClassVar[str] = "agent"

    needs_model: bool = field(default=False, kw_only=True)
    needs_tools: tuple[str, ...] = field(default=(), kw_only=True)
    tools: tuple[str, ...] | None = field(default=None, kw_only=True)
    tools_from: str | None = field(default=None, kw_only=True)
    limits: Mapping[str, float | None] = field(default_factory=dict, kw_only=True)
    default: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        owner = f"The agent {self.id!r}"
        if self.default and not self.needs_model:
            raise UsageError(f"{owner} plays by default where a model is named, so it must need one: needs_model=True.")
        object.__setattr__(self, "needs_tools", _as_tuple(owner, "needs_tools", self.needs_tools, str))
        if self.tools is not None:
            object.__setattr__(self, "tools", _as_tuple(owner, "tools", self.tools, str))
        object.__setattr__(self, "limits", _checked_limits(owner, self.limits))


@dataclass(frozen=True)
class ToolSpec(Spec):
    """A tool that agents call.

    Attributes:
        default: Whether it is offered unless a run names its own list.
        grant: What a run must grant (`--grant NAME`) for the tool to be offered at all; None if nothing. Results of
            episodes in which it was on offer carry the grant's name as a flag.
    """

    kind: ClassVar[str] = "tool"

    default: bool = field(default=False, kw_only=True)
    grant: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.grant is not None:
            _check_text(f"The tool {self.id!r}", "grant", self.grant)
            check_plain_id(self.grant)


@dataclass(frozen=True)
class MetricSpec(Spec):
    """A metric that graders can use by name.

    Attributes:
        direction: Whether more or less of it is better: `maximize` or `minimize`.
    """

    kind: ClassVar[str] = "metric"

    direction: Direction = field(default="maximize", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_direction(self.direction)


@dataclass(frozen=True)
class SandboxSpec(Spec):
    """A sandbox.

    Attributes:
        preference: `auto` tries those that have one, lowest first; the others must be asked for by name.
    """

    kind: ClassVar[str] = "sandbox"

    preference: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class ModelSpec(Spec):
    """A provider of language models; its id is the prefix before the first slash of `--model`."""

    kind: ClassVar[str] = "model"


@dataclass(frozen=True)
class ExecutorSpec(Spec):
    """A way of running many episodes."""

    kind: ClassVar[str] = "executor"


@dataclass(frozen=True, kw_only=True)
class PublishedScore:
    """What somebody has published for a task: in a suite, the baseline that readers know.

    Attributes:
        value: The score.
        metric: Name of the metric, which need not be the one that counts here.
        source: Where it was published.
    """

    value: float
    metric: str
    source: str

    def __post_init__(self) -> None:
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise UsageError(f"A published score is {self.value!r}: write a number.")
        for name in ("metric", "source"):
            _check_text("A published score", name, getattr(self, name))


@dataclass(frozen=True)
class SuiteSpec:
    """A named list of tasks that are run and reported together.

    Attributes:
        id: The suite's name.
        summary: One line for listings.
        tasks: Task ids, in reporting order.
        variants: The data variants by task, such as `{"vision/cifar10": "mini"}`; each other task's first.
        limits: Limits of all episodes by name, such as `{"max_processor_time": 3600}`, unless the run says otherwise.
            Of these and an agent's own, the tighter holds.
        distributions: The distributions by task that provide those of other distributions, for the advice to install
            them.
        published_baselines: What was published as the baseline by task, for the table of results.
    """

    kind: ClassVar[str] = "suite"

    id: str
    summary: str
    tasks: tuple[str, ...] = field(default=(), kw_only=True)
    variants: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    limits: Mapping[str, float | None] = field(default_factory=dict, kw_only=True)
    distributions: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    published_baselines: Mapping[str, PublishedScore] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        check_plain_id(self.id)
        owner = f"The suite {self.id!r}"
        _check_text(owner, "summary", self.summary)
        object.__setattr__(self, "tasks", _as_tuple(owner, "tasks", self.tasks, str))
        for task_id in self.tasks:
            check_task_id(task_id)
        if len(set(self.tasks)) != len(self.tasks):
            raise UsageError(f"{owner} names a task twice: {', '.join(self.tasks)}.")
        for name, kind in (("variants", str), ("distributions", str), ("published_baselines", PublishedScore)):
            object.__setattr__(self, name, self._by_task(owner, name, kind))
        object.__setattr__(self, "limits", _checked_limits(owner, self.limits))

    def _by_task(self, owner: str, name: str, kind: type) -> dict[str, Any]:
        values = getattr(self, name)
        if not isinstance(values, Mapping) or not all(isinstance(value, kind) for value in values.values()):
            raise UsageError(f"{owner}: `{name}` is {values!r}; write a dictionary from task ids to {kind.__name__}.")
        if unknown := sorted(set(values) - set(self.tasks)):
            raise UsageError(f"{owner}: `{name}` names {', '.join(unknown)}, which is none of its tasks.")
        return dict(values)


AnySpec = Spec | SuiteSpec
