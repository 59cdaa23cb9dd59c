"""Tools as command lines, such as `edit 3 5 text="…"`, for models that write text. Schemas say what arguments mean."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from mlgym_core import ToolSchema, did_you_mean

SHELL = "bash"
"""The tool that gets whatever is not the name of another one."""
_WORD = re.compile(r"""(?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')+""", re.DOTALL)
_NAMED = re.compile(r"([A-Za-z_]\w*)=")
_HEREDOC = re.compile(r"<<(-?)(['\"]?)([A-Za-z_]\w*)\2\Z")
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class CommandProblem(Exception):  # noqa: N818 - what is wrong with a command, in words for the model
    """A command cannot be understood; nothing was done. The message is for the model."""


def parse_command(text: str, tools: Sequence[ToolSchema]) -> dict[str, Any]:
    """Return a command as an action: a call of the tool that its first word names, or else of the shell.

    Raises:
        CommandProblem: if it is neither.
    """
    text = text.strip("\n")
    if not text.strip():
        raise CommandProblem("The block is empty.")
    by_name = {str(tool["name"]): tool for tool in tools}
    word = text.split(maxsplit=1)[0]
    if word in by_name and word != SHELL:
        return {"tool": word, "arguments": _arguments(by_name[word], text.lstrip()[len(word) :])}
    if SHELL not in by_name:
        meant = did_you_mean([word], by_name)
        raise CommandProblem(f"There is no tool {word[:100]!r}, and no shell.{meant} There are: {', '.join(by_name)}.")
    return {"tool": SHELL, "arguments": {"command": text}}


def usage(tool: ToolSchema) -> str:
    """Return how a tool is called, such as `goto LINE` and `open PATH [line=1]`."""
    if tool["name"] == SHELL:
        return "any other command is run by bash, which keeps its directory, variables and functions"
    words = [str(tool["name"])]
    for name, schema in _parameters(tool).items():
        default = "" if schema.get("default") in (None, "") else json.dumps(schema["default"]).strip('"')
        words.append(name.upper() if name in _required(tool) else f"[{name}={default or name.upper()}]")
    return " ".join(words)


def _parameters(tool: ToolSchema) -> Mapping[str, Mapping[str, Any]]:
    properties: Mapping[str, Mapping[str, Any]] = tool["parameters"].get("properties", {})
    return properties


def _required(tool: ToolSchema) -> Sequence[str]:
    required: Sequence[str] = tool["parameters"].get("required", ())
    return required


def _arguments(tool: ToolSchema, text: str) -> dict[str, Any]:
    """Return the arguments in what follows a tool's name."""
    parameters = _parameters(tool)
    if text.strip().startswith("{") and (given := _json_object(text)) is not None:
        return given
    words, rest = _words(tool, text)
    arguments: dict[str, Any] = {}
    positional: list[tuple[str, bool]] = []
    for word in words:
        named = _NAMED.match(word)
        if named is not None and named[1] in parameters:
            value, is_body = _value(tool, word[named.end() :], rest)
            if named[1] in arguments:
                raise _problem(tool, f"{named[1]} is given twice")
            arguments[named[1]] = value if is_body else _typed(tool, named[1], value)
        else:
            positional.append(_value(tool, word, rest))
    free = [name for name in parameters if name not in arguments]
    if len(positional) > len(free):
        raise _problem(tool, f"there are {len(positional)} arguments without a name, and {len(free)} to be given")
    for name, (value, is_body) in zip(free, positional, strict=False):
        arguments[name] = value if is_body else _typed(tool, name, value)
    body = "".join(rest)
    if body.strip():
        arguments[_parameter_of_body(tool, arguments)] = body
    missing = [name for name in _required(tool) if name not in arguments]
    if missing:
        raise _problem(tool, f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    return arguments


def _words(tool: ToolSchema, text: str) -> tuple[list[str], list[str]]:
    """Return the words up to the end of the line, which may lie in quotes, and the lines that follow."""
    words: list[str] = []
    position = _after_blanks(text, 0)
    while position < len(text) and text[position] != "\n":
        match = _WORD.match(text, position)
        if match is None or (match.end() < len(text) and not text[match.end()].isspace()):
            raise _problem(tool, "a quote is not closed, or the line ends in a backslash")
        words.append(match[0])
        position = _after_blanks(text, match.end())
    rest = text[position + 1 :]
    if rest and not rest.endswith("\n"):
        rest += "\n"
    # Only line feeds end a line, as everywhere in files.
    return words, [f"{line}\n" for line in rest.split("\n")[:-1]]


def _after_blanks(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r":
        position += 1
    return position


def _value(tool: ToolSchema, word: str, rest: list[str]) -> tuple[str, bool]:
    """Return what a word stands for, and whether that is a here-document, which is taken from the lines that follow."""
    heredoc = _HEREDOC.match(word)
    if heredoc is None:
        return "".join(shlex.split(word)), False
    for number, line in enumerate(rest):
        if line.strip() == heredoc[3]:
            body = "".join(rest[:number])
            del rest[: number + 1]
            return body, True
    raise _problem(tool, f"no line {heredoc[3]} ends the text after {word}")


def _parameter_of_body(tool: ToolSchema, arguments: Mapping[str, Any]) -> str:
    """Return which argument the lines after the command are."""
    texts = [name for name, schema in _parameters(tool).items() if "string" in _types(schema)]
    missing = [name for name in texts if name not in arguments and name in _required(tool)]
    if not missing:
        raise _problem(tool, "what follows its line is no argument of it. A block holds one command")
    return missing[-1]


def _typed(tool: ToolSchema, name: str, text: str) -> Any:
    """Return a word as a value of the type that the schema names."""
    types = _types(_parameters(tool)[name])
    if "null" in types and text in ("null", "None"):
        return None
    for kind in types:
        try:
            if kind == "integer":
                return int(text)
            if kind == "number":
                return float(text)
            if kind == "boolean":
                return _WORDS[text.lower()]
            if kind == "string":
                return text
        except (ValueError, KeyError):
            continue
    try:
        return json.loads(text)
    except ValueError:
        wanted = " or ".join(kind for kind in types if kind != "null") or "JSON value"
        raise _problem(tool, f"{name} is {text[:100]!r}, and must be a JSON value or {wanted}") from None


def _types(schema: Mapping[str, Any]) -> list[str]:
    """Return the types that a schema allows, texts last: everything is a text."""
    options = schema.get("anyOf", [schema])
    types = [str(option["type"]) for option in options if isinstance(option.get("type"), str)]
    return sorted(types, key=lambda kind: kind == "string")


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _problem(tool: ToolSchema, what: str) -> CommandProblem:
    return CommandProblem(f"{tool['name']}: {what}. It is called as: {usage(tool)}")
