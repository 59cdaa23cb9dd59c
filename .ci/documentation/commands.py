"""The page of commands: every command with its options, from click."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from documentation.writing import UndocumentedError, block, cell, code, page, table

INTRODUCTION = """
Every command and option. [Commands](../commands.md) says what belongs together, [Settings](settings.md) which other
variables there are.
"""


def commands_page(root: click.Group) -> str:
    """Return the page.

    Raises:
        UndocumentedError: if a command or an option has no help.
    """
    context = click.Context(root, info_name="mlgym", auto_envvar_prefix="MLGYM")
    return page("Command line", INTRODUCTION, _sections(root, context))


def _sections(command: click.Command, context: click.Context) -> Iterator[str]:
    name = context.command_path
    if not command.help:
        raise UndocumentedError(f"the command `{name}`", "Give its function a docstring.")
    yield f"## `{name}`\n"
    yield block(" ".join([name, *command.collect_usage_pieces(context)]), "text")
    yield _prose(command.help)
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    if options:
        headings = ("option", "meaning", "unless given", "variable")
        yield table(headings, [_row(option, context, name) for option in options])
    if isinstance(command, click.Group):
        for child_name in command.list_commands(context):
            child = command.get_command(context, child_name)
            assert child is not None
            yield from _sections(child, click.Context(child, info_name=child_name, parent=context))


def _row(option: click.Option, context: click.Context, command: str) -> tuple[str, str, str, str]:
    if not option.help:
        raise UndocumentedError(f"the option {option.opts[-1]} of `{command}`", "Give it a `help`.")
    taken = "" if option.is_flag or option.count else f" {option.make_metavar(context)}"
    flags = ", ".join([*option.opts, *option.secondary_opts])
    # What click shows in brackets behind the help, without the brackets.
    extra = option.get_help_extra(context)
    default = extra.get("default", "")
    if option.required:
        default = "must be given"
    variable = option.envvar or f"{context.auto_envvar_prefix}_{option.name}".upper()
    # Those of mlgym itself are no settings: they say how one call is made.
    shown = "" if context.parent is None else code(str(variable))
    many = " Can be given several times." if option.multiple and "repeatable" not in option.help else ""
    meaning = f"{cell(option.help)}{many}"
    return code(flags + taken), meaning, default and (default if option.required else code(default)), shown


def _prose(text: str) -> str:
    """Return the help of a command as Markdown; paragraphs that click is told not to wrap are blocks."""
    parts: list[str] = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if not paragraph.startswith("\b"):
            parts.append(" ".join(paragraph.split()) + "\n")
            continue
        title, *lines = paragraph.removeprefix("\b").strip("\n").splitlines()
        parts.append(f"{title}\n")
        parts.append(block("\n".join(line.removeprefix("  ") for line in lines), "text"))
    return "\n".join(parts)
