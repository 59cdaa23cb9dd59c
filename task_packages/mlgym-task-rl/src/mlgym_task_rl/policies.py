"""What the tasks share: submitted policies play in a simulator that the grader owns."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mlgym_core import Anchors, Attack, Grading, InvalidSubmission, Preparation, SubmissionFile, Task
from mlgym_task_rl.actions import IllegalActions

POLICY, WEIGHTS, SCRIPT = "policy.py", "weights.npz", "train.py"
POLICIES, EPISODES = 5, 256
"""How many policies are graded, and in how many episodes each, as in the paper."""
WEIGHTS_BYTES = 64 << 20
CALL_SECONDS = 15.0
"""Enough for compiling a policy written in JAX, in the first call."""
TOTAL_SECONDS = 120.0

PAPER = "MLGym: A New Framework and Benchmark for Advancing AI Research Agents (2025)"

_PACKAGE = Path(__file__).parent
_STARTERS = _PACKAGE / "starters"
_ENVIRONMENT_LINE = 'ENVIRONMENT = "{}"\n'


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A variant of a task: for how long the policies may be trained.

    Attributes:
        steps: The budget of each policy, in steps of the environment.
        starter_steps: How many of them the starter takes.
        starter_time: How long the starter trains, for the description.
        anchors: The ends of the scale, on both splits: other episodes of the same kind.
    """

    steps: int
    starter_steps: int
    starter_time: str
    anchors: Anchors


class PolicyTask(Task):
    """A task in which five policies play 256 episodes each.

    Class attributes:
        environment: Its name in gymnax.
        folder: Where its own files lie, in `starters`, `oracles` and `descriptions`.
        settings: The variants.
        where_public: What is known of solutions being public.
    """

    submission_processes = 1
    # More than the submitted program may take, so that a slow one is told that it is slow.
    grading_seconds = 360.0
    baseline_script = SCRIPT

    environment: ClassVar[str]
    folder: ClassVar[str]
    settings: ClassVar[Mapping[str, Variant]]
    where_public: ClassVar[str]

    @property
    def _variant(self) -> Variant:
        return self.settings[self.variant]

    def grade(self, grading: Grading) -> Mapping[str, float]:
        """Play the episodes: simulator, seeds and bookkeeping stay here, the policies are asked for each action."""
        program = grading.program(POLICY, call_seconds=CALL_SECONDS, total_seconds=TOTAL_SECONDS)
        program.call("reset", POLICIES, EPISODES, seed_for_policies(grading.seed))
        # Only graders have gymnax, and it takes seconds: what cannot be played is refused before.
        from mlgym_task_rl.simulation import Simulation

        played = Simulation(self.environment, POLICIES, EPISODES)
        try:
            returns = played.play(grading.seed, lambda observations: program.call("act", observations.tobytes()))
        except IllegalActions as error:
            raise InvalidSubmission(f"act returned {error} (in step {played.steps + 1}).") from None
        except InvalidSubmission as error:
            error.args = (f"{error} (That was in step {played.steps + 1}.)",)
            raise
        means = [float(mean) for mean in returns.mean(axis=1)]
        return {"reward_mean": statistics.fmean(means), "reward_deviation": statistics.pstdev(means)}

    def description(self) -> str:
        """Return what agents are told."""
        variant = self._variant
        own = (_PACKAGE / "descriptions" / f"{self.folder}.md").read_text(encoding="utf-8")
        common = (_PACKAGE / "descriptions" / "common.md").read_text(encoding="utf-8")
        return (own + common).format(
            steps=f"{variant.steps:,}",
            starter_steps=f"{variant.starter_steps:,}",
            starter_time=variant.starter_time,
            baseline=f"{variant.anchors.baseline:g}",
            call_seconds=f"{CALL_SECONDS:g}",
            total_seconds=f"{TOTAL_SECONDS:g}",
            weights_mebibytes=WEIGHTS_BYTES >> 20,
        )

    def submission_files(self) -> Sequence[SubmissionFile]:
        """Return the policies' code, and their weights."""
        return (SubmissionFile(path=POLICY), SubmissionFile(path=WEIGHTS, max_bytes=WEIGHTS_BYTES))

    def anchors(self, split: str) -> Anchors:
        """Return the ends of the scale."""
        return self._variant.anchors

    def prepare(self, preparation: Preparation) -> None:
        """Write the starter, the simulator and the description. There is nothing private: the grader draws episodes."""
        own = _STARTERS / self.folder
        texts = {
            source.name: source.read_text(encoding="utf-8")
            for source in (
                _PACKAGE / "actions.py",
                _PACKAGE / "simulation.py",
                _STARTERS / "ppo.py",
                _STARTERS / "try_it.py",
                own / POLICY,
                own / SCRIPT,
            )
        }
        environments = [_ENVIRONMENT_LINE.format(name) for name in ("MountainCarContinuous-v0", self.environment)]
        for name, old, new in (
            # There the two files lie beside each other.
            ("simulation.py", "from mlgym_task_rl.actions", "from actions"),
            ("try_it.py", *environments),
            (SCRIPT, "STEPS = 500_000 ", f"STEPS = {self._variant.starter_steps:_} "),
        ):
            texts[name] = replaced(texts[name], old, new)
        for name, text in texts.items():
            (preparation.public / name).write_text(text, encoding="utf-8")
        (preparation.public / "README.md").write_text(self.description(), encoding="utf-8")

    def oracle(self, private: Path, split: str, quality: float, submission: Path) -> bool:
        """Write policies that follow a rule, as well as `quality` says."""
        rule = (_PACKAGE / "oracles" / f"{self.folder}.py").read_text(encoding="utf-8")
        (submission / POLICY).write_text(replaced(rule, "QUALITY = 1.0", f"QUALITY = {quality}"), encoding="utf-8")
        (submission / WEIGHTS).write_bytes(b"A rule has none.\n")
        return True

    def attacks(self) -> Sequence[Attack]:
        """Return what an agent could try on this simulator."""
        folder = _PACKAGE / "attacks"
        return (
            Attack(name="patches gymnax, and reads and writes the simulator's memory", program=folder / "patch.py"),
            Attack(name="recognises the episodes by their seed", program=folder / "foresee.py"),
        )

    def contamination(self) -> str:
        """Return what is known of solutions being public."""
        return (
            "The grader draws the episodes, by seeds that no sandbox sees. They follow from the run's seed and a key: "
            "whoever knows mlgym's code, which is public, and guesses the run's seed can derive them, unless "
            f"MLGYM_GRADING_KEY is set to a secret. {self.where_public}"
        )


def seed_for_policies(seed: int) -> int:
    """Return the seed that policies are given, from which the episodes' own cannot be had."""
    return int.from_bytes(hashlib.blake2b(f"policies {seed}".encode(), digest_size=4).digest(), "big")


def replaced(text: str, old: str, new: str) -> str:
    """Return a text in which something that must occur is replaced."""
    if old not in text:
        raise LookupError(f"The text has no {old!r}.")
    return text.replace(old, new)
