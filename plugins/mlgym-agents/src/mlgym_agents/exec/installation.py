"""What the agent `exec` puts into the sandbox before its command runs: the task's text, programs, variables."""

from __future__ import annotations

import importlib.resources
import shlex
from collections.abc import Iterator
from pathlib import Path

from mlgym_core import AsyncEnv, InfrastructureError, ToolResult

PACKAGES = "/opt/mlgym-agent/packages"
"""Where the packages of the command appear in the sandbox."""
PLACEHOLDER_KEY = "mlgym"
"""Clients want a key. The real one is not in the sandbox."""
_FOLDER = ".mlgym"
"""Below the agent's home."""
_ASKING = ("validate", "submit")


async def install(env: AsyncEnv, text: str, url: str, packages: Path | None) -> None:
    """Put everything in place, through the shell in which the command will run.

    Args:
        text: Of the task.
        url: Of the endpoint, with its secret.
        packages: The folder of the host with the packages of the command, if there are any.

    Raises:
        InfrastructureError: if that fails.
    """
    made = await env.run_shell(f'\\builtin printf %s "$HOME/{_FOLDER}"')
    _check(made)
    folder = made.text
    programs = f"{folder}/bin"
    names = [name for name in _ASKING if name in {tool["name"] for tool in env.tools}]
    await env.write_file(f"{folder}/task.md", f"{text}\n".encode())
    for name in names:
        await env.write_file(f"{programs}/mlgym-{name}", _packaged("ask.py"))
    lines = [f"mkdir -p {shlex.quote(programs)}"]
    if packages is not None:
        await env.write_file(f"{folder}/launch.py", _packaged("launch.py"))
        inside = env.path_inside(packages)
        lines += _wrappers(packages, inside, programs, f"{folder}/launch.py")
        lines.append(f"export MLGYM_AGENT_PACKAGES={shlex.quote(inside)}")
    lines.append(f"chmod -R u+x {shlex.quote(programs)}")
    exported = {
        "MLGYM_TASK_FILE": f"{folder}/task.md",
        "MLGYM_URL": f"{url}/mlgym",
        "no_proxy": "127.0.0.1,localhost",
        "NO_PROXY": "127.0.0.1,localhost",
    }
    if env.model is not None:
        base = f"{url}/v1"
        exported |= {"OPENAI_BASE_URL": base, "OPENAI_API_BASE": base, "OPENAI_API_KEY": PLACEHOLDER_KEY}
        exported["MLGYM_MODEL"] = env.model.id
    lines += [f"export {name}={shlex.quote(value)}" for name, value in exported.items()]
    lines.append(f'export PATH={shlex.quote(programs)}:"$PATH"')
    # Not exported: Linux limits each variable of a process to 128 KiB.
    lines.append('MLGYM_TASK=$(<"$MLGYM_TASK_FILE")')
    _check(await env.run_shell(" && ".join(lines)))


def _wrappers(packages: Path, inside: str, programs: str, launcher: str) -> Iterator[str]:
    """Yield shell commands that make the programs of packages startable.

    Installers write the path of the host's interpreter into them, which is not that of the sandbox.
    """
    for program in sorted(path for path in (packages / "bin").glob("*") if path.is_file()):
        target = shlex.quote(f"{programs}/{program.name}")
        there = f"{inside}/bin/{program.name}"
        if _is_python(program):
            script = (
                f'#!/bin/sh\nexec python3 {shlex.quote(launcher)} {shlex.quote(inside)} {shlex.quote(there)} "$@"\n'
            )
            yield f"printf %s {shlex.quote(script)} > {target}"
        else:
            yield f"ln -sf {shlex.quote(there)} {target}"


def _is_python(program: Path) -> bool:
    with program.open("rb") as file:
        start = file.read(512)
    # Where the interpreter's path is too long, the second line of a shell script starts it.
    return start.startswith(b"#!") and b"python" in b"\n".join(start.splitlines()[:3])


def _packaged(name: str) -> bytes:
    return importlib.resources.files("mlgym_agents.exec").joinpath("inside", name).read_bytes()


def _check(result: ToolResult) -> None:
    if result.exit_code != 0:
        raise InfrastructureError(f"The sandbox could not be prepared for the command: {result.text.strip()}")
