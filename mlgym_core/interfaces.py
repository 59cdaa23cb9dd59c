"""What plugin authors implement. Import these names from `mlgym_core`, not from here.

The part that runs inside the grader (`Task` and what it is handed) needs only the standard library, so that a
grader's Python holds nothing but what the task's `grader_requirements` name.
"""

from __future__ import annotations

import abc
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from mlgym_core.data.declarations import Dataset
    from mlgym_core.env import AsyncEnv
    from mlgym_core.specs import Resources
    from mlgym_core.types import EpisodeResult, Protocol, Score, Split


# ---------------------------------------------------------------------------------------------- tasks


@dataclass(frozen=True, kw_only=True)
class SubmissionFile:
    """A file that the agent hands in.

    Attributes:
        path: Relative to the workspace, with `/` between the parts.
        max_bytes: A larger file makes the submission invalid.
        required: Whether a submission without it is invalid.
    """

    path: str
    max_bytes: int = 1 << 20
    required: bool = True


@dataclass(frozen=True, kw_only=True)
class Anchors:
    """The two ends of a task's scale on one split: the baseline is 0, the reference 1.

    Attributes:
        baseline: What the untouched starter earns, or the predictions that the starter's script makes.
        baseline_source: Where that number comes from.
        reference: The best clean result known, or None.
        reference_source: Where that number comes from.
        scale: With no reference, the difference from the baseline that counts as 1.
        band: Between which two values the baseline's own runs lie, as far as they were run; None if not yet.
        implausible: Scores that are at least as good are flagged `implausible_score`: they are better than the data
            allow without their answers.
        optimum: If given, scores count by `-log10(distance to the optimum)`.
        epsilon: Distances below it count as it; only with `optimum`.
    """

    baseline: float
    baseline_source: str = ""
    reference: float | None = None
    reference_source: str = ""
    scale: float | None = None
    band: tuple[float, float] | None = None
    implausible: float | None = None
    optimum: float | None = None
    epsilon: float = 1e-6


def _no_datasets(name: str) -> Path:
    raise LookupError(f"This preparation has no dataset {name!r}.")


@dataclass(frozen=True)
class Preparation:
    """Where a task writes its files when it is prepared; both folders exist and are empty.

    Attributes:
        public: Copied into every agent's workspace.
        private: Seen by graders only.
        dataset: Returns the read-only folder with the content of one of the task's `datasets`, by its name, after
            having fetched and verified it if that was necessary. It raises `DataError` if it cannot be had.
    """

    public: Path
    private: Path
    dataset: Callable[[str], Path] = _no_datasets


@dataclass(frozen=True)
class Kept:
    """Stands for a value that a submission process keeps, among the arguments of a call to it.

    Attributes:
        name: The name under which it is kept.
    """

    name: str


class SubmittedProgram(abc.ABC):
    """A submitted Python file, loaded in a process of its own that has nothing of the grader's.

    Arguments travel there as copies: numbers, strings, bytes, None, and lists, tuples and dictionaries of them.
    Results come back as plain JSON values (tuples as lists, numpy scalars and arrays as numbers and lists).
    """

    @abc.abstractmethod
    def keep(self, name: str, value: Any) -> Kept:
        """Send a value once that many calls shall get, and return what stands for it among their arguments.

        Each of these calls gets a fresh copy, so that what one call does to its own does not show in the next. As with
        everything in that process, the submission could change what is kept there; it would deceive nobody but itself.

        Args:
            name: A value that was kept under the same name is replaced.
            value: Anything that a call could have as an argument.

        Raises:
            InvalidSubmission: if the submission's process does not take it: it has ended, or does not answer in time.
        """

    @abc.abstractmethod
    def call(self, function: str, *arguments: Any) -> Any:
        """Call a function that the file defines and return its result.

        Args:
            arguments: Copies are sent. A `Kept` as one of them becomes a copy of what is kept.

        Raises:
            InvalidSubmission: if there is no such function, it raises, answers with something that is not a
                plain value, exceeds its time, or its process ends.
        """


