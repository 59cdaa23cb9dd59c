"""The commands that a tree search runs in the episode's shell."""

from __future__ import annotations

import shlex

from mlgym_core import TaskView

_LOOK = r"""
find . -type f -not -path '*/.*' 2>/dev/null | LC_ALL=C sort | head -n 40 | while IFS= read -r file; do
  printf '== %s, %s bytes\n' "$file" "$(stat -c %s "$file")"
  if grep -qI . "$file" && ! case "$WHOLE" in *"|${file#./}|"*) true;; *) false;; esac; then
    head -c 600 "$file" | head -n 4; echo
  fi
done
"""
"""Shows the first lines of the files of the workspace; those that are shown as a whole are left out."""


def in_own_process(command: str) -> str:
    """Return a command that leaves the shell itself as it is, whatever the given one does to its own."""
    return f"bash -c {shlex.quote(command)}"


def look_command(task: TaskView) -> str:
    """Return what shows the workspace: the starter as a whole, and the first lines of the other files."""
    shown = [*task.submission_files, *([task.baseline_script] if task.baseline_script else [])]
    whole = "".join(
        f"if [ -f {name} ] && grep -qI . {name}; then printf '== %s, all of it\\n' {name}; cat {name}; echo; fi\n"
        for name in map(shlex.quote, shown)
    )
    return f"WHOLE={shlex.quote('|' + '|'.join(shown) + '|')}\n{whole}{_LOOK}"
