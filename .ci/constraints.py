"""Keep constraints.txt, for pip, the same as `[tool.uv] constraint-dependencies`, which uv reads.

`make constraints` writes the file from the list; `make constraints-update` first resolves the list anew.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ROOT / "pyproject.toml"
CONSTRAINTS = ROOT / "constraints.txt"
HEADER = "# Written by `make constraints` from constraint-dependencies in pyproject.toml: edit that list instead.\n"
_LIST = re.compile(r"(?<=^constraint-dependencies = \[\n).*?(?=^\])", re.MULTILINE | re.DOTALL)


def listed() -> list[str]:
    """Return the requirement strings in `[tool.uv] constraint-dependencies`."""
    constraints: list[str] = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["tool"]["uv"]["constraint-dependencies"]
    return constraints


def rendered(constraints: list[str]) -> str:
    """Return the text of constraints.txt."""
    return HEADER + "".join(f"{constraint}\n" for constraint in constraints)


def resolved(*, anew: bool) -> list[str]:
    """Return exact requirements for everything that all members and the development tools need, on any platform.

    Args:
        anew: Take the newest versions that fit instead of those in the list.

    Raises:
        subprocess.CalledProcessError: if there is no resolution, or the package index cannot be reached.
    """
    from uv import find_uv_bin

    members = sorted([*ROOT.glob("plugins/*/pyproject.toml"), *ROOT.glob("task_packages/*/pyproject.toml")])
    command = [find_uv_bin(), "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
    command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
    # One version for all supported versions of Python, so that what is tested is what everyone gets.
    command += ["--fork-strategy", "fewest", "--group", "dev"]
    command += ["--no-config"] if anew else ["--constraints", str(CONSTRAINTS)]
    command += [str(path) for path in (PROJECT, *members)]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    # What is left besides exact versions are the members themselves, by path.
    return [line for line in output.splitlines() if "==" in line]


def main(action: str) -> None:
    """Carry out `write` or `update`."""
    if action == "update":
        lines = "".join(f'    "{constraint}",\n' for constraint in resolved(anew=True))
        text = _LIST.sub(lambda _: lines, PROJECT.read_text(encoding="utf-8"), count=1)
        PROJECT.write_text(text, encoding="utf-8")
    elif action != "write":
        sys.exit(f"{action!r} is not an action: write or update.")
    CONSTRAINTS.write_text(rendered(listed()), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