class Grading(abc.ABC):
    """What a grader is handed. It lives in the grader's process.

    Attributes:
        submission: Folder with the submitted files, read-only.
        private: Folder with the task's private files, read-only.
        variant: Which variant of the task is graded.
        split: Which split is graded.
        protocol: Which protocol is graded.
        seed: 64-bit integer; everything random in the grader derives from it.
    """

    submission: Path
    private: Path
    variant: str
    split: Split
    protocol: Protocol
    seed: int

    def flag(self, name: str) -> None:
        """Have the result say something that its readers must know, such as `memorised_answers`.

        Flags change no score. They end up in `integrity.flags` of the episode's result.

        Args:
            name: Lower-case words joined by underscores.
        """

    @abc.abstractmethod
    def program(
        self, path: str, *, call_seconds: float = 1.0, total_seconds: float = 300.0, answer_bytes: int = 1 << 20
    ) -> SubmittedProgram:
        """Load the submitted Python file `path` in a submission process that no other program has used.

        Args:
            path: Path relative to `submission`.
            call_seconds: Wall time that one call may take.
            total_seconds: Wall time that all calls together may take. Keep it well below the task's
                `grading_seconds`, so that a slow submission is told that it is slow.
            answer_bytes: Size that one answer may have, as JSON.

        Raises:
            InvalidSubmission: if the file cannot be loaded.
            GraderError: if the task started more programs than its `submission_processes`.
        """


@dataclass(frozen=True, kw_only=True)
class Attack:
    """A way of trying to win a task without doing the work. `mlgym check` tries it in a real episode.

    Attributes:
        name: What it does, as the end of a sentence: "joins the public copy by the order of its rows".
        program: Path of a Python program that is run in the workspace, with the packages that agents have.
        dataset: Name of a dataset of the task, whose content lies in the folder `public_copy` of the workspace
            meanwhile, as if the agent had brought it.
        outcome: `stopped`: it earns no more than the baseline. `flagged`: it may earn anything, since nothing can stop
            it, and the result carries a flag that no honest result carries.
    """

    name: str
    program: Path
    dataset: str | None = None
    outcome: Literal["stopped", "flagged"] = "stopped"


class Task(abc.ABC):
    """A research task. One class serves preparation (on the host) and grading (in the grader's process).

    Class attributes:
        submission_processes: How many submitted programs one grading loads (0 for predictions).
        grading_seconds: Wall time after which a grader counts as hung.
        floor: The return of an episode whose final submission is invalid; the baseline is 0.
        datasets: The data that it is made of, for all variants.
        baseline_script: Path in the workspace of the Python script that writes the baseline's submission, for tasks
            whose starter is not itself a submission.
        answers_public: Whether the test split's answers can be found in the world. All results then carry the flag
            `public_answers`, since nothing can tell whether somebody, or a model's training data, looked them up.
    """

    submission_processes: ClassVar[int] = 0
    grading_seconds: ClassVar[float] = 600.0
    floor: ClassVar[float] = -0.1
    datasets: ClassVar[tuple[Dataset, ...]] = ()
    baseline_script: ClassVar[str | None] = None
    answers_public: ClassVar[bool] = False

    def __init__(self, variant: str = "full") -> None:
        self.variant = variant

    @abc.abstractmethod
    def description(self) -> str:
        """Return what the agent is told, in Markdown: goal, data, submission format, metric, baseline."""

    @abc.abstractmethod
    def submission_files(self) -> Sequence[SubmissionFile]:
        """Return the files that make up a submission."""

    @abc.abstractmethod
    def anchors(self, split: Split) -> Anchors:
        """Return the ends of the scale on `split`."""

    def anchors_under(self, protocol: Protocol, split: Split) -> Anchors:
        """Return the ends of the scale on `split` under a protocol. Nothing to implement."""
        return self.paper_anchors(split) if protocol == "paper" else self.anchors(split)

    def paper_anchors(self, split: Split) -> Anchors:
        """Return the ends of the scale under the protocol `paper`, for tasks that have another metric there."""
        return self.anchors(split)

    @abc.abstractmethod
    def prepare(self, preparation: Preparation) -> None:
        """Write the public and private files. Must give the same bytes each time."""

    @abc.abstractmethod
    def grade(self, grading: Grading) -> Mapping[str, float]:
        """Grade a submission and return a value for each metric of the task's spec.

        Raises:
            InvalidSubmission: with a reason for the agent, if it cannot be graded.
        """

    def attacks(self) -> Sequence[Attack]:
        """Return attacks on this task in particular, besides those that `mlgym check` tries on every task."""
        return ()

    def oracle(self, private: Path, split: Split, quality: float, submission: Path) -> bool:
        """Write a submission that is as good as `quality` says, for `mlgym check` alone; return whether there is one.

        With it the check proves that a better submission scores better, and that the reference is within reach. It may
        use the answers, and it never runs where agents or graders do.

        Args:
            private: The task's private files.
            split: The split for which it is to be good.
            quality: 1 is the best submission that there can be, at least as good as the reference; 0 is a poor one,
                0.5 one between the two.
            submission: Empty folder for the submission files.
        """
        return False

    def contamination(self) -> str:
        """Return what is known of the answers being public in the world, for `mlgym info`."""
        return ""


