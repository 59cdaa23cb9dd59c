"""The host's side of a grading: starts the grader and the submission processes, and makes a score of the outcome."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlgym_core.errors import GraderError
from mlgym_core.interfaces import Mount, Sandbox, SandboxLayout, SandboxProcess
from mlgym_core.preparation import PreparedTask
from mlgym_core.rewards import normalize
from mlgym_core.sandbox.pipes import content_file, read_to_end
from mlgym_core.sandbox.scratch import remove_scratch, scratch_folder
from mlgym_core.seeds import derive_seed
from mlgym_core.specs import Direction, Resources
from mlgym_core.types import Protocol, Score, Split

_CORE = Path(__file__).resolve().parents[1]
_RUNTIME = Path(__file__).resolve().parent / "submission_runtime"
_PYTHON_OPTIONS = ("-B", "-P", "-s")
_GRADER = "import sys; sys.path[:0] = sys.argv[1:]; from mlgym_core.grading.grader_process import main; main()"
_OUTCOME_LIMIT = 1 << 20
_LOG_LIMIT = 4000
_SUBMISSION_RESOURCES = Resources(memory_bytes=4 << 30, processes=128)
_SUBMISSION_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""One thread each: libraries otherwise start one for every core of the machine, at a cost in time and memory."""


@dataclass(frozen=True)
class GradingOrder:
    """What to grade and how.

    Attributes:
        seed: The run's seed; the grader's and the submission's own seeds are derived from it.
        repeat: The episode's repeat.
    """

    split: Split
    protocol: Protocol = "strict"
    seed: int = 0
    repeat: int = 0


async def grade_submission(
    prepared: PreparedTask, submission: Path, sandbox_class: type[Sandbox], order: GradingOrder
) -> Score:
    """Grade a folder with copied submission files.

    Args:
        submission: Folder that nothing the agent started can reach.
        sandbox_class: Kind of the sandboxes in which grader and submission run.

    Returns:
        A score, which may say that the submission is invalid.

    Raises:
        InfrastructureError: if a process could not be started, or the grader broke.
    """
    outcome = await _outcome(prepared, submission, sandbox_class, order)
    if "error" in outcome:
        raise GraderError(f"The grader of {prepared.spec.id!r} failed:\n{outcome['error']}")
    anchors = prepared.task.anchors_under(order.protocol, order.split)
    metric = prepared.spec.primary_metric_under(order.protocol)
    metrics: dict[str, float] = outcome.get("metrics", {})
    if not outcome.get("invalid") and metric.name not in metrics:
        raise GraderError(f"The grader of {prepared.spec.id!r} did not report its primary metric {metric.name!r}.")
    value = metrics.get(metric.name)
    flags = list(outcome.get("flags", ()))
    if value is not None and is_implausible(value, anchors.implausible, metric.direction):
        flags.append("implausible_score")
    return Score(
        task=prepared.spec.id,
        variant=prepared.variant,
        split=order.split,
        protocol=order.protocol,
        valid=value is not None,
        reason=outcome.get("invalid"),
        metrics=metrics,
        primary=metric.name,
        value=value,
        direction=metric.direction,
        normalized=None if value is None else normalize(value, anchors, metric.direction),
        baseline=anchors.baseline,
        reference=anchors.reference,
        flags=tuple(dict.fromkeys(flags)),
    )


def is_implausible(value: float, limit: float | None, direction: Direction) -> bool:
    """Return whether a value is at least as good as the one that honest work cannot reach."""
    if limit is None:
        return False
    return value >= limit if direction == "maximize" else value <= limit


async def _outcome(
    prepared: PreparedTask, submission: Path, sandbox_class: type[Sandbox], order: GradingOrder
) -> dict[str, Any]:
    async with contextlib.AsyncExitStack() as stack:
        wires = scratch_folder("wires")
        stack.callback(remove_scratch, wires)
        folders = [wires / str(number) for number in range(prepared.task.submission_processes)]
        last_words: list[asyncio.Task[bytes]] = []
        submission_inside = ""
        for folder in folders:
            folder.mkdir()
            box = sandbox_class(_submission_layout(prepared, submission, folder))
            stack.push_async_callback(box.close)
            last_words.append(await _start_submission(box, folder, stack))
            submission_inside = box.inside(submission)
        grader_box = sandbox_class(_grader_layout(prepared, submission, wires))
        stack.push_async_callback(grader_box.close)
        identity: dict[str, Any] = {
            "seed": order.seed,
            "task": prepared.spec.id,
            "variant": prepared.variant,
            "repeat": order.repeat,
            "split": order.split,
        }
        content = {
            "target": prepared.spec.target,
            "variant": prepared.variant,
            "split": order.split,
            "protocol": order.protocol,
            "seed": derive_seed("grader", **identity),
            "submission_seed": derive_seed("submission", **identity) % (1 << 32),
            "submission": grader_box.inside(submission),
            "private": grader_box.inside(prepared.private),
            "submission_inside": submission_inside,
            "wires": [grader_box.inside(folder) for folder in folders],
        }
        outcome = await _run_grader(prepared, grader_box, content)
        if outcome.get("process_ended") and (words_said := await _last_words(last_words)):
            outcome["invalid"] += f" It last printed:\n{words_said}"
        return outcome


