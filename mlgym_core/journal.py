"""The append-only record of an episode: one event a line in `trajectory.jsonl`.

Each kind of event has a method here, whose arguments are the event's fields. A line is written by one call to the
system, so that a runner that is killed leaves whole lines.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlgym_core.interfaces import EpisodeEvent, ModelReply
from mlgym_core.types import Compute, Observation, Score

Observer = tuple[str, Callable[[EpisodeEvent], object]]
"""The name of a plugin, and its `mlgym_episode_events`."""

SCHEMA = "mlgym.trajectory/1"

_NO_REPLY: Mapping[str, Any] = dict.fromkeys(
    (
        "text",
        "finish_reason",
        "prompt_tokens",
        "cached_tokens",
        "completion_tokens",
        "reasoning_tokens",
        "estimated",
        "from_cache",
        "cost_usd",
        "prompt_token_ids",
        "completion_token_ids",
        "log_probabilities",
    )
)
"""What an event says of an answer, if there is none."""


class Journal:
    """Records one episode and tells observers.

    Args:
        episode_id: The episode.
        folder: Where `trajectory.jsonl` goes; None records nothing.
        observers: Who is told of each event.
    """

    def __init__(self, episode_id: str, folder: Path | None, observers: Sequence[Observer] = ()) -> None:
        self._episode_id = episode_id
        self._observers = list(observers)
        self._started = time.monotonic()
        self._sequence = 0
        self._was_cut = False
        self._descriptor = -1
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(folder / "trajectory.jsonl", flags, 0o644)

    def reset(
        self,
        *,
        task: str,
        variant: str,
        protocol: str,
        reward: str,
        seed: int,
        sandbox: str,
        text: str,
        origin: Mapping[str, Any] | None = None,
    ) -> None:
        """The episode began, or was brought back to a snapshot.

        Args:
            task: The task's id.
            variant: Which data.
            protocol: `strict` or `paper`.
            reward: The reward scheme.
            seed: Everything random in grading derives from it.
            sandbox: The sandbox's id.
            text: What the agent is told.
            origin: The snapshot (`episode_id`, `step`) that it goes on from; null if it began with the task's files.

        Fields:
            schema: Name and version of the record's form.
            episode_id: The episode.
        """
        self._append(
            "reset",
            {
                "schema": SCHEMA,
                "episode_id": self._episode_id,
                "task": task,
                "variant": variant,
                "protocol": protocol,
                "reward": reward,
                "seed": seed,
                "sandbox": sandbox,
                "text": text,
                "origin": origin,
            },
        )

    def model_call(self, *, number: int, request_tokens: int, reserved_tokens: int, reserved_usd: float | None) -> None:
        """A language model is about to be asked, so that a runner that is killed leaves what it may have to pay for.

        Args:
            number: How many calls were begun, this one included.
            request_tokens: About how many tokens the request has.
            reserved_tokens: Tokens that it and its answer may have, as far as budgets know.
            reserved_usd: What they would cost, in US dollars; null if unknown.
        """
        self._append(
            "model_call",
            {
                "number": number,
                "request_tokens": request_tokens,
                "reserved_tokens": reserved_tokens,
                "reserved_usd": reserved_usd,
            },
        )

    def model_attempt(self, *, number: int, prompt_tokens: int, completion_tokens: int, error: str) -> None:
        """An attempt of a call failed, for which the provider may charge; its cost is unknown.

        Args:
            number: The number of the call.
            prompt_tokens: About how many tokens its request had.
            completion_tokens: About how many of the answer came.
            error: What failed.
        """
        self._append(
            "model_attempt",
            {
                "number": number,
                "prompt_tokens": prompt_tokens,
                "completion_tokens": completion_tokens,
                "error": error,
            },
        )

    def model(
        self,
        *,
        number: int,
        call: int,
        model: str,
        new_messages: Sequence[Any],
        messages: Sequence[tuple[int, int]],
        tools: Sequence[Any] | None,
        sampling: Mapping[str, Any],
        reply: ModelReply | None,
        seconds: float,
        error: str | None,
    ) -> None:
        """A language model answered, or failed.

        Args:
            number: How many calls were begun until this one, itself included.
            call: How many calls were answered, this one included.
            model: The model's id.
            new_messages: Messages that were not sent before in the episode. They are numbered in this order.
            messages: The numbers of the messages that were sent, as ranges: from the first to before the second.
            tools: The tools on offer, if they changed since the call before; else null.
            sampling: The settings that were not left to the provider.
            reply: The answer; its fields are the event's. All of them are null if there is none.
            seconds: Wall time that the call took.
            error: Why there is no answer.

        Fields:
            answered_by: The model that answered, as the provider calls it.
        """
        answer = _NO_REPLY if reply is None else {name: getattr(reply, name) for name in _NO_REPLY}
        calls = None if reply is None else [dict(vars(call)) for call in reply.tool_calls]
        self._append(
            "model",
            {
                "number": number,
                "call": call,
                "model": model,
                "new_messages": new_messages,
                "messages": messages,
                "tools": tools,
                "sampling": sampling,
                **answer,
                "tool_calls": calls,
                "answered_by": None if reply is None else reply.model,
                "seconds": seconds,
                "error": error,
            },
        )

    def action(self, *, step: int, tool: str, arguments: Mapping[str, Any]) -> None:
        """The agent called a tool.

        Args:
            step: Counts from 1.
            tool: The tool's name.
            arguments: As the agent gave them.
        """
        self._append("action", {"step": step, "tool": tool, "arguments": arguments})

    def observation(self, observation: Observation, *, step: int, reward: float) -> None:
        """What the agent saw, as the fields of `Observation` without the score.

        Args:
            step: The action's step.
            reward: What the step was paid.
        """
        fields = {name: value for name, value in observation.__dict__.items() if name != "score"}
        self._append("observation", {"step": step, "reward": reward, **fields})

    def validation(self, score: Score, *, step: int, number: int) -> None:
        """A validation was graded.

        Args:
            step: The action's step.
            number: Counts from 1.
            score: The score on the validation split.
        """
        self._append("validation", {"step": step, "number": number, "score": score.model_dump(mode="json")})

    def submission(self, *, files: Sequence[str], exit_reason: str) -> None:
        """The final submission was copied out of the workspace.

        Args:
            files: Paths of what was copied.
            exit_reason: Why the episode ended.
        """
        self._append("submission", {"files": list(files), "exit_reason": exit_reason})

    def score(self, score: Score, *, reward: float) -> None:
        """The final submission was graded.

        Args:
            score: The score on the test split.
            reward: The last reward.
        """
        self._append("score", {"score": score.model_dump(mode="json"), "reward": reward})

    def limit(self, *, name: str) -> None:
        """A limit ended the episode.

        Args:
            name: The limit, as in the result.
        """
        self._append("limit", {"name": name})

    def error(self, *, message: str) -> None:
        """Something broke that is nobody's submission.

        Args:
            message: What it was.
        """
        self._append("error", {"message": message})

    def compute(self, compute: Compute) -> None:
        """What the episode has used of the machine so far: every few seconds, also while a command runs.

        So it is known of a runner that was killed, too.

        Args:
            compute: As in the result; its fields are the event's.
        """
        self._append("compute", compute.model_dump(mode="json"))

    def end(self, *, status: str, exit_reason: str, return_: float | None, compute: Mapping[str, Any]) -> None:
        """The episode is over.

        Args:
            status: As in the result.
            exit_reason: As in the result.
            return_: Sum of rewards; null after a failure of the infrastructure.
            compute: As in the result.
        """
        self._append("end", {"status": status, "exit_reason": exit_reason, "return": return_, "compute": compute})

    def close(self) -> None:
        """Close the file. Further events are an error of ours."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, kind: str, fields: Mapping[str, Any]) -> None:
        elapsed = round(time.monotonic() - self._started, 6)
        if self._descriptor >= 0:
            event = {"seq": self._sequence, "t": elapsed, "type": kind, **fields}
            self._write((_as_json(event) + "\n").encode())
        if self._observers:
            self._tell(EpisodeEvent(self._episode_id, self._sequence, elapsed, kind, fields))
        self._sequence += 1

    def _write(self, line: bytes) -> None:
        """Write a line, or fail: of one that does not fit on the disk, the system may take a part without a word."""
        if self._was_cut:
            line = b"\n" + line
        while line:
            # What follows must not be lost together with this one.
            self._was_cut = True
            line = line[os.write(self._descriptor, line) :]
        self._was_cut = False

    def _tell(self, event: EpisodeEvent) -> None:
        for observer in list(self._observers):
            name, function = observer
            try:
                function(event)
            except Exception as error:  # noqa: BLE001 - an observer must never end an episode
                self._observers.remove(observer)
                print(
                    f"Plugin {name!r} failed to observe an episode and is not asked again: {error!r}", file=sys.stderr
                )


def _as_json(event: Mapping[str, Any]) -> str:
    """Return an event as JSON, which has no numbers that are not finite: agents may say such, and get them as texts."""
    try:
        return json.dumps(event, default=_plain, allow_nan=False)
    except ValueError:
        told = json.loads(json.dumps(event, default=_plain), parse_constant=str)
        return json.dumps(told, allow_nan=False)


def _plain(value: object) -> object:
    """Return what JSON cannot say otherwise: read-only mappings as objects, anything unknown as text."""
    return dict(value) if isinstance(value, Mapping) else str(value)