# ------------------------------------------------------------------------------------------ sandboxes


@dataclass(frozen=True)
class Mount:
    """A host folder or file that a sandbox shows.

    Attributes:
        source: On the host.
        target: Absolute path in the sandbox. A sandbox without a file system of its own ignores it.
        writable: Whether processes in the sandbox may change it.
        layers: Folders that show through `source`, the lowest first; changes to what is in them go to `source` alone.
            Only for sandboxes with the capability `layers`.
    """

    source: Path
    target: str
    writable: bool = False
    layers: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SandboxLayout:
    """All that a sandbox consists of.

    Attributes:
        mounts: What it sees besides the system and the interpreter.
        working_directory: Where its processes start, as a path of the sandbox.
        home: Home folder, as a path of the sandbox.
        environment: Variables besides the sandbox's own `PATH`, `HOME` and the like.
        packages: Host folder with the Python packages that its interpreter sees, or None for none.
        requirements: What those packages are, as requirement strings.
        image: Container image to use, where the sandbox is a container.
        dockerfile: Host path of the Dockerfile of the image to use, where the sandbox is a container.
        hidden: Absolute paths of folders of the system or image that it must not show, such as those with public copies
            of the answers.
        temporary_bytes: Size of its private `/tmp` if that is not among the mounts.
        network: Whether it may reach the network.
        resources: Limits for all of its processes together.
    """

    mounts: tuple[Mount, ...] = ()
    working_directory: str = "/"
    home: str = "/tmp"  # noqa: S108 - a path of the sandbox
    environment: Mapping[str, str] = field(default_factory=dict)
    packages: Path | None = None
    requirements: tuple[str, ...] = ()
    image: str | None = None
    dockerfile: Path | None = None
    hidden: tuple[str, ...] = ()
    temporary_bytes: int = 256 << 20
    network: bool = False
    resources: Resources | None = None


class SandboxProcess(abc.ABC):
    """A process that a sandbox started, and everything that descends from it."""

    @abc.abstractmethod
    def interrupt(self, since: float) -> None:
        """Send the interrupt signal to the process, and to its descendants that were started after `since`.

        `since` is a reading of `time.clock_gettime(CLOCK_BOOTTIME)`.
        """

    @abc.abstractmethod
    def kill_descendants(self, since: float) -> None:
        """Kill the descendants that were started after `since`.

        Descendants that are older, and whatever those started, go on.
        """

    def limits_reached(self) -> Mapping[str, int]:
        """Return how often each limit (`memory`, `processes`, `cpu`) was reached so far, where that is known."""
        return {}

    @abc.abstractmethod
    def descendants(self) -> Sequence[int]:
        """Return the process ids, on the host, of all descendants."""

    @abc.abstractmethod
    def open_files(self) -> Sequence[Path]:
        """Return the host's links (`/proc/…/fd/…`) to what the process and its descendants have open."""

    @abc.abstractmethod
    def freeze(self) -> None:
        """Stop the process and all descendants until `thaw`."""

    @abc.abstractmethod
    def thaw(self) -> None:
        """Let frozen processes go on."""

    @abc.abstractmethod
    async def kill(self) -> None:
        """End the process and all descendants, and wait until they are gone. Does nothing the second time."""

    @abc.abstractmethod
    async def wait(self) -> int:
        """Wait until the process has ended and return its exit status; negative for a signal's number."""