async def _start_submission(sandbox: Sandbox, wire: Path, stack: contextlib.AsyncExitStack) -> asyncio.Task[bytes]:
    """Start a submission process on the wire in a folder, and return the task that reads what it prints."""
    output, output_in = os.pipe()
    try:
        with content_file(b"") as stdin:
            process = await sandbox.spawn(
                [*sandbox.python, *_PYTHON_OPTIONS, sandbox.inside(_RUNTIME / "serve.py"), sandbox.inside(wire)],
                stdin=stdin.fileno(),
                stdout=output_in,
                stderr=output_in,
            )
    except BaseException:
        os.close(output)
        raise
    finally:
        os.close(output_in)
    words = asyncio.create_task(_read_and_close(output))
    stack.push_async_callback(_end, process, words)
    return words


async def _read_and_close(descriptor: int) -> bytes:
    try:
        return await read_to_end(descriptor, _LOG_LIMIT, keep_tail=True)
    finally:
        os.close(descriptor)


async def _end(process: SandboxProcess, words: asyncio.Task[bytes]) -> None:
    await process.kill()
    words.cancel()
    await asyncio.gather(words, return_exceptions=True)


async def _run_grader(prepared: PreparedTask, sandbox: Sandbox, content: dict[str, Any]) -> dict[str, Any]:
    roots = dict.fromkeys(str(Path(sandbox.inside(path)).parent) for path in (prepared.package, _CORE))
    output, output_in = os.pipe()
    log, log_in = os.pipe()
    reading = asyncio.create_task(_read_and_close(log))
    process: SandboxProcess | None = None
    try:
        try:
            with content_file(json.dumps(content).encode()) as stdin:
                process = await sandbox.spawn(
                    [*sandbox.python, *_PYTHON_OPTIONS, "-c", _GRADER, *roots],
                    stdin=stdin.fileno(),
                    stdout=output_in,
                    stderr=log_in,
                )
        finally:
            os.close(output_in)
            os.close(log_in)
        try:
            async with asyncio.timeout(prepared.task.grading_seconds):
                answer = await read_to_end(output, _OUTCOME_LIMIT)
        except TimeoutError:
            return {"error": f"It did not finish within {prepared.task.grading_seconds:g} s."}
        await process.kill()
        if answer:
            outcome: dict[str, Any] = json.loads(answer)
            return outcome
        said = (await reading).decode("utf-8", "backslashreplace").strip()
        return {"error": f"It ended without an outcome. {said}".strip()}
    finally:
        if process is not None:
            await process.kill()
        reading.cancel()
        os.close(output)


async def _last_words(tasks: Sequence[asyncio.Task[bytes]]) -> str:
    """Return the last lines that submission processes printed."""
    words = []
    for task in tasks:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                words.append(await asyncio.shield(task))
    text = b"".join(words)[-500:].decode("utf-8", "backslashreplace")
    return "".join(character for character in text if character.isprintable() or character == "\n").strip()


def _submission_layout(prepared: PreparedTask, submission: Path, wire: Path) -> SandboxLayout:
    wanted = prepared.spec.resources or Resources()
    return SandboxLayout(
        # Connecting to the socket takes no right to write into its folder.
        mounts=(Mount(_RUNTIME, "/opt/runtime"), Mount(submission, "/submission"), Mount(wire, "/wire")),
        working_directory="/tmp",  # noqa: S108 - a path of the sandbox
        environment=_SUBMISSION_ENVIRONMENT,
        packages=prepared.packages,
        requirements=prepared.requirements,
        image=prepared.spec.image,
        dockerfile=prepared.dockerfile,
        hidden=prepared.hidden,
        resources=Resources(
            memory_bytes=wanted.memory_bytes or _SUBMISSION_RESOURCES.memory_bytes,
            processes=wanted.processes or _SUBMISSION_RESOURCES.processes,
            cpus=wanted.cpus,
            gpus=wanted.gpus,
        ),
    )


def _grader_layout(prepared: PreparedTask, submission: Path, wires: Path) -> SandboxLayout:
    mounts = [
        Mount(_CORE, "/opt/code/mlgym_core"),
        Mount(prepared.package, f"/opt/code/{prepared.package.name}"),
        Mount(prepared.private, "/private"),
        Mount(submission, "/submission"),
        Mount(wires, "/wires", writable=True),
    ]
    return SandboxLayout(
        mounts=tuple(dict.fromkeys(mounts)),
        working_directory="/tmp",  # noqa: S108 - a path of the sandbox
        packages=prepared.grader_packages,
        requirements=prepared.spec.grader_requirements,
    )


__all__ = ["GradingOrder", "grade_submission", "is_implausible"]
