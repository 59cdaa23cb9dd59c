"""The agent that tunes: a search over the parameters that a starter declares.

It knows nothing of any task. A submission file, or the script that writes the submission, declares a parameter in one
line,

    LEARNING_RATE = 0.1  # tunable: float 0.001 to 1

with `float LOW to HIGH`, `int LOW to HIGH` or `choice A, B, …` after `tunable:`. The agent works through the same
tools as any other: it reads the file, writes changed copies, validates, keeps the best, submits.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from mlgym_core.builtin.baseline import run_script
from mlgym_core.env import AsyncEnv
from mlgym_core.errors import UsageError
from mlgym_core.interfaces import Agent

_LINE = re.compile(
    r"^(?P<name>[A-Za-z_]\w*) = (?P<value>.+?)  # tunable: "
    r"(?:(?P<kind>float|int) (?P<low>\S+) to (?P<high>\S+)|choice (?P<choices>.+?))\s*$",
    re.MULTILINE,
)
_FIRST_SPREAD = 0.25
"""Standard deviation of the first local steps, as a share of a parameter's range; it is halved in each round."""
_EXHAUSTED = 1000
"""After so many proposals in a row that were tried before, the space counts as exhausted."""


@dataclass(frozen=True)
class Parameter:
    """A declared parameter.

    Attributes:
        name: The variable.
        value: Its value in the starter, as written.
        kind: `float`, `int` or `choice`.
        low: Lowest value of a number.
        high: Highest value of a number.
        choices: All values of a choice, as written.
    """

    name: str
    value: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    choices: tuple[str, ...] = ()

    def written(self, number: float) -> str:
        """Return a number as the file should hold it: in range, and whole for an `int`."""
        number = min(max(number, self.low), self.high)
        return str(round(number)) if self.kind == "int" else f"{number:.4g}"

    def ends(self) -> list[str]:
        """Return the values that explore it boldly: all choices, or both ends of its range."""
        return list(self.choices) if self.kind == "choice" else [self.written(self.low), self.written(self.high)]

    def near(self, value: str, spread: float, generator: random.Random) -> str:
        """Return a value near `value`; `spread` is a share of the range."""
        if self.kind == "choice":
            return generator.choice(self.choices)
        step = generator.gauss(0, spread * (self.high - self.low))
        if self.kind == "int" and abs(step) < 1:
            step = 1 if step > 0 else -1
        return self.written(float(value) + step)


def declared_parameters(source: str) -> list[Parameter]:
    """Return the parameters that a file declares, in order.

    Raises:
        UsageError: if a range is not made of numbers.
    """
    parameters = []
    for match in _LINE.finditer(source):
        name, value = match["name"], match["value"].strip()
        if match["choices"] is not None:
            choices = tuple(choice.strip() for choice in match["choices"].split(","))
            parameters.append(Parameter(name, value, "choice", choices=choices))
            continue
        try:
            float(value)
            low, high = float(match["low"]), float(match["high"])
        except ValueError:
            raise UsageError(f"The range of the parameter {name} is not made of numbers: {match[0].strip()}") from None
        parameters.append(Parameter(name, value, match["kind"], low, high))
    return parameters


def with_values(source: str, values: dict[str, str]) -> str:
    """Return the file with other values of its parameters."""

    def replaced(match: re.Match[str]) -> str:
        start, end = match.span("value")
        offset = match.start()
        line = match[0]
        return line[: start - offset] + values.get(match["name"], match["value"]) + line[end - offset :]

    return _LINE.sub(replaced, source)