class Sandbox(abc.ABC):
    """A place for processes that shows them a layout and nothing else.

    Class attributes:
        isolated: Whether it keeps processes from the rest of the host. Results without it are flagged.
        capabilities: What it can do, by name: `network` (it can be granted), `gpu`, `image` (a task's own), `freeze`,
            `layers`.
    """

    isolated: ClassVar[bool] = True
    capabilities: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, layout: SandboxLayout) -> None:
        self.layout = layout

    @classmethod
    def limits(cls) -> Mapping[str, str]:
        """Return the limits that hold on this machine (`memory`, `processes`, `cpu`), and what holds each.

        What holds one for all processes together begins with `control group`.
        """
        return {}

    @classmethod
    def layers_work(cls, folder: Path) -> bool:
        """Return whether mounts whose sources lie in `folder` may have layers on this machine."""
        return False

    @classmethod
    def remove_abandoned(cls) -> Mapping[str, int]:
        """Remove what processes that are gone left on this machine, and return how many there were of each kind."""
        return {}

    @classmethod
    @abc.abstractmethod
    def unavailable_reason(cls) -> str | None:
        """Return why it does not work on this machine and what would help, or None if it works."""

    @property
    @abc.abstractmethod
    def python(self) -> tuple[str, ...]:
        """The command that starts Python inside, with the layout's packages importable."""

    @abc.abstractmethod
    def inside(self, source: Path) -> str:
        """Return the path at which processes of the sandbox see the host path `source`.

        Raises:
            ValueError: if no mount shows it.
        """

    @abc.abstractmethod
    async def spawn(
        self,
        command: Sequence[str],
        *,
        stdin: int,
        stdout: int,
        stderr: int,
        leader: bool = False,
    ) -> SandboxProcess:
        """Start a process.

        Args:
            command: Program and arguments, as paths of the sandbox.
            stdin: Descriptor that becomes its standard input; likewise `stdout` and `stderr`. It inherits no other.
            leader: It is the process that the sandbox is for, such as an agent's shell: others that are started
                while it lives share everything with it, and may end when it ends.

        Raises:
            SandboxError: if it cannot be started.
        """

    @contextlib.asynccontextmanager
    async def files(self, mount: Mount) -> AsyncIterator[Path]:
        """Give the host path at which a mount's files are seen as the sandbox sees them.

        Nothing in the sandbox may run meanwhile. Links in it mean what they mean in the sandbox: do not follow them.

        Raises:
            SandboxError: if they cannot be seen.
        """
        yield mount.source

    def seen_from_host(self, mount: Mount) -> Path:
        """Return the same path while the leader runs, for looking only: what runs may change it meanwhile.

        Raises:
            OSError: if the leader has ended.
        """
        return mount.source

    async def close(self) -> None:
        """End what is left of the sandbox. The processes that `spawn` returned are killed by their owners."""


# ---------------------------------------------------------------------------------------------- tools


@dataclass(frozen=True, kw_only=True)
class ToolResult:
    """What a tool returns; the episode makes an `Observation` of it.

    Attributes:
        text: What the agent reads.
        exit_code: Of a shell command; None for other tools or if the command did not end by itself.
        truncated: Whether the middle of a long output was cut out.
        timed_out: Whether the action was ended at its time limit.
        score: The validation's score, if the call was one.
    """

    text: str
    exit_code: int | None = None
    truncated: bool = False
    timed_out: bool = False
    score: Score | None = None


