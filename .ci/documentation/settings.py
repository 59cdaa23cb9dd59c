"""The page of settings: variables, exit codes and errors, from the constants and classes themselves."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

from documentation.python_names import constant_docstrings
from documentation.writing import UndocumentedError, cell, code, docstring_of, page, table

INTRODUCTION = """
Options of commands can be set by variables and in `mlgym.toml`, see [Commands](../commands.md#settings); the variable
of each stands beside it on the page of the [command line](commands.md). This page has all other variables, and what
commands end with.
"""
_NO_SETTINGS = {"MLGYM_API", "MLGYM_SEED", "MLGYM_MODEL", "MLGYM_TASK_FILE", "MLGYM_URL"}
"""The name in a plugin's module, and what programs in sandboxes are told."""
_OURS = re.compile(r"MLGYM_[A-Z_]+\Z")
_KEY = re.compile(r"[A-Z_]+_API_KEY\Z")
_EXIT_CODES = {
    0: "done",
    1: "the work failed: an episode ended in a failure of the infrastructure, a check failed",
    2: "bad usage, an unknown name, a broken configuration",
    3: "the submission is invalid (`mlgym grade` only: for `mlgym run` that is a result)",
    130: "interrupted",
}


def settings_page(sources: Iterable[Path], errors: ModuleType) -> str:
    """Return the page.

    Args:
        sources: Modules that may read variables.
        errors: The module with the errors.

    Raises:
        UndocumentedError: if a variable or an error has no docstring.
    """
    variables = table(("variable", "meaning"), [(code(name), cell(text)) for name, text in sorted(_variables(sources))])
    codes = table(("code", "meaning", "errors"), _exit_codes(errors))
    described = table(("error", "exit code", "meaning"), _errors(errors))
    return page(
        "Settings, exit codes and errors",
        INTRODUCTION,
        ["## Variables\n", variables, "## Exit codes\n", codes, "## Errors\n", described],
    )


def _variables(sources: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """Yield variables with their meaning: the string below the assignment of the constant that holds its name."""
    used: dict[str, Path] = {}
    documented: dict[str, str] = {}
    for path in sources:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts = constant_docstrings(path)
        private: set[str] = set()
        for statement in tree.body:
            if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant):
                [target, *_] = statement.targets
                if not isinstance(target, ast.Name):
                    continue
                if target.id.startswith("_"):
                    private.add(str(statement.value.value))
                elif target.id in texts:
                    documented[str(statement.value.value)] = texts[target.id]
        for node in ast.walk(tree):
            name = node.value if isinstance(node, ast.Constant) else None
            if isinstance(name, str) and _OURS.match(name) and name not in private:
                used.setdefault(name, path)
    yield from ((name, text) for name, text in documented.items() if _KEY.match(name))
    for name in sorted(used.keys() - _NO_SETTINGS):
        if name not in documented:
            remedy = f"Assign it to a constant in {used[name].name}, and write a string below."
            raise UndocumentedError(f"the variable {name}", remedy)
        yield name, documented[name]


def _all_errors(errors: ModuleType) -> list[type[BaseException]]:
    return [
        kind
        for kind in vars(errors).values()
        if inspect.isclass(kind) and issubclass(kind, BaseException) and kind.__module__ == errors.__name__
    ]


def _exit_codes(errors: ModuleType) -> Iterator[tuple[str, str, str]]:
    for number, meaning in _EXIT_CODES.items():
        names = [kind.__name__ for kind in _all_errors(errors) if getattr(kind, "exit_code", None) == number]
        yield str(number), meaning, ", ".join(f"`{name}`" for name in names)


def _errors(errors: ModuleType) -> Iterator[tuple[str, str, str]]:
    for kind in _all_errors(errors):
        number = getattr(kind, "exit_code", None)
        if number not in _EXIT_CODES:
            raise UndocumentedError(
                f"the exit code {number} of `{kind.__name__}`", "Add it to .ci/documentation/settings.py."
            )
        yield code(kind.__name__), str(number), cell(docstring_of(kind, kind.__name__).text)
