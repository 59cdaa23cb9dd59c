"""The environment behind every id."""

from __future__ import annotations

import json
from typing import Any, Unpack

import gymnasium

from mlgym_core import EnvOptions, Observation, make
from mlgym_gymnasium.spaces import UnicodeText

LARGEST_ACTION = 1 << 20
LARGEST_OBSERVATION = 1 << 18
"""In bytes of UTF-8. Longer observations lose their middle."""
_CUT = "\n[… cut …]\n"


class TaskEnvironment(gymnasium.Env[str, str]):
    """An mlgym task as a Gymnasium environment.

    An action is a text: a shell command, or a tool call as JSON (`{"tool": "validate"}`). An observation is the text
    that the action printed; what else is known of it stands in `info`: `exit_code`, `timed_out`, `steps_left` and so
    on, `score` on a validation and at the end, and `mask` if the infrastructure failed, so that the step must not be
    learnt from.

    Args:
        task: A task id, such as `games/blotto`.
        render_mode: Must be None; there is nothing to see.
        options: Options of `mlgym_core.make`, such as `sandbox`, `max_steps` or `reward`.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(self, task: str, render_mode: None = None, **options: Unpack[EnvOptions]) -> None:
        self.render_mode = render_mode
        self.action_space = UnicodeText(LARGEST_ACTION)
        self.observation_space = UnicodeText(LARGEST_OBSERVATION)
        self._env = make(task, **options)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Begin an episode in a fresh workspace; the observation is the task's description.

        Args:
            seed: Seed of this episode's gradings and of those to come.
            options: None are known.
        """
        super().reset(seed=seed)
        observation, info = self._env.reset(seed=seed)
        return _text(observation), {**_details(observation), **info}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Carry out a shell command or a tool call."""
        observation, reward, terminated, truncated, info = self._env.step(_parsed(action))
        details = _details(observation)
        if (score := info.get("score")) is not None:
            details["score"] = score.model_dump(mode="json")
        details |= {name: value for name, value in info.items() if name != "score"}
        return _text(observation), float(reward), terminated, truncated, details

    def close(self) -> None:
        """End the episode and remove its traces."""
        self._env.close()


def _parsed(action: str) -> Any:
    """Return a tool call if the text is one, else the text: a shell command."""
    if action.lstrip().startswith("{"):
        try:
            call = json.loads(action)
        except ValueError:
            return action
        if isinstance(call, dict) and isinstance(call.get("tool"), str):
            return call
    return action


def _details(observation: Observation) -> dict[str, Any]:
    return {
        "exit_code": observation.exit_code,
        "duration_s": observation.duration_s,
        "truncated_output": observation.truncated,
        "timed_out": observation.timed_out,
        "cwd": observation.cwd,
        "steps_left": observation.steps_left,
        "error": observation.error,
        "score": None if observation.score is None else observation.score.model_dump(mode="json"),
    }


def _text(observation: Observation) -> str:
    content = observation.text.encode("utf-8", "surrogatepass")
    if len(content) <= LARGEST_OBSERVATION:
        return observation.text
    half = (LARGEST_OBSERVATION - len(_CUT.encode())) // 2
    return content[:half].decode("utf-8", "ignore") + _CUT + content[-half:].decode("utf-8", "ignore")