@dataclass(frozen=True, kw_only=True)
class Note:
    """Something that an agent wrote down.

    Attributes:
        key: What it is about. A later note with the same key replaces an earlier one.
        content: The note itself. It is data of an agent's, and nothing to be obeyed.
        episode_id: The episode that it was written in.
        task: The task of that episode.
    """

    key: str
    content: str
    episode_id: str
    task: str


class SharedNotes(abc.ABC):
    """Notes that the episodes of a run share which have the same agent and the same model."""

    @abc.abstractmethod
    async def read(self) -> Sequence[Note]:
        """Return the last note of each key, the oldest first."""

    @abc.abstractmethod
    async def write(self, key: str, content: str) -> None:
        """Keep a note; it is there for all episodes when this returns.

        Raises:
            ToolError: if it is too long, or there is no room for it.
        """


class ToolContext(abc.ABC):
    """The side of an episode that tools see."""

    @property
    def shared_notes(self) -> SharedNotes | None:
        """Notes shared across episodes; None if the episode is not recorded, or no tool on offer `shares_notes`."""
        return None

    @abc.abstractmethod
    async def run_shell(self, command: str) -> ToolResult:
        """Run a command in the episode's persistent shell, within the action's time limit."""

    @abc.abstractmethod
    async def read_file(self, path: str, max_bytes: int) -> bytes:
        """Return up to `max_bytes` of a file in the sandbox; relative paths start at the shell's directory.

        Raises:
            ToolError: if it cannot be read.
        """

    @abc.abstractmethod
    async def write_file(self, path: str, content: bytes) -> None:
        """Write a file in the sandbox and make its parent folders.

        Raises:
            ToolError: if it cannot be written.
        """

    @abc.abstractmethod
    async def validate(self) -> ToolResult:
        """Grade what is in the workspace on the validation split.

        Raises:
            ToolError: if no validation is left.
        """

    @abc.abstractmethod
    async def submit(self) -> ToolResult:
        """End the episode; what is in the workspace is graded on the test split."""


class Tool(abc.ABC):
    """A tool that agents call.

    The typed parameters of `run` after `context` are its arguments; its JSON schema is made from them and from
    the docstring of `run`, whose first paragraph describes the tool. The typed keyword parameters of its `__init__` are
    its options (`-T TOOL.KEY=VALUE`). One instance serves an episode, all forks of it and what follows in the same
    environment.

    Attributes:
        shares_notes: Whether it carries notes from one episode to others, as `ToolContext.shared_notes` lets it.
            Results are then flagged `shared_memory`.
    """

    shares_notes: bool = False

    run: ClassVar[Callable[..., Awaitable[ToolResult]]]
    """`async def run(self, context: ToolContext, …) -> ToolResult`."""


# --------------------------------------------------------------------------------------------- agents


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


# ------------------------------------------------------------------------- metrics, models, executors


class Metric(abc.ABC):
    """A metric that compares predictions with references."""

    @abc.abstractmethod
    def compute(self, references: Sequence[Any], predictions: Sequence[Any]) -> float:
        """Return the metric of equally long sequences, in the same order."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a language model is to answer. None leaves a setting to the provider.

    Attributes:
        temperature: 0 always takes the likeliest token.
        top_p: Share of the probability from which tokens are drawn.
        max_tokens: Longest answer, in tokens.
        stop: Texts at which the answer ends.
        seed: For providers that can repeat an answer.
    """

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class ModelToolCall:
    """A tool call that a language model asked for.

    Attributes:
        id: The provider's name for it, by which its result is returned.
        tool: The tool's name, which may be none that was offered.
        arguments: The arguments, or None if the model did not write a JSON object.
        written: The arguments as the model wrote them.
    """

    id: str
    tool: str
    arguments: Mapping[str, Any] | None
    written: str


