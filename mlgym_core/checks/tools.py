"""The checks of a tool: it is called in real episodes, with arguments and files as a hostile agent chooses them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlgym_core.checks.findings import Check, CheckFailed, Checks
from mlgym_core.checks.importing import check_import
from mlgym_core.checks.samples import SAMPLE_TASK, SamplePlugin
from mlgym_core.checks.watching import nothing_held_up
from mlgym_core.env import AsyncEnv
from mlgym_core.host import Host
from mlgym_core.making import make_env
from mlgym_core.toolbox import BoundTool, load_tools
from mlgym_core.types import Observation

LONGEST_TEXT = 200_000
"""Characters that a tool may return at once: more than the context of most language models."""

_ACTION_SECONDS = 60.0
_FEWEST_WORDS = 4
_CANARY = "mlgym-check-canary"
_COMMANDS = ("command", "code", "script")
"""Names of arguments whose purpose is to be executed."""
_TEXTS = (
    "",
    " ",
    "\0",
    "a\nb",
    "-rf",
    "../../../etc/passwd",
    "/proc/self/mem",
    f"$(touch {_CANARY})",
    f"`touch {_CANARY}`",
    f"; touch {_CANARY} #",
    f"'; touch {_CANARY}; echo '",
    f'"; touch {_CANARY}; echo "',
    f"x\ntouch {_CANARY}\n",
    "{{ 7 * 7 }} %s {0}",
    "\ud800",
    "\u202eüß\U0001f9ea",
    "x" * 50_000,
)
_HOSTILE: Mapping[str, tuple[Any, ...]] = {
    "string": _TEXTS,
    "integer": (0, -1, 1 << 31, 1 << 63, -(1 << 200)),
    "number": (0.0, -1.5, 1e308, float("inf"), float("nan")),
    "boolean": (True, False),
}
_PLAIN: Mapping[str, Any] = {
    "string": "notes.txt",
    "integer": 1,
    "number": 1.0,
    "boolean": False,
    "array": [],
    "object": {},
}
_WRONG: Mapping[str, Any] = {"string": {"a": 1}, "integer": "many", "number": "much", "boolean": [1]}

_FILES = "hostile"
_MAKE_FILES = f"""\
mkdir -p {_FILES} && cd {_FILES} && mkdir folder && mkfifo pipe && ln -s loop loop && ln -s nowhere dangling
ln -s /etc/passwd outside; head -c 3000000 /dev/zero > zeros; printf '\\377\\376\\001binary' > binary
printf 'no end' > unended; : > empty; touch "$(printf 'new\\nline')"; head -c 3000000 /dev/zero | tr '\\0' x > long
yes 0123456789 | head -n 500000 > many; printf 'x' > forbidden; chmod 000 forbidden; cd ..
"""
_NAMES = (
    *("folder", "pipe", "loop", "dangling", "outside", "zeros", "binary"),
    *("unended", "empty", "new\nline", "long", "many", "forbidden"),
)


class ToolChecks(Checks):
    """The checks of a tool. Run `all`."""

    kind = "tool"

    def __init__(self, host: Host, tool_id: str, sandbox: str) -> None:
        super().__init__(tool_id)
        self._entry = host.tools.entry(tool_id)
        self._host = host.extended(SamplePlugin())
        self._sandbox = sandbox
        self._env: AsyncEnv | None = None

    def checks(self) -> Sequence[Check]:
        """Return the checks of every tool."""
        return (
            ("import", self._import),
            ("schema", self._schema),
            ("answers", self._answers),
            ("wrong arguments", self._wrong_arguments),
            ("hostile arguments", self._hostile_arguments),
            ("hostile files", self._hostile_files),
        )

    async def close(self) -> None:
        """End the episode."""
        if self._env is not None:
            await self._env.close()

    async def _import(self) -> str:
        said = await check_import(self._entry, target=False)
        self._host.tools.load(self.id)
        return said

    async def _schema(self) -> str:
        tool = self._tool()
        if len(tool.description.split()) < _FEWEST_WORDS:
            raise CheckFailed(
                f"models are told {tool.description!r} of it", "Say in the docstring of `run` what the tool does."
            )
        untyped = [name for name, schema in self._properties().items() if not _kind(schema)]
        if untyped:
            raise CheckFailed(f"models are not told what {', '.join(untyped)} may be", "Annotate them more precisely.")
        return f"{tool.description[:80]} ({', '.join(self._properties()) or 'no arguments'})"

    async def _answers(self) -> str:
        observation = await self._call(self._plain())
        self._judge("plain arguments", self._plain(), observation)
        return f"it answers plain arguments with {len(observation.text):,} characters"

    async def _wrong_arguments(self) -> str:
        plain, number = self._plain(), 0
        calls: list[dict[str, Any]] = [{**plain, "no_such_argument": 1}]
        calls += [{key: value for key, value in plain.items() if key != name} for name in self._required()]
        for name, schema in self._properties().items():
            if (wrong := _WRONG.get(_kind(schema))) is not None:
                calls.append({**plain, name: wrong})
        for arguments in calls:
            number += 1
            observation = await self._call(arguments)
            if not observation.error:
                raise CheckFailed(f"{_shown(arguments)} is accepted", "Give the arguments of `run` their types.")
            self._judge("wrong arguments", arguments, observation)
        return f"{number} wrong calls are refused with what is wrong"

    async def _hostile_arguments(self) -> str:
        number = 0
        for name, schema in self._properties().items():
            for value in _HOSTILE.get(_kind(schema), ()):
                number += 1
                arguments = {**self._plain(), name: value}
                observation = await self._call(arguments)
                self._judge("hostile arguments", arguments, observation)
                if _CANARY in str(value) and name not in _COMMANDS and await self._canary():
                    raise CheckFailed(
                        f"{_shown(arguments)} executes what is in it", "Quote what goes into a command: `shlex.quote`."
                    )
        return f"{number} hostile arguments do no harm"

    async def _hostile_files(self) -> str:
        names = [name for name, schema in self._properties().items() if _kind(schema) == "string"]
        number = 0
        for name in names:
            if name in _COMMANDS:
                continue
            for file in _NAMES:
                number += 1
                arguments = {**self._plain(), name: f"{_FILES}/{file}"}
                self._judge("hostile files", arguments, await self._call(arguments))
        return f"{number} calls with pipes, links, huge and binary files are answered" if number else "it takes no text"

    # ---------------------------------------------------------------------------------------- inner works

    def _tool(self) -> BoundTool:
        return load_tools(self._host, [self.id])[self.id]

    def _properties(self) -> Mapping[str, Any]:
        properties: Mapping[str, Any] = self._tool().schema()["parameters"].get("properties", {})
        return properties

    def _required(self) -> Sequence[str]:
        required: Sequence[str] = self._tool().schema()["parameters"].get("required", [])
        return required

    def _plain(self) -> dict[str, Any]:
        plain = {}
        for name in self._required():
            schema = self._properties()[name]
            plain[name] = "true" if name in _COMMANDS else schema.get("enum", [_PLAIN.get(_kind(schema))])[0]
        return plain

    async def _call(self, arguments: Mapping[str, Any]) -> Observation:
        env = await self._episode()
        code = getattr(self._host.tools.load(self.id).run, "__code__", None)
        with nothing_held_up(code, "Wait with `await`, and give what blocks to `asyncio.to_thread`."):
            observation, *_ = await env.step({"tool": self.id, "arguments": dict(arguments)})
        if env.is_over and env.result is not None and env.result.status == "infrastructure_failure":
            raise CheckFailed(
                f"{_shown(arguments)} makes the episode fail: {env.result.error}", "Raise ToolError with what is wrong."
            )
        return observation

    async def _episode(self) -> AsyncEnv:
        """Return an episode that goes on, with the hostile files in its workspace."""
        if self._env is None:
            self._env = await make_env(
                SAMPLE_TASK,
                host=self._host,
                sandbox=self._sandbox,
                tools=[self.id],
                max_steps=10_000,
                max_validations=None,
                action_timeout=_ACTION_SECONDS,
            )
        if self._env.is_over:
            await self._env.reset()
            await self._env.run_shell(_MAKE_FILES)
        return self._env

    async def _canary(self) -> bool:
        assert self._env is not None
        if self._env.is_over:
            return False
        result = await self._env.run_shell(f"find . ~ /tmp -maxdepth 2 -name {_CANARY} 2>/dev/null | head -n 1")
        return bool(result.text.strip())

    def _judge(self, what: str, arguments: Mapping[str, Any], observation: Observation) -> None:
        call = _shown(arguments)
        if observation.error and observation.text.startswith(f"The tool {self.id!r} broke:"):
            raise CheckFailed(
                f"{what}: {call} breaks it: {observation.text[:300]}", "Raise ToolError with what is wrong."
            )
        if observation.timed_out or observation.duration_s >= _ACTION_SECONDS:
            raise CheckFailed(
                f"{what}: {call} takes longer than {_ACTION_SECONDS:g} s", "Refuse what is no plain file."
            )
        if len(observation.text) > LONGEST_TEXT:
            raise CheckFailed(
                f"{what}: {call} returns {len(observation.text):,} characters",
                "Cut what a model cannot read, and say so.",
            )


def _kind(schema: Mapping[str, Any]) -> str:
    """Return the JSON type of an argument, the first one that is not null; empty if it says none."""
    kinds = [choice.get("type", "") for choice in _choices(schema)]
    return next((kind for kind in kinds if kind and kind != "null"), "object" if "$ref" in schema else "")


def _choices(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield schema
    yield from schema.get("anyOf", ())


def _shown(arguments: Mapping[str, Any]) -> str:
    text = ascii(dict(arguments))
    return text if len(text) <= 120 else f"{text[:120]}…"
