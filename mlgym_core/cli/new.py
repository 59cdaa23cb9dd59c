"""`mlgym new-task`, `new-agent`, `new-tool`, `new-metric` and `new-sandbox`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlgym_core.errors import UsageError

if TYPE_CHECKING:
    from mlgym_core.scaffold import PackageKind, Scaffold

_SUBMISSIONS = ("predictions", "function", "policy", "model")
_EXAMPLES = {
    "task": "protein-stability",
    "agent": "patient-chemist",
    "tool": "word-count",
    "metric": "median-error",
    "sandbox": "night-watch",
}


def _shared_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that all packages have."""
    for option in (
        click.option("--no-input", is_flag=True, help="Ask nothing: what is not given is the default."),
        click.option("--author", help="Who writes it; asked for unless given."),
        click.option("--summary", help="One line for listings; asked for unless given."),
        click.option(
            "--distribution",
            metavar="PACKAGE",
            help="Name of the package, such as mlgym-task-science for one that will hold several tasks.  [default: "
            "mlgym-, the kind and NAME]",
        ),
        click.option(
            "--output",
            default=".",
            show_default=True,
            type=click.Path(file_okay=False, path_type=Path),
            help="Folder in which the package's own folder is made.",
        ),
        click.argument("name", required=False),
    ):
        command = option(command)
    return command


@click.command("new-task")
@_shared_options
@click.option("--domain", help="Where listings group it, the part of its id before the slash; asked for unless given.")
@click.option(
    "--kind",
    "submission",
    type=click.Choice(_SUBMISSIONS),
    help="What agents hand in: a file of predictions, a function that the grader calls, a policy that it steps through "
    "a simulator, or a trained model whose loss it computes; asked for unless given.",
)
@click.pass_context
def new_task_command(context: click.Context, /, **options: Any) -> None:
    """Make a package with a new task, which works as it is: change it bit by bit into yours.

    It is installed like any package, has a test file, and passes `mlgym check`. On a terminal, what is not given is
    asked for. Nothing is ever overwritten.

    \b
    Examples:
      mlgym new-task protein-stability --domain biology
      mlgym new-task lunar-landing --domain rl --kind policy --no-input
      mlgym new-task sorting --domain algorithms --kind function --output ~/tasks
      mlgym new-task nuclear-masses --domain science --distribution mlgym-task-science
    """
    _make(context, "task", **options)


@click.command("new-agent")
@_shared_options
@click.pass_context
def new_agent_command(context: click.Context, /, **options: Any) -> None:
    """Make a package with a new agent: a language model that calls tools, and goes on until the episode is over.

    \b
    Example:
      mlgym new-agent patient-chemist --summary "Thinks twice"
    """
    _make(context, "agent", **options)


@click.command("new-tool")
@_shared_options
@click.pass_context
def new_tool_command(context: click.Context, /, **options: Any) -> None:
    """Make a package with a new tool that agents can call.

    \b
    Example:
      mlgym new-tool word-count --summary "Counts the words of a file"
    """
    _make(context, "tool", **options)


@click.command("new-metric")
@_shared_options
@click.pass_context
def new_metric_command(context: click.Context, /, **options: Any) -> None:
    """Make a package with a new metric that graders can use.

    \b
    Example:
      mlgym new-metric median-error --summary "Median of the absolute errors"
    """
    _make(context, "metric", **options)


@click.command("new-sandbox")
@_shared_options
@click.pass_context
def new_sandbox_command(context: click.Context, /, **options: Any) -> None:
    """Make a package with a new sandbox, which starts as one that isolates nothing and says so.

    \b
    Example:
      mlgym new-sandbox night-watch --summary "Virtual machines of my own"
    """
    _make(context, "sandbox", **options)


