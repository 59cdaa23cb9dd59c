"""The command line. Each command lives in a module of its own, imported when it is used."""

from __future__ import annotations

import difflib
import errno
import importlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from mlgym_core import __version__
from mlgym_core.errors import ConfigurationError, MlgymError
from mlgym_core.settings import SETTINGS_FILE, file_settings

if TYPE_CHECKING:
    from mlgym_core.host import Host

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
"""What the system says of a disk that is full, or that may not be written to."""

COMMANDS = {
    "run": ("run:run_command", "Let agents play tasks, and grade what they submit."),
    "resume": ("run:resume_command", "Finish what a run left undone."),
    "prepare": ("prepare:prepare_command", "Make tasks ready ahead of a run."),
    "data": ("data:data_command", "List, fetch, verify and import the data of tasks."),
    "grade": ("grade:grade_command", "Grade a submission folder, outside an episode."),
    "check": ("check:check_command", "Check that a task, agent, tool, … is what the framework expects."),
    "new-task": ("new:new_task_command", "Make a package with a new task."),
    "new-agent": ("new:new_agent_command", "Make a package with a new agent."),
    "new-tool": ("new:new_tool_command", "Make a package with a new tool."),
    "new-metric": ("new:new_metric_command", "Make a package with a new metric."),
    "new-sandbox": ("new:new_sandbox_command", "Make a package with a new sandbox."),
    "info": ("info:info_command", "Show everything about one task, agent, tool or provider of models."),
    "tasks": ("listings:tasks_command", "List the installed tasks."),
    "agents": ("listings:agents_command", "List the installed agents."),
    "tools": ("listings:tools_command", "List the installed tools."),
    "metrics": ("listings:metrics_command", "List the installed metrics."),
    "sandboxes": ("listings:sandboxes_command", "List the installed sandboxes."),
    "models": ("listings:models_command", "List the installed providers of language models."),
    "executors": ("listings:executors_command", "List the installed executors."),
    "report": ("report:report_command", "Show the results of recorded runs in one table."),
    "suites": ("listings:suites_command", "List the installed suites of tasks."),
    "plugins": ("listings:plugins_command", "List the installed plugins, and those that failed to load."),
    "clean": ("clean:clean_command", "Remove what nothing owns any more."),
    "doctor": ("doctor:doctor_command", "Check what works on this machine."),
}
"""Where each command is (module of this package, attribute), and its line in `mlgym --help`."""


class _LazyGroup(click.Group):
    """A group that imports a command's module when the command is used, and suggests near misses."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
        for name, option in _options(command).items():
            # Variables are named after flags (MLGYM_RUN_AGENT for --agent), whatever the parameter is called in Python.
            if option.envvar is None and option.name != name:
                option.envvar = f"MLGYM_{cmd_name}_{name}".upper().replace("-", "_")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], COMMANDS)
            hint = f" Did you mean {' or '.join(repr(name) for name in close)}?" if close else ""
            raise click.UsageError(f"There is no command {args[0]!r}.{hint} `mlgym --help` lists them all.", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "MLGYM"})
@click.version_option(__version__, prog_name="mlgym")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.option("-v", "--verbose", count=True, help="Say more (twice: everything).")
@click.option("-q", "--quiet", is_flag=True, help="Say less.")
@click.option("--no-plugins", is_flag=True, help="Load nothing but the core's own plugin.")
@click.pass_context
def cli(context: click.Context, debug: bool, verbose: int, quiet: bool, no_plugins: bool) -> None:
    """A gym in which AI research agents are measured and trained.

    \b
    Start here:
      mlgym tasks                                  what can be played
      mlgym run games/blotto --agent baseline      play it
      mlgym doctor                                 what works on this machine

    Options can also be set by environment variables (MLGYM_RUN_SEED=3 for `mlgym run --seed 3`) and in mlgym.toml in
    the working directory (a table for each command: [run], then seed = 3). Names are those of the long flags.
    """
    context.ensure_object(dict)["debug"] = debug
    if verbose or debug:
        import logging

        logging.basicConfig(level=logging.DEBUG if verbose > 1 or debug else logging.INFO, stream=sys.stderr)
    context.default_map = _known_settings(context)


def _options(command: click.Command) -> dict[str, click.Option]:
    """Return the options of a command by the names that settings give them: the long flag's, or click's own."""
    options: dict[str, click.Option] = {}
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            long_flags = [flag for flag in parameter.opts if flag.startswith("--")]
            options[long_flags[0][2:].replace("-", "_") if long_flags else str(parameter.name)] = parameter
    return options


def _known_settings(context: click.Context) -> dict[str, Any]:
    """Return the settings file's options as click wants them, having checked those of the command that is run."""
    settings = file_settings()
    for table in settings:
        if table not in COMMANDS:
            raise ConfigurationError(f"{SETTINGS_FILE}: there is no command {table!r}; `mlgym --help` lists them all.")
    name = context.invoked_subcommand
    assert isinstance(context.command, click.Group)
    if name not in settings or (command := context.command.get_command(context, name)) is None:
        return {}
    options = _options(command)
    defaults: dict[str, Any] = {}
    for key, value in settings[name].items():
        if key not in options:
            known = ", ".join(sorted(options))
            raise ConfigurationError(f"{SETTINGS_FILE}: [{name}] has no option {key!r}. It has: {known}.")
        option = options[key]
        # Click takes a string for a sequence of letters.
        defaults[str(option.name)] = [value] if option.multiple and not isinstance(value, list) else value
    return {name: defaults}


def host_of(context: click.Context) -> Host:
    """Return the host that the global options ask for."""
    from mlgym_core.host import Host, default_host

    if context.find_root().params.get("no_plugins"):
        return Host.installed(only_core=True)
    return default_host()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Exit codes: 0 done, 1 the work failed, 2 bad usage, 3 invalid submission (`grade`), 130 interrupted.
    """
    chosen = list(sys.argv[1:] if arguments is None else arguments)
    shared: dict[str, bool] = {}
    try:
        code = cli.main(chosen, prog_name="mlgym", standalone_mode=False, obj=shared)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        code = 130
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing more can be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except MlgymError as error:
        if shared.get("debug"):
            raise
        click.echo(f"Error: {error}", err=True)
        code = error.exit_code
    except Exception as error:
        if shared.get("debug"):
            raise
        click.echo(f"Error: {type(error).__name__}: {' '.join(str(error).split())}", err=True)
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            click.echo("Make room or give access there, or have mlgym's files elsewhere: MLGYM_CACHE_DIR.", err=True)
        else:
            click.echo("This is a bug in mlgym or in a plugin. `mlgym --debug …` shows where.", err=True)
        code = 1
    sys.exit(code or 0)
