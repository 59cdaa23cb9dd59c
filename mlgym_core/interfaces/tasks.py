"""Tasks and what they are handed. A grader's Python imports this: the standard library has to be enough for it."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from mlgym_core.data.declarations import Dataset
    from mlgym_core.types import Protocol, Split


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
        dataset: Name of a dataset of the task, or of several whose files have different names. Their content lies in
            the folder `public_copy` of the workspace meanwhile, as if the agent had brought it.
        outcome: `stopped`: it earns no more than the baseline. `flagged`: it may earn anything, since nothing can stop
            it, and the result carries a flag that no honest result carries.
    """

    name: str
    program: Path
    dataset: str | tuple[str, ...] | None = None
    outcome: Literal["stopped", "flagged"] = "stopped"

    @property
    def dataset_names(self) -> tuple[str, ...]:
        """The names in `dataset`, be it one, several or none."""
        return (self.dataset,) if isinstance(self.dataset, str) else self.dataset or ()


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
