"""What makes the state of a shell, as bash itself prints it, so that another one can be brought into it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

# How bash prints each part, as commands that make it again.
_PRINTING = {
    "switches": "\\builtin shopt -p",
    "variables": "\\builtin declare -p",
    "functions": "\\builtin declare -f",
    "aliases": "\\builtin alias -p",
    "mask": "\\builtin umask -p",
    "traps": "\\builtin trap -p",
    "arguments": "\\builtin printf '%s\\n' \"set --${1+$(\\builtin printf ' %q' \"$@\")}\"",
    "options": "\\builtin set +o",
}
# Variables that every bash has for itself; an attempt to set some of them would end the loading.
_OWN_VARIABLES = re.compile(
    r"^declare -\S+ (?:BASH\w*|COMP_WORDBREAKS|DIRSTACK|EPOCH\w+|EUID|FUNCNAME|GROUPS|HISTCMD|LINENO|PIPESTATUS|PPID"
    r"|PWD|S?RANDOM|SECONDS|SHELLOPTS|SHLVL|UID|_)(?:=.*)?\n",
    re.MULTILINE,
)
# Options of the line editor: setting one would make the shell read its commands in another way.
_OWN_OPTIONS = re.compile(r"^set [+-]o (?:emacs|histexpand|history|monitor|vi)\n", re.MULTILINE)
_FORGETTING = "for v in $(\\builtin compgen -e); do case $v in PWD|SHLVL|_) ;; *) \\builtin unset $v;; esac; done"
"""A fresh shell has variables that the other one may have lost."""


@dataclass(frozen=True)
class ShellState:
    """A shell's variables, functions, aliases, traps, options and positional parameters.

    Attributes:
        parts: Bash commands that make each part.
        working_directory: As a path of the sandbox.
    """

    parts: dict[str, str]
    working_directory: str

    @classmethod
    def parsed(cls, output: str, word: str, working_directory: str) -> ShellState:
        """Return the state that a shell printed by the command `printing(word)`.

        Raises:
            ValueError: if it did not print all of it.
        """
        printed = output.split(f"{word}\n")
        if len(printed) != len(_PRINTING) + 1:
            raise ValueError("The shell did not print its state.")
        parts = dict(zip(_PRINTING, printed, strict=False))
        parts["variables"] = _OWN_VARIABLES.sub("", parts["variables"])
        parts["options"] = _OWN_OPTIONS.sub("", parts["options"])
        return cls(parts, working_directory)

    def moved(self, old: str, new: str) -> ShellState:
        """Return the same state where a folder has another name."""
        return ShellState(
            {name: part.replace(old, new) for name, part in self.parts.items()},
            self.working_directory.replace(old, new),
        )

    def loading(self) -> Iterator[str]:
        """Yield commands that bring a fresh shell into the state, to be run one after the other.

        What one of them cannot do does not keep the others from doing their part. Switches come first, since functions
        may be written in a syntax that they allow; options last, since some make a shell end at the first failure.
        """
        parts = self.parts
        yield parts["switches"]
        yield f"\\builtin cd -- {shlex.quote(self.working_directory)}"
        yield f"{_FORGETTING}\n{parts['variables']}"
        yield parts["functions"]
        yield parts["aliases"] + parts["mask"] + parts["arguments"] + parts["traps"]
        yield parts["options"]


def printing(word: str) -> str:
    """Return the command by which a shell prints its state, with `word` after each part."""
    return "; ".join(f"{command}; \\builtin printf '%s\\n' {word}" for command in _PRINTING.values())
