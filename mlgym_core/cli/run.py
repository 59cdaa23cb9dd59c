"""`mlgym run` and `mlgym resume`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from mlgym_core.errors import UsageError

if TYPE_CHECKING:
    from mlgym_core.cli.result_rows import ResultRow
    from mlgym_core.host import Host
    from mlgym_core.runner import Run
    from mlgym_core.types import EpisodeResult

_RUNS_DIR = click.option(
    "--runs-dir",
    default="runs",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where runs lie.",
)
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


class Duration(click.ParamType[float]):
    """Seconds, or a number with the unit s, m or h."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the duration in seconds."""
        if isinstance(value, int | float):
            return float(value)
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", str(value).strip())
        if match is None:
            self.fail(f"{value!r} is not a time: write seconds, or a number with s, m or h, such as 90m.", param, ctx)
        return float(match[1]) * _UNITS[match[2]]


def _run_limits(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that limit a whole run."""
    money = click.FloatRange(min=0, min_open=True)
    for option in (
        click.option("--max-run-time", type=Duration(), help="Wall time of the run, while episodes go on."),
        click.option("--max-run-tokens", type=click.IntRange(min=1), help="Tokens of model calls of the run."),
        click.option("--max-run-cost", type=money, help="US dollars of model calls of the run."),
    ):
        command = option(command)
    return command


def pairs_of(flag: str, pairs: tuple[str, ...], form: str = "key=value") -> dict[str, str]:
    options = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key:
            # Without repeating it: it may be a secret.
            raise UsageError(f"An option that follows {flag} has no value: write {flag} {form}.")
        # What stands before a dot is the name of something.
        owner, dot, name = key.rpartition(".")
        options[owner + dot + name.replace("-", "_")] = value
    return options


@click.command("run")
@click.argument("tasks", nargs=-1, metavar="TASK...")
@click.option("--suite", "suites", multiple=True, help="Run the tasks of a suite (see `mlgym suites`).")
@click.option(
    "--agent",
    "agents",
    multiple=True,
    help="Who plays (see `mlgym agents`); repeatable. With --model it may be left out: the agent for models plays.",
)
@click.option("-A", "agent_options", multiple=True, metavar="KEY=VALUE", help="An option of the agents; repeatable.")
@click.option("--model", help="The language model, as PROVIDER/NAME, for agents that use one (see `mlgym models`).")
@click.option("-M", "model_options", multiple=True, metavar="KEY=VALUE", help="An option of the model; repeatable.")
@click.option("--repeat", default=1, show_default=True, type=click.IntRange(min=1), help="Episodes of each kind.")
@click.option("--seed", default=0, show_default=True, help="Seed that everything random in grading derives from.")
@click.option("--sandbox", default="auto", show_default=True, help="auto, or one of `mlgym sandboxes`.")
@click.option("--executor", default="local", show_default=True, help="How episodes are run (see `mlgym executors`).")
@click.option("--parallel", default=1, show_default=True, type=click.IntRange(min=1), help="Episodes at a time.")
@click.option("--max-steps", default=50, show_default=True, type=click.IntRange(min=1), help="Actions per episode.")
@click.option("--max-time", type=Duration(), help="Wall time per episode: seconds, or such as 90m.")
@click.option("--max-working-time", type=Duration(), help="Wall time per episode without waiting for the model.")
@click.option("--max-processor-time", type=Duration(), help="Processor time of the agent's processes per episode.")
@click.option("--max-cost", type=click.FloatRange(min=0, min_open=True), help="US dollars of model calls per episode.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Tokens of model calls per episode.")
@_run_limits
@click.option(
    "--max-validations",
    default=20,
    show_default=True,
    type=click.IntRange(min=0),
    help="Validations per episode (strict).",
)
@click.option("--action-timeout", default=1800.0, show_default=True, type=Duration(), help="Wall time per action.")
@click.option("--tools", help="Comma-separated tools on offer, instead of the default ones (see `mlgym tools`).")
@click.option("-T", "tool_options", multiple=True, metavar="TOOL.KEY=VALUE", help="An option of a tool; repeatable.")
@click.option("--grant", "grants", multiple=True, help="Grant what tools need (see `mlgym info TOOL`); repeatable.")
@click.option(
    "--protocol",
    default="strict",
    show_default=True,
    type=click.Choice(["strict", "paper"]),
    help="strict: validate gives the validation score, metered. paper: it gives the test score, as in 2025.",
)
@click.option(
    "--reward",
    default="improvement",
    show_default=True,
    type=click.Choice(["improvement", "final"]),
    help="What steps are rewarded for.",
)
@click.option(
    "--variant", help="Data variant of the tasks; unless given, what their suites name, or each task's first."
)
@click.option(
    "--runs-dir",
    default="runs",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where runs lie.",
)
@click.option("--run-id", help="Name of the run; made of the time unless given.")
@click.option("--show-prompt", is_flag=True, help="Print what the model would see first, and play nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line per finished episode, and one for the run.")
@click.pass_context
def run_command(
    context: click.Context, /, as_json: bool, show_prompt: bool, runs_dir: Path, run_id: str | None, **options: Any
) -> None:
    """Let agents play tasks, and grade what they submit.

    Agents may bring limits and tools of their own, which hold unless they are named here: see `mlgym info AGENT`.

    Suites bring variants of their tasks, and may bring limits: see `mlgym info SUITE`. Each task is prepared first; one
    that cannot be is reported, and the others are played. The table at the end has the published baselines, too.

    Every task is played by every agent, --repeat times. The run is recorded in RUNS_DIR/RUN_ID as it goes on; if it is
    interrupted, `mlgym resume` finishes it.

    \b
    Examples:
      mlgym run games/blotto --agent baseline
      mlgym run --suite games --agent tuner -A validations=10 --repeat 4 --parallel 2
      mlgym run --suite mlgym-bench-v0-mini --agent baseline --parallel 2
      mlgym run games/blotto --agent script -A file=actions.jsonl --json
      mlgym run games/blotto --agent human
      mlgym run games/blotto --model anthropic/claude-sonnet-4-5
      mlgym run games/blotto --agent react --model anthropic/claude-sonnet-4-5 --max-cost 4 --max-run-cost 40
      mlgym run games/blotto --agent react --model openai/gpt-5 --grant literature -T literature_search.results=5
    """
    from mlgym_core.cli import host_of
    from mlgym_core.records import check_run_id, new_run_id
    from mlgym_core.runner import Run, RunPlan
    from mlgym_core.suites import chosen_tasks

    host = host_of(context)
    # What is not said is left to the agents, which may bring limits of their own.
    explicit = {name for name in options if context.get_parameter_source(name) is not ParameterSource.DEFAULT}
    options["suites"] = tuple(dict.fromkeys(options["suites"]))
    chosen = chosen_tasks(host, options.pop("tasks"), options["suites"], options["variant"])
    if not chosen.tasks:
        raise UsageError("Name at least one task or a --suite. `mlgym tasks` lists what is installed.")
    options["agents"] = options["agents"] or default_agents(host, options["model"])
    explicit.add("agents")
    options["agent_options"] = pairs_of("-A", options["agent_options"])
    options["model_options"] = pairs_of("-M", options["model_options"])
    options["tool_options"] = pairs_of("-T", options["tool_options"], "TOOL.KEY=VALUE")
    options["grants"] = tuple(dict.fromkeys(options["grants"]))
    if options["tools"] is not None:
        options["tools"] = tuple(tool.strip() for tool in options["tools"].split(",") if tool.strip())
        if not options["tools"]:
            raise UsageError("--tools names no tool: write such as --tools bash,validate,submit.")
    options = {name: value for name, value in options.items() if name in explicit}
    limits = {
        task: {name: limit for name, limit in of_suites.items() if name not in explicit}
        for task, of_suites in chosen.limits.items()
    }
    plan = RunPlan(
        tasks=chosen.tasks,
        variants_of_tasks=dict(chosen.variants),
        limits_of_tasks={task: own for task, own in limits.items() if own},
        **options,
    )
    folder = runs_dir.resolve() / check_run_id(run_id or new_run_id("run"))
    if show_prompt:
        _show_prompts(Run(host, folder, plan), as_json=as_json)
        return
    _play(context, Run.start(host, folder, plan), as_json=as_json)


def default_agents(host: Host, model: str | None) -> tuple[str, ...]:
    """Return who plays where nobody is named.

    Raises:
        UsageError: if no model is named either, or not exactly one agent says that it plays by default.
    """
    if model is None:
        raise UsageError(
            "Say who plays: --agent NAME, or --model PROVIDER/NAME. `mlgym agents` lists what is installed."
        )
    specs = [entry.spec for entry in host.agents.entries()]
    agents = tuple(spec.id for spec in specs if spec.default)
    if len(agents) == 1:
        return agents
    if agents:
        raise UsageError(f"Say which agent plays with the model: --agent {' or --agent '.join(agents)}.")
    others = [spec.id for spec in specs if spec.needs_model]
    known = f"there are: {', '.join(others)}." if others else "none is installed. mlgym-agents has some."
    raise UsageError(f"Say which agent plays with the model (--agent NAME); {known}")


def _show_prompts(run: Run, *, as_json: bool) -> None:
    """Print what a model sees first: a JSON line for each task and agent, or the same for people."""
    import asyncio
    import json

    async def show() -> None:
        async for episode, messages, tools in run.openings():
            if as_json:
                document = {"task": episode.task, "agent": episode.agent, "messages": messages, "tools": tools}
                click.echo(json.dumps(document))
                continue
            click.echo(f"=== {episode.task}, {episode.agent}")
            if not messages:
                click.echo("This agent shows nothing to a language model.")
                continue
            for message in messages:
                click.echo(f"--- {message['role']}\n{message['content']}")
            for tool in tools:
                click.echo(f"--- tool {tool['name']}\n{json.dumps(tool, indent=2)}")

    asyncio.run(show())


@click.command("resume")
@click.argument("run")
@click.option(
    "--runs-dir",
    default="runs",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where runs lie.",
)
@click.option("-M", "model_options", multiple=True, metavar="KEY=VALUE", help="A secret option of the model, again.")
@click.option("-T", "tool_options", multiple=True, metavar="TOOL.KEY=VALUE", help="A secret option of a tool, again.")
@_run_limits
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line per finished episode, and one for the run.")
@click.pass_context
def resume_command(
    context: click.Context,
    /,
    run: str,
    runs_dir: Path,
    model_options: tuple[str, ...],
    tool_options: tuple[str, ...],
    as_json: bool,
    **limits: Any,
) -> None:
    """Finish what a run left undone: episodes that were interrupted, failed, or never begun.

    RUN is a run's id or its folder. Episodes that have a score stay as they are. Limits of the run count what it used
    before; given again, they replace those of its start.

    \b
    Examples:
      mlgym resume run-20260131-142501-3f2a
      mlgym resume run-20260131-142501-3f2a --max-run-cost 20
    """
    from mlgym_core.cli import host_of
    from mlgym_core.limits import RunLimits
    from mlgym_core.runner import Run

    folder = Path(run) if Path(run, "run.json").exists() else runs_dir / run
    opened = Run.reopen(
        host_of(context),
        folder.resolve(),
        model_options=pairs_of("-M", model_options),
        tool_options=pairs_of("-T", tool_options, "TOOL.KEY=VALUE"),
        limits=RunLimits(**limits),
    )
    _play(context, opened, as_json=as_json)


def _play(context: click.Context, run: Run, *, as_json: bool) -> None:
    """Play a run, show how it goes, print its results, and end with the exit code that they call for."""
    import asyncio
    import signal

    from rich.console import Console

    from mlgym_core.cli import host_of
    from mlgym_core.cli.progress import ProgressTable, result_table, shortened, suite_table
    from mlgym_core.cli.result_rows import notes_of, result_rows
    from mlgym_core.suites import published_baselines

    results = {episode.id: run.finished(episode) for episode in run.episodes}
    # A person at the terminal and a live table do not go together.
    quiet = bool(context.find_root().params.get("quiet")) or "human" in run.plan.agents

    async def play(progress: ProgressTable) -> None:
        playing = asyncio.current_task()
        assert playing is not None
        # As gentle as Ctrl-C: job schedulers say it this way.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, playing.cancel)
        async for result in run.play(progress):
            results[result.episode_id] = result
            if as_json:
                click.echo(result.model_dump_json())

    interrupted = False
    with ProgressTable(run.episodes, quiet=quiet, shows_answers=not as_json) as progress:
        for episode in run.episodes:
            if (earlier := results[episode.id]) is not None:
                progress.finished_before(episode, earlier)
        try:
            asyncio.run(play(progress))
        except (KeyboardInterrupt, asyncio.CancelledError):
            interrupted = True
    finished: list[EpisodeResult] = [result for result in results.values() if result is not None]
    rows = result_rows(finished, published_baselines(host_of(context), run.plan.suites)) if run.plan.suites else []
    if as_json:
        _print_summary(run, finished, rows)
    elif finished:
        console = Console()
        # A table in a file has no window to fit into.
        console = console if console.is_terminal else Console(width=160 if rows else 120)
        console.print(suite_table(rows, console.width) if rows else result_table(finished, console.width))
        for note in notes_of(rows):
            click.echo(note, err=True)
        for result in finished:
            if problem := result.error or (result.score.reason if result.score is not None else None):
                click.echo(f"{result.task}, {result.agent}: {shortened(problem)}", err=True)
    click.echo(f"Recorded in {run.folder}", err=True)
    stopped = [result for result in finished if result.status == "interrupted"]
    if stopped and not interrupted:
        limits = sorted({result.limit for result in stopped if result.limit is not None})
        raised = "".join(f" --{limit.replace('_', '-')} …" for limit in limits)
        click.echo(
            f"{len(stopped)} of {len(run.episodes)} episodes were not played, since a limit of the run was reached. "
            f"Play them with more: mlgym resume {run.folder}{raised}",
            err=True,
        )
    if interrupted:
        click.echo(f"Interrupted. Finish it with: mlgym resume {run.folder}", err=True)
        context.exit(130)
    context.exit(1 if any(result.status == "infrastructure_failure" for result in finished) else 0)


def _print_summary(run: Run, finished: Sequence[EpisodeResult], rows: Sequence[ResultRow]) -> None:
    import json

    failed = sum(result.status == "infrastructure_failure" for result in finished)
    summary: dict[str, Any] = {
        "run_id": run.folder.name,
        "episodes": len(run.episodes),
        "completed": sum(result.status in ("completed", "invalid_submission") for result in finished),
        "failed": failed,
        "dir": str(run.folder),
    }
    if run.plan.suites:
        summary |= {"suites": list(run.plan.suites), "table": [row.as_json() for row in rows]}
    click.echo(json.dumps(summary))
