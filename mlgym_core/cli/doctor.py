"""`mlgym doctor`."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mlgym_core.host import Host
    from mlgym_core.interfaces import Sandbox


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        name: What was checked.
        status: `ok`, `warning` (something is missing that not everybody needs) or `failed`.
        detail: What was found.
        remedy: What to do about it.
    """

    name: str
    status: str
    detail: str
    remedy: str = ""


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def doctor_command(context: click.Context, as_json: bool) -> None:
    """Check what works on this machine, and say what to do about the rest.

    The exit code is 1 if something that everybody needs does not work.
    """
    from mlgym_core.cli import host_of

    findings = list(examine(host_of(context)))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings]))
    else:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            click.echo(f"{finding.status:<8} {finding.name:<{width}}  {finding.detail}")
            if finding.remedy:
                click.echo(f"{'':<8} {'':<{width}}  → {finding.remedy}")
    context.exit(1 if any(finding.status == "failed" for finding in findings) else 0)


def examine(host: Host) -> Iterator[Finding]:
    """Yield the findings."""
    yield Finding("python", "ok", f"{platform.python_version()} at {sys.executable}")
    yield from _sandboxes(host)
    yield _installer()
    yield _cache()
    yield from _plugins(host)


def _sandboxes(host: Host) -> Iterator[Finding]:
    from mlgym_core.errors import MlgymError
    from mlgym_core.sandbox.selection import choose_sandbox

    try:
        chosen, _ = choose_sandbox(host, "auto")
        yield Finding("sandbox auto", "ok", f"chooses {chosen}")
    except MlgymError:
        yield Finding(
            "sandbox auto",
            "failed",
            "no isolating sandbox works here",
            "Mend one of those below; without any, only trusted code can run, with --sandbox process.",
        )
    for spec in host.sandboxes:
        try:
            sandbox_class = host.sandboxes.load(spec.id)
            reason = sandbox_class.unavailable_reason()
        except MlgymError as error:
            yield Finding(f"sandbox {spec.id}", "warning", "cannot be loaded", str(error))
            continue
        if reason is None:
            detail = "works" if sandbox_class.isolated else "works; it does not isolate anything"
            yield Finding(f"sandbox {spec.id}", "ok", detail)
            if sandbox_class.isolated:
                try:
                    yield from _holds(spec.id, sandbox_class)
                except (MlgymError, OSError) as error:
                    yield Finding(f"limits {spec.id}", "warning", "cannot be examined", str(error))
        else:
            yield Finding(f"sandbox {spec.id}", "warning", "does not work here", reason)


def _holds(sandbox_id: str, sandbox_class: type[Sandbox]) -> Iterator[Finding]:
    """Yield which limits hold in a sandbox that works, and how it takes snapshots."""
    from mlgym_core.sandbox.scratch import scratch_root

    held = {**sandbox_class.limits(), "disk": "looked at several times a second; each file by the kernel"}
    missing = [limit for limit in ("memory", "processes", "cpu") if limit not in held]
    detail = "; ".join(f"{limit}: {how}" for limit, how in held.items())
    if missing:
        yield Finding(
            f"limits {sandbox_id}",
            "warning",
            f"{detail}; not held: {', '.join(missing)}",
            "Run where control groups are delegated to you (such as a systemd user session), or use containers.",
        )
    else:
        yield Finding(f"limits {sandbox_id}", "ok", detail)
    counter = sandbox_class.processor_time_counter()
    remedy = "" if counter is not None else "Results do not say how much was used, and max_processor_time is refused."
    yield Finding(f"processor time {sandbox_id}", "ok" if counter else "warning", counter or "unknown", remedy)
    layers = sandbox_class.layers_work(scratch_root())
    how = "layers that forks share" if layers else "copies, with shared blocks where the file system can"
    yield Finding(f"snapshots {sandbox_id}", "ok", how)


def _installer() -> Finding:
    try:
        from uv import find_uv_bin

        return Finding("package installer", "ok", find_uv_bin())
    except (ImportError, FileNotFoundError) as error:
        return Finding("package installer", "failed", f"uv is missing: {error}", "pip install uv")


def _cache() -> Finding:
    from mlgym_core.errors import MlgymError
    from mlgym_core.sandbox.scratch import remove_scratch, scratch_folder
    from mlgym_core.settings import cache_dir

    try:
        remove_scratch(scratch_folder("doctor"))
    except (OSError, MlgymError) as error:
        return Finding("cache", "failed", f"cannot be written: {error}", "Set MLGYM_CACHE_DIR to a folder of yours.")
    return Finding("cache", "ok", str(cache_dir()))


def _plugins(host: Host) -> Iterator[Finding]:
    for plugin in host.plugins:
        yield Finding(f"plugin {plugin.name}", "ok", f"{plugin.distribution} {plugin.version}")
    for failure in host.failures:
        yield Finding(
            f"plugin {failure.name}",
            "warning",
            f"{failure.distribution} {failure.version} failed at stage {failure.stage}: {failure.error}",
            f"Update or uninstall {failure.distribution}, or leave it out with MLGYM_DISABLE={failure.name}.",
        )