class TunerAgent(Agent):
    """Searches over declared parameters: the ends of each range first, then ever smaller steps around the best.

    Args:
        validations: How many validations to spend at most; all that are allowed unless given.
    """

    def __init__(self, *, validations: int | None = None) -> None:
        self._validations = validations

    async def run(self, env: AsyncEnv) -> None:
        """Tune, then submit the best."""
        sources, parameters = await self._read(env)
        best_values = {name: parameter.value for name, (_, parameter) in parameters.items()}
        best = await self._trial(env, sources, parameters, {}) if parameters else None
        generator = random.Random(env.seed)  # noqa: S311 - a search, not a secret
        tried = {tuple(best_values.items())}
        spent = 1
        known_in_a_row = 0
        proposals = self._proposals(parameters, generator)
        while parameters and not env.is_over and self._may_go_on(env, spent):
            name, value = next(proposals)(best_values)
            values = {**best_values, name: value}
            if tuple(values.items()) in tried:
                known_in_a_row += 1
                if known_in_a_row > _EXHAUSTED:
                    break
                continue
            known_in_a_row = 0
            tried.add(tuple(values.items()))
            score = await self._trial(env, sources, parameters, values)
            spent += 1
            if score is not None and (best is None or _is_better(score, best, env.task.direction)):
                best, best_values = score, values
        await self._make_submission(env, sources, parameters, best_values)
        if not env.is_over:
            await env.step({"tool": "submit"})

    async def _read(self, env: AsyncEnv) -> tuple[dict[str, str], dict[str, tuple[str, Parameter]]]:
        """Return the files that declare parameters, and the parameters with their files."""
        sources: dict[str, str] = {}
        parameters: dict[str, tuple[str, Parameter]] = {}
        for path in self._paths(env):
            observation, *_ = await env.step({"tool": "read_file", "arguments": {"path": path, "lines": 100_000}})
            found = [] if observation.error or observation.truncated else declared_parameters(observation.text)
            if found:
                sources[path] = observation.text
                parameters |= {parameter.name: (path, parameter) for parameter in found}
        return sources, parameters

    @staticmethod
    def _paths(env: AsyncEnv) -> tuple[str, ...]:
        script = env.task.baseline_script
        return env.task.submission_files if script is None else (*env.task.submission_files, script)

    def _may_go_on(self, env: AsyncEnv, spent: int) -> bool:
        """Whether another trial can be made and the best still be written and submitted."""
        enough_steps = env.observation.steps_left >= 2 * len(self._paths(env)) + 4
        within_own_limit = self._validations is None or spent < self._validations
        return enough_steps and within_own_limit and env.validations_left != 0

    @staticmethod
    def _proposals(parameters: dict[str, tuple[str, Parameter]], generator: random.Random) -> Iterator[_Proposal]:
        """Yield what to try next for ever, each a change of one parameter of the best so far."""
        every = [parameter for _, parameter in parameters.values()]
        for parameter in generator.sample(every, len(every)):
            for value in parameter.ends():
                yield _Proposal(parameter, value)
        spread = _FIRST_SPREAD
        while True:
            for parameter in generator.sample(every, len(every)):
                yield _Proposal(parameter, None, spread, generator)
            spread = max(spread / 2, 0.01)

    async def _trial(
        self,
        env: AsyncEnv,
        sources: dict[str, str],
        parameters: dict[str, tuple[str, Parameter]],
        values: dict[str, str],
    ) -> float | None:
        """Validate what comes of these values and return the score, or None if there is none."""
        await self._make_submission(env, sources, parameters, values)
        if env.is_over:
            return None
        observation, *_ = await env.step({"tool": "validate"})
        return observation.score.value if observation.score is not None else None

    @staticmethod
    async def _make_submission(
        env: AsyncEnv, sources: dict[str, str], parameters: dict[str, tuple[str, Parameter]], values: dict[str, str]
    ) -> None:
        """Write the files with these values, those of the starter if there are none, and run the task's script."""
        for path, source in sources.items():
            own = {name: value for name, value in values.items() if parameters[name][0] == path}
            arguments = {"path": path, "content": with_values(source, own)}
            if own and not env.is_over:
                await env.step({"tool": "write_file", "arguments": arguments})
        if env.task.baseline_script is not None and not env.is_over:
            await env.step(run_script(env.task.baseline_script))


@dataclass(frozen=True)
class _Proposal:
    """A change of one parameter: to a value, or, if that is None, to one near the best."""

    parameter: Parameter
    value: str | None
    spread: float = 0.0
    generator: random.Random | None = None

    def __call__(self, best: dict[str, str]) -> tuple[str, str]:
        name = self.parameter.name
        if self.value is not None or self.generator is None:
            return name, self.value or best[name]
        return name, self.parameter.near(best[name], self.spread, self.generator)


def _is_better(score: float, best: float, direction: str) -> bool:
    return score > best if direction == "maximize" else score < best