@dataclass(frozen=True, kw_only=True)
class ModelReply:
    """One answer of a language model.

    Attributes:
        text: What it said, without tool calls.
        tool_calls: The calls it asked for, in order.
        finish_reason: Why it ended: `stop`, `tool_calls`, `length`, or the provider's own word.
        model: The model that answered, as the provider calls it.
        prompt_tokens: Tokens of the request.
        cached_tokens: Those of them that the provider had in its cache.
        completion_tokens: Tokens of the answer, with those that it reasoned with.
        reasoning_tokens: The latter alone.
        cost_usd: Cost in US dollars; None if unknown.
        seconds: Wall time that the provider took, in seconds.
        from_cache: Whether it was given before and kept; tokens and cost are those of then.
        estimated: Whether the numbers of tokens are our own estimates, since the provider gave none that can be true.
        prompt_token_ids: Ids of the request's tokens, if the server says them.
        completion_token_ids: Ids of the answer's tokens, likewise.
        log_probabilities: Natural logarithm of each answer token's probability, likewise.
        extra: What else the provider wants to see again in the message when the conversation goes on, such as the
            signed thoughts of a model that reasons.
    """

    text: str
    tool_calls: tuple[ModelToolCall, ...] = ()
    finish_reason: str = "stop"
    model: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: float | None = None
    seconds: float = 0.0
    estimated: bool = False
    from_cache: bool = False
    prompt_token_ids: tuple[int, ...] | None = None
    completion_token_ids: tuple[int, ...] | None = None
    log_probabilities: tuple[float, ...] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def as_message(self) -> dict[str, Any]:
        """Return the answer as the next message of the conversation.

        If it has tool calls, one message `{"role": "tool", "tool_call_id": …, "content": …}` for each must follow.
        """
        message: dict[str, Any] = {**self.extra, "role": "assistant", "content": self.text or None}
        if self.tool_calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    # Providers refuse arguments that are not a JSON object, even in what their model wrote.
                    "function": {"name": call.tool, "arguments": "{}" if call.arguments is None else call.written},
                }
                for call in self.tool_calls
            ]
        elif message["content"] is None:
            message["content"] = ""
        return message


Message = Mapping[str, Any]
"""A message of a conversation, in the format of the Chat Completions API."""
ToolSchema = Mapping[str, Any]
"""A tool on offer: `{"name", "description", "parameters"}`, the parameters as a JSON schema."""


class ModelCall(abc.ABC):
    """A call as its model sees it: here the model says what becomes of it before there is an answer.

    All of it belongs to the event loop in which `Model.complete` was called.

    Attributes:
        repeat: Which repetition of its episode it belongs to, from 0.
    """

    repeat: int

    @abc.abstractmethod
    def attempt_failed(self, error: str, *, completion_tokens: int = 0) -> None:
        """Count and record an attempt that failed, but for which the provider may charge.

        Args:
            error: What failed.
            completion_tokens: Tokens of the answer, as far as it came.
        """

    @abc.abstractmethod
    async def next_attempt(self, pause: float) -> Sampling:
        """Wait, if time and budgets allow a further attempt, and return its settings.

        Args:
            pause: Seconds to wait.

        Returns:
            The settings of the call, perhaps with a shorter answer than before.

        Raises:
            BudgetExhausted: if they do not allow it. Let it pass.
        """

    @abc.abstractmethod
    def said(self, text: str) -> None:
        """Show those who watch the text of an answer as far as it came."""


