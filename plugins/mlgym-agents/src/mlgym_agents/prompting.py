"""Prompts: Jinja templates of the package, any of which a file of the user's may replace."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mlgym_agents.prompt_samples import SAMPLES, variants
from mlgym_core import UsageError, did_you_mean

ENDING = ".md.jinja"
# Prompts are handed around like texts; none should be able to run code.
_ENVIRONMENT = ImmutableSandboxedEnvironment(
    loader=jinja2.PackageLoader("mlgym_agents", "prompts"),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,
)


class Prompts:
    """The prompts of an agent.

    Args:
        variables: For each prompt's name, such as `react_system`, the names of what it is rendered with.
        folder: Folder with files of the user's. Each replaces the prompt of the package with the same file name, such
            as `react_system.md.jinja`, which it may extend and include. Those of other agents are left alone. Each is
            rendered once on trial, since many are used only when an episode has cost something.
        samples: What a trial renders instead of `SAMPLES`, by the names of variables.

    Raises:
        UsageError: if there is no such folder, or a file in it is no prompt, uses other variables, or cannot be
            rendered.
    """

    def __init__(self, variables: Mapping[str, Collection[str]], folder: str | None = None, **samples: Any) -> None:
        self._templates = {name: _ENVIRONMENT.get_template(f"{name}{ENDING}") for name in variables}
        if folder is None:
            return
        packaged = [name.removesuffix(ENDING) for name in _ENVIRONMENT.list_templates()]
        for path in _files(Path(folder).expanduser()):
            name = path.name.removesuffix(ENDING)
            if path.name == name or name not in packaged:
                names = [f"{one}{ENDING}" for one in packaged]
                meant = did_you_mean([path.name], names)
                raise UsageError(f"{path} replaces no prompt.{meant} There are: {', '.join(names)}.")
            if name in variables:
                self._templates[name] = _of_file(path, variables[name])
                for values in variants({**SAMPLES, **samples}):
                    self.render(name, **{variable: values[variable] for variable in variables[name]})

    def render(self, name: str, **variables: Any) -> str:
        """Return the text of a prompt, without white space around it.

        Raises:
            UsageError: if it cannot be made.
        """
        try:
            return self._templates[name].render(**variables).strip()
        except jinja2.TemplateNotFound as error:
            raise UsageError(f"The prompt {name}{ENDING} cannot be rendered: there is no {error.name!r}.") from error
        except Exception as error:
            # Whatever an expression in somebody's template raises, such as a division by zero.
            raise UsageError(f"The prompt {name}{ENDING} cannot be rendered: {error}") from error


def _files(folder: Path) -> list[Path]:
    """Return the files of a folder without the hidden ones, which editors leave behind."""
    try:
        files = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    except OSError as error:
        raise UsageError(f"The folder of prompts {folder} cannot be read: {error.strerror}.") from None
    if not files:
        raise UsageError(f"The folder of prompts {folder} is empty.")
    return files


def _of_file(path: Path, variables: Collection[str]) -> jinja2.Template:
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The prompt {path} cannot be read: {error}.") from None
    try:
        parsed = _ENVIRONMENT.parse(source)
        unknown = find_undeclared_variables(parsed) - set(variables) - set(_own_names(parsed))
        template = _ENVIRONMENT.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise UsageError(
            f"Line {error.lineno} of the prompt {path} is no Jinja template: {str(error.message).rstrip('.')}."
        ) from None
    if unknown:
        meant = did_you_mean(sorted(unknown), variables)
        raise UsageError(
            f"The prompt {path} uses {', '.join(sorted(unknown))}.{meant} "
            f"There are only: {', '.join(sorted(variables)) or 'none'}."
        )
    return template


def _own_names(parsed: nodes.Template) -> Iterator[str]:
    """Yield the names that a template gives values itself. Jinja takes them for undeclared ones in its blocks."""
    for name in parsed.find_all(nodes.Name):
        if name.ctx == "store":
            yield name.name
    for macro in parsed.find_all(nodes.Macro):
        yield macro.name
