"""The checks of a task, one after another, on one of its variants."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import json
import shlex
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from mlgym_core.builtin.baseline import BaselineAgent
from mlgym_core.checks.direction import check_direction
from mlgym_core.checks.findings import Check, CheckFailed, Checks, CheckSkipped
from mlgym_core.checks.importing import check_import
from mlgym_core.checks.malformed import Variation, variations
from mlgym_core.checks.statements import SPLITS, check_anchors, check_description, check_files_are_described
from mlgym_core.checks.tables import leaks_of
from mlgym_core.data.obtaining import named_dataset, obtain
from mlgym_core.data.store import DatasetStore
from mlgym_core.env import AsyncEnv
from mlgym_core.episode import invalid_score
from mlgym_core.errors import DataError, InvalidSubmission, MlgymError
from mlgym_core.grading.grader import GradingOrder, grade_submission
from mlgym_core.host import Host
from mlgym_core.interfaces import Attack, Sandbox, Task
from mlgym_core.making import make_env
from mlgym_core.preparation import PreparedTask, hash_of_new_preparation, prepare_task
from mlgym_core.sandbox.scratch import remove_scratch, scratch_folder
from mlgym_core.sandbox.selection import choose_sandbox, needs_of
from mlgym_core.sandbox.submission_files import copy_submission
from mlgym_core.seeds import has_own_key
from mlgym_core.types import EpisodeResult, Observation, Score, Split

PUBLIC_COPY = "public_copy"
_SEED = 20260101
_NOISE = 0.05
"""Share of the scale by which a score may exceed the baseline and still count as no better."""
_SHARE_OF_TIME = 0.5
"""Share of its time that a grading may take here, since other machines are slower."""
_SHORTEST_SECRET = 16
"""Private files with fewer bytes than that may equal a public one by chance."""
_LONGEST_LINE = 300
"""Letters of what a script said."""
_PROGRAMS = Path(__file__).parent / "programs"
# Paths of the sandbox.
_PROGRAM = "/tmp/mlgym-check.py"  # noqa: S108
_REPORT = "/tmp/mlgym-check.json"  # noqa: S108
_REPORT_LIMIT = 64 << 20


class TaskChecks(Checks):
    """The checks of one variant of a task. Run `all`.

    Args:
        sandbox: `auto`, or the id of a sandbox.
        notify: Told in a sentence before a long wait.
    """

    kind = "task"

    def __init__(self, host: Host, task_id: str, variant: str, sandbox: str, notify: Callable[[str], None]) -> None:
        super().__init__(task_id, variant)
        self._host = host
        self._variant = variant
        self._entry = host.tasks.entry(task_id)
        self._spec = self._entry.spec
        self._sandbox = sandbox
        self._notify = notify
        self._prepared: PreparedTask | None = None
        self._folder = scratch_folder("check")
        self._baseline: EpisodeResult | None = None
        self._slowest_grading = 0.0

    def checks(self) -> Sequence[Check]:
        """Return the checks of every task."""
        return (
            ("import", self._import),
            ("description", self._description),
            ("anchors", self._anchors),
            ("data", self._data),
            ("described files", self._described_files),
            ("reproducible", self._reproducible),
            ("private files", self._private_files),
            ("baseline", self._baseline_runs),
            ("deterministic", self._deterministic),
            ("direction", self._direction),
            ("malformed submissions", self._malformed),
            ("forgery", self._forgery),
            ("grading time", self._grading_time),
        )

    def later_checks(self) -> Sequence[Check]:
        """Return the attacks that the task itself names."""
        if self._prepared is None:
            return ()
        attacks = self._prepared.task.attacks()
        return [(f"attack: {attack.name}", functools.partial(self._attack, attack)) for attack in attacks]

    async def close(self) -> None:
        """Remove what the checks left."""
        remove_scratch(self._folder)

    # ------------------------------------------------------------------------------------- what it says

    async def _import(self) -> str:
        return await check_import(self._entry, target=True)

    async def _description(self) -> str:
        return check_description(self._spec, self._task())

    async def _anchors(self) -> str:
        return check_anchors(self._spec, self._task())

    def _task(self) -> Task:
        return self._host.tasks.load(self.id)(self._variant)

    # --------------------------------------------------------------------------------------------- data

    async def _data(self) -> str:
        try:
            self._prepared = prepare_task(self._host, self.id, self._variant, self._notify)
        except DataError as error:
            raise CheckSkipped(str(error)) from None
        datasets = self._prepared.task.datasets
        here = [dataset for dataset in datasets if DatasetStore(self.id, dataset).find() is not None]
        for dataset in here:
            damage = DatasetStore(self.id, dataset).damage()
            if damage is not None:
                raise CheckFailed(
                    f"the dataset {dataset.name!r}: {damage}", f"mlgym data pull {self.id} {dataset.name}"
                )
        size = f"{self._prepared.public_bytes / 1e6:.1f} MB of public files"
        return f"{len(here)} of {len(datasets)} datasets are here and verified; {size}"

    async def _described_files(self) -> str:
        prepared = self._ready()
        return check_files_are_described(prepared.task, prepared.public)

    async def _reproducible(self) -> str:
        prepared = self._ready()
        if hash_of_new_preparation(prepared) != prepared.data_hash:
            raise CheckFailed(
                "preparing it again gives other files",
                "Derive all randomness from `secret_order`, and write nothing that depends on time or machine.",
            )
        return "preparing it again gives the same bytes"

    async def _private_files(self) -> str:
        prepared = self._ready()
        tables = self._tables(prepared)
        secrets = {
            (path.stat().st_size, _sha256(path)): path.relative_to(prepared.private)
            for path in prepared.private.rglob("*")
            if path.is_file() and path.stat().st_size >= _SHORTEST_SECRET
        }
        if not secrets and not prepared.hidden:
            return f"there are none; {tables}"
        self._needs_isolation()
        async with self._episode() as env:
            sizes = json.dumps(sorted({size for size, _ in secrets}))
            folders = json.dumps(prepared.hidden)
            said = await self._program(env, _PROGRAMS / "looking.py", sizes, folders, _REPORT)
            try:
                seen = json.loads(await env.read_file(_REPORT, _REPORT_LIMIT))
            except MlgymError as error:
                raise CheckFailed(
                    f"what agents can read is not known: {error} {said}", "Is Python in the image?"
                ) from None
        hashes = {digest: path for (_, digest), path in secrets.items()}
        leaks = [f"{path} is the private file {hashes[digest]}" for path, digest in seen["files"] if digest in hashes]
        leaks += [
            f"the variable {key} names it"
            for key, value in seen["environment"].items()
            if str(prepared.private) in value
        ]
        leaks += [f"{folder} has a copy of the data" for folder in seen["folders"]]
        if leaks:
            raise CheckFailed(
                f"agents can read it: {'; '.join(leaks[:5])}",
                "Keep answers out of the public files and the package's data.",
            )
        return f"none of {len(secrets)} is among the files that an agent can read; {tables}"

    def _tables(self, prepared: PreparedTask) -> str:
        """Check that no column of a public table has the answers, and return what was found."""
        perfect = self._folder / "perfect"
        perfect.mkdir()
        try:
            has_oracle = prepared.task.oracle(prepared.private, "test", 1.0, perfect)
        except Exception:  # noqa: BLE001 - the check of the direction says what is wrong with it
            has_oracle = False
        if not has_oracle:
            return "without an oracle(), nothing shows whether public tables have answers"
        if leaks := leaks_of(perfect, prepared.public):
            raise CheckFailed(
                f"agents can read the answers: {'; '.join(leaks[:5])}", "Leave the column out for the test split."
            )
        return "no public table has the answers"

    # ------------------------------------------------------------------------------------------ grading

    async def _baseline_runs(self) -> str:
        prepared = self._ready()
        began = time.monotonic()
        async with self._episode(self._folder / "runs") as env:
            ran = await BaselineAgent().run_and_submit(env)
        result = env.result
        assert result is not None
        if result.score is None or not result.score.valid or result.dir is None:
            reason = result.error if result.score is None else result.score.reason
            said = _last_line(ran) if result.score is not None else ""
            raise CheckFailed(f"it ends as {result.status}: {reason}{said}", "Mend the starter or the grader.")
        self._baseline = result
        value, anchors = result.score.value, prepared.task.anchors("test")
        assert value is not None
        took = f"{self._spec.primary_metric.name} {value:.6g} in {time.monotonic() - began:.1f} s"
        if anchors.band is None:
            return f"{took}; no band is stated, since it has not been run where it was written"
        if has_own_key():
            return f"{took}; the band that is stated is of the public splits, and these are others"
        low, high = anchors.band
        if not low <= value <= high:
            raise CheckFailed(f"{took}, outside of {low:g} to {high:g}", "Mend the starter, or state another band.")
        return f"{took}, within {low:g} to {high:g}"

    async def _deterministic(self) -> str:
        submission = self._submission()
        for split in SPLITS:
            first, second = [await self._grade(submission, split) for _ in range(2)]
            if first.model_dump() != second.model_dump() and not self._has_clock(first, second):
                raise CheckFailed(
                    f"the same submission earns {first.metrics} and then {second.metrics}",
                    "Take all chance in the grader from `grading.seed`.",
                )
        return "the same submission earns the same, on both splits"

    @staticmethod
    def _has_clock(first: Score, second: Score) -> bool:
        """Whether two scores differ in nothing but seconds, which no seed can fix."""

        def timeless(score: Score) -> dict[str, float]:
            return {name: value for name, value in score.metrics.items() if name != "seconds"}

        return first.valid and second.valid and timeless(first) == timeless(second)

    async def _direction(self) -> str:
        prepared = self._ready()
        folder = self._folder / "oracle"
        folder.mkdir()
        return await check_direction(self._spec, prepared.task, prepared.private, folder, self._grade)

    async def _grading_time(self) -> str:
        self._submission()
        limit, took = self._ready().task.grading_seconds, self._slowest_grading
        if took > limit * _SHARE_OF_TIME:
            raise CheckFailed(
                f"a grading took {took:.1f} s, of {limit:g} s after which a grader counts as hung",
                "Make it quicker, or raise the task's `grading_seconds`: other machines are slower.",
            )
        return f"the slowest took {took:.1f} s, of {limit:g} s"

    async def _malformed(self) -> str:
        prepared = self._ready()
        good = self._submission()
        reference = await self._grade(good, "test")
        number = 0
        for file in prepared.task.submission_files():
            if not (good / file.path).is_file():
                continue
            for variation in variations(file, good / file.path):
                number += 1
                folder = self._folder / f"variation-{number}"
                shutil.copytree(good, folder)
                if variation.content is None:
                    (folder / file.path).unlink()
                else:
                    (folder / file.path).write_bytes(variation.content)
                try:
                    score = await self._grade(folder, "test")
                except MlgymError as error:
                    raise CheckFailed(
                        f"{file.path} with {variation.name} breaks the grader: {error}",
                        "Raise InvalidSubmission with a reason; `read_predictions` does.",
                    ) from None
                finally:
                    shutil.rmtree(folder)
                self._judge(variation, file.path, score, reference)
        return f"{number} variations of the baseline's submission are graded as they should be"

    @staticmethod
    def _judge(variation: Variation, path: str, score: Score, reference: Score) -> None:
        if not score.valid and not score.reason:
            raise CheckFailed(f"{path} with {variation.name} is invalid without a reason", "Give one.")
        if variation.verdict == "invalid" and score.valid:
            raise CheckFailed(
                f"{path} with {variation.name} is accepted and earns {score.value}", "Raise InvalidSubmission."
            )
        if variation.verdict == "same" and score.metrics != reference.metrics:
            said = score.reason or score.metrics
            raise CheckFailed(f"{path} with {variation.name} is not graded like the original: {said}", "Accept it.")

    # ------------------------------------------------------------------------------------------ attacks

    async def _forgery(self) -> str:
        self._needs_isolation()
        good = self._submission()
        expected = await self._grade(good, "test")
        package = self._spec.target.partition(".")[0]
        async with self._episode() as env:
            for file in self._ready().task.submission_files():
                if (good / file.path).is_file():
                    await env.write_file(file.path, (good / file.path).read_bytes())
            await self._program(env, _PROGRAMS / "forging.py", self._spec.primary_metric.name, package)
            await env.step({"tool": "submit"})
        result = env.result
        assert result is not None
        score = result.score
        if score is None or (score.metrics != expected.metrics and not self._has_clock(score, expected)):
            said = result.error if score is None else score.metrics or score.reason
            raise CheckFailed(
                f"forged results and modules changed the outcome: {said} instead of {expected.metrics}",
                "Grade the submission files alone, and import nothing from where they lie.",
            )
        return "forged results, modules, programs and clocks change nothing"

    async def _attack(self, attack: Attack) -> str:
        self._needs_isolation()
        prepared = self._ready()
        async with self._episode() as env:
            for name in attack.dataset_names:
                dataset = named_dataset(self.id, prepared.task.datasets, name)
                content = obtain(self.id, dataset, self._notify).path
                for path in sorted(content.iterdir()):
                    await env.write_file(f"{PUBLIC_COPY}/{path.name}", path.read_bytes())
            said = await self._program(env, attack.program)
            await env.step({"tool": "submit"})
        result = env.result
        assert result is not None
        score = result.score
        if score is None:
            raise CheckFailed(f"it makes the infrastructure fail: {result.error}", "Mend the grader.")
        if attack.outcome == "flagged":
            flags = [flag for flag in result.integrity.flags if flag in score.flags]
            if score.valid and not flags:
                raise CheckFailed(f"it earns {score.value:.6g} and is not flagged", "Flag it in the grader.")
            if not score.valid:
                raise CheckFailed(
                    f"it submits nothing valid ({score.reason}); it said: {said[-500:]}", "Mend the attack."
                )
            return f"nothing can stop it; it earns {score.value:.6g} and is flagged {', '.join(flags)}"
        if score.normalized is not None and score.normalized > _NOISE:
            raise CheckFailed(
                f"it earns {score.value:.6g}, which is {score.normalized:+.3f} on the task's scale", "Stop it."
            )
        earned = f"it earns {score.value:.6g}" if score.valid else f"it is invalid ({score.reason})"
        return f"stopped: {earned}"

    # ---------------------------------------------------------------------------------------- inner works

    def _ready(self) -> PreparedTask:
        if self._prepared is None:
            raise CheckSkipped("the task could not be prepared")
        return self._prepared

    def _needs_isolation(self) -> None:
        # What is hostile would be so to this machine.
        if not self._sandbox_class().isolated:
            raise CheckSkipped("this sandbox keeps nothing from anything")

    def _submission(self) -> Path:
        if self._baseline is None or self._baseline.dir is None:
            raise CheckSkipped("the baseline has no submission")
        return Path(self._baseline.dir) / "submission"

    @contextlib.asynccontextmanager
    async def _episode(self, runs: Path | None = None) -> AsyncIterator[AsyncEnv]:
        env = await make_env(
            self.id,
            host=self._host,
            variant=self._variant,
            sandbox=self._sandbox,
            seed=_SEED,
            runs_dir=runs,
            max_steps=1000,
        )
        async with env:
            await env.reset()
            yield env

    @staticmethod
    async def _program(env: AsyncEnv, program: Path, *arguments: str) -> str:
        """Run a program in an episode's workspace, and return what it prints."""
        await env.write_file(_PROGRAM, await asyncio.to_thread(program.read_bytes))
        return (await env.run_shell(shlex.join(["python3", _PROGRAM, *arguments]))).text

    def _sandbox_class(self) -> type[Sandbox]:
        return choose_sandbox(self._host, self._sandbox, needs_of(self._spec))[1]

    async def _grade(self, folder: Path, split: Split) -> Score:
        prepared = self._ready()
        submission = scratch_folder("submission")
        began = time.monotonic()
        try:
            copy_submission(folder, prepared.task.submission_files(), submission)
            return await grade_submission(
                prepared, submission, self._sandbox_class(), GradingOrder(split, "strict", _SEED)
            )
        except InvalidSubmission as problem:
            return invalid_score(prepared, split, "strict", str(problem))
        finally:
            self._slowest_grading = max(self._slowest_grading, time.monotonic() - began)
            remove_scratch(submission)


def _last_line(ran: Observation | None) -> str:
    """Return the last line that a failed script printed, which is what Python says of an exception."""
    if ran is None or ran.exit_code == 0:
        return ""
    lines = ran.text.strip().splitlines() or ["nothing"]
    return f" Its script ended with exit code {ran.exit_code} and said: {lines[-1][:_LONGEST_LINE]}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