class Model(abc.ABC):
    """A language model. One instance serves all episodes of a run, at the same time.

    The typed keyword parameters of its `__init__` after `provider` and `name` are its options (`-M key=value`). Those
    with the type `pydantic.SecretStr` are never recorded. Making one is cheap: what takes time or can fail belongs into
    `check`.

    Args:
        provider: The id under which it is registered: the part of `--model` before the first slash.
        name: What follows it.
    """

    def __init__(self, provider: str, name: str) -> None:
        self.provider = provider
        self.name = name

    @abc.abstractmethod
    async def complete(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSchema] = (),
        sampling: Sampling = Sampling(),
        call: ModelCall | None = None,
    ) -> ModelReply:
        """Answer a conversation.

        Args:
            messages: The conversation.
            tools: The tools on offer.
            sampling: How to answer.
            call: Who is to know of failed attempts, and decides on further ones; None outside of episodes.

        Raises:
            ContextTooLong: if it does not fit into the model's context.
            RequestRefused: if the provider refuses it for another reason that lies in the request.
            ModelError: if the provider fails, after having been tried again where that may help.
        """

    def check(self) -> None:
        """Look at what can be known without asking the provider, such as whether there is a key.

        It is called once, before any episode, and may take seconds.

        Raises:
            UsageError: naming what is missing.
        """

    def context_tokens(self) -> int | None:
        """Return how many tokens a conversation and its answer may have together, or None if unknown."""
        return None

    def answer_tokens(self) -> int | None:
        """Return how many tokens an answer may have, or None if unknown."""
        return None

    def count_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> int | None:
        """Return about how many tokens a request has, or None if unknown. Never asks the provider."""
        return None

    def price_usd(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """Return what so many tokens cost, in US dollars, or None if unknown."""
        return None

    async def close(self) -> None:
        """Close connections. A later call opens them anew."""


class EpisodeModel(abc.ABC):
    """The language model of an episode, as `env.model`: every call is counted, recorded, and within the budget.

    Attributes:
        id: The model's id, as in `--model`.
        calls: How many calls were answered so far.
    """

    id: str
    calls: int

    @abc.abstractmethod
    async def complete(
        self, messages: Sequence[Message], tools: Sequence[ToolSchema] = (), sampling: Sampling = Sampling()
    ) -> ModelReply:
        """Answer a conversation.

        If only a shorter answer than `sampling` allows is within the budget, the model is asked for that.

        Raises:
            EpisodeOver: if the episode has ended.
            BudgetExhausted: if a limit of the episode or the run is reached, or the call would exceed it. Let it
                pass: the episode ends, and what is in the workspace is graded.
            ContextTooLong: if the conversation does not fit into the model's context.
            ModelError: if the provider fails. Let it pass: the episode counts as a failure of the infrastructure.
        """

    @abc.abstractmethod
    def context_tokens(self) -> int | None:
        """Return how many tokens a conversation and its answer may have together, or None if unknown."""

    @abc.abstractmethod
    def count_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> int:
        """Return about how many tokens a request has: the model's own count, or a quarter of its letters."""

    @property
    @abc.abstractmethod
    def cost_left_usd(self) -> float | None:
        """US dollars that the episode may still spend, within the run's budget too; None without a limit."""

    @property
    @abc.abstractmethod
    def tokens_left(self) -> int | None:
        """Tokens that the episode may still use, within the run's budget too; None without a limit."""


class Executor(abc.ABC):
    """A way of running many episodes."""

    @abc.abstractmethod
    def execute(
        self, episodes: Sequence[Callable[[], Awaitable[EpisodeResult]]], parallel: int
    ) -> AsyncIterator[EpisodeResult]:
        """Run the episodes, at most `parallel` at a time, and yield each result when it is there."""


# ------------------------------------------------------------------------------------------ observers


@dataclass(frozen=True)
class EpisodeEvent:
    """A line of `trajectory.jsonl`, as observers get it.

    Attributes:
        episode_id: Which episode.
        seq: Number of the event in its episode, from 0.
        t: Seconds since reset.
        type: `reset`, `model_call`, `model_attempt`, `model`, `action`, `observation`, `validation`, `submission`,
            `score`, `limit`, `error` or `end`.
        fields: The fields of that type, as documented in the reference.
    """

    episode_id: str
    seq: int
    t: float
    type: str
    fields: Mapping[str, Any]


__all__ = [
    "Agent",
    "Anchors",
    "Attack",
    "EpisodeEvent",
    "EpisodeModel",
    "Executor",
    "Grading",
    "Message",
    "Metric",
    "Model",
    "ModelCall",
    "ModelReply",
    "ModelToolCall",
    "Mount",
    "Preparation",
    "Sampling",
    "Sandbox",
    "SandboxLayout",
    "SandboxProcess",
    "SubmissionFile",
    "SubmittedProgram",
    "Task",
    "Tool",
    "ToolContext",
    "ToolResult",
    "ToolSchema",
]