def _make(
    context: click.Context,
    kind: PackageKind,
    *,
    name: str | None,
    output: Path,
    summary: str | None,
    author: str | None,
    no_input: bool,
    distribution: str | None,
    domain: str | None = None,
    submission: Any = None,
) -> None:
    from mlgym_core.scaffold import (
        Scaffold,
        checked_distribution,
        checked_domain,
        checked_name,
        checked_text,
        render,
    )

    asks = not no_input and _is_terminal()
    if name is None:
        if not asks:
            raise UsageError(f"Name the new {kind}: mlgym new-{kind} {_EXAMPLES[kind]}")
        name = _asked(f"Name of the {kind}, such as {_EXAMPLES[kind]}", lambda text: checked_name(kind, text))
    # Before the other questions are asked.
    name = checked_name(kind, name)
    if distribution is not None:
        distribution = checked_distribution(distribution)
    if kind == "task":
        if domain is None:
            domain = _asked("Domain, such as biology", checked_domain) if asks else "examples"
        if submission is None:
            submission = _SUBMISSIONS[0]
            if asks:
                choice = click.Choice(_SUBMISSIONS)
                submission = click.prompt("What agents submit", submission, type=choice, err=True)
    if summary is None:
        default = f"Replace this summary of {name}"
        summary = _asked("Summary, one line", lambda text: checked_text("summary", text), default, asks=asks)
    if author is None:
        default = f"The authors of {distribution or f'mlgym-{kind}-{name}'}"
        author = _asked("Author", lambda text: checked_text("author", text), default, asks=asks)
    scaffold = Scaffold(
        kind=kind,
        name=name,
        summary=summary,
        author=author,
        domain=domain,
        submission=submission,
        package_name=distribution,
    )
    _check_unused(context, scaffold)
    folder = render(scaffold, output)
    click.echo(folder)
    _explain(scaffold, folder)


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _asked(question: str, check: Callable[[str], str], default: str | None = None, *, asks: bool = True) -> str:
    """Return an answer that passes a check, asking again until there is one; without asking, the default."""
    if not asks:
        assert default is not None
        return default

    def checked(text: str) -> str:
        try:
            return check(text)
        except UsageError as problem:
            raise click.UsageError(str(problem)) from None

    answer: str = click.prompt(question, default=default, value_proc=checked, err=True)
    return answer


def _check_unused(context: click.Context, scaffold: Scaffold) -> None:
    """Raise if something that is installed has the id or the name of the package already: it could not be used then."""
    import importlib.metadata
    import importlib.util

    from mlgym_core.cli import host_of

    for entry in host_of(context).registry(scaffold.kind).entries():
        # Two ids that differ in hyphens only would be one distribution.
        if entry.spec.id.replace("_", "-") == scaffold.id.replace("_", "-"):
            raise UsageError(
                f"The {scaffold.kind} {entry.spec.id!r} exists already, in {entry.distribution} {entry.version}, and "
                f"two with one id cannot be used. Choose another name, such as {f'my-{scaffold.name}'!r}."
            )
    # Installing the new package would remove that one, or hide its modules.
    try:
        taken = f"{importlib.metadata.distribution(scaffold.distribution).name} is installed already"
    except importlib.metadata.PackageNotFoundError:
        if importlib.util.find_spec(scaffold.package) is None:
            return
        taken = f"Python imports another package as {scaffold.package}"
    raise UsageError(
        f"A package cannot be called {scaffold.distribution!r} here: {taken}. Choose another name, such as "
        f"{f'my-{scaffold.name}'!r}, or another --distribution."
    )


def _explain(scaffold: Scaffold, folder: Path) -> None:
    import shlex

    run = f"  mlgym run {scaffold.id} --agent baseline\n" if scaffold.kind == "task" else ""
    click.echo(
        f"The {scaffold.kind} {scaffold.id} works as it is. Next:\n"
        f"  cd {shlex.quote(str(folder))}\n"
        '  python -m pip install --editable ".[testing]"\n'
        f"{run}"
        "  python -m pytest\n"
        f"  mlgym check {scaffold.id}\n"
        "Then change it: README.md says where what is. `grep -rn 'Replace this' src` shows what is an example.",
        err=True,
    )
