"""Prompts: Jinja templates of the package, which a file of the user's may override."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import jinja2
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mlgym_core import UsageError

# Prompts are handed around like texts; none should be able to run code.
_ENVIRONMENT = ImmutableSandboxedEnvironment(
    loader=jinja2.PackageLoader("mlgym_agents", "prompts"),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,
)


def packaged(name: str) -> jinja2.Template:
    """Return a template of the package, such as `react_system`."""
    return _ENVIRONMENT.get_template(f"{name}.md.jinja")


def of_file(path: Path, variables: Collection[str]) -> jinja2.Template:
    """Return the template in a file. It may extend and include those of the package.

    Args:
        path: The file.
        variables: Names of what it will be rendered with.

    Raises:
        UsageError: if it cannot be read, is no template, or uses other variables.
    """
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The prompt {path} cannot be read: {error}.") from None
    try:
        unknown = find_undeclared_variables(_ENVIRONMENT.parse(source)) - set(variables)
        template = _ENVIRONMENT.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise UsageError(f"Line {error.lineno} of the prompt {path} is no Jinja template: {error.message}.") from None
    if unknown:
        raise UsageError(
            f"The prompt {path} uses {', '.join(sorted(unknown))}; there are only {', '.join(sorted(variables))}."
        )
    return template


def rendered(template: jinja2.Template, **variables: Any) -> str:
    """Return the text of a template, without white space around it.

    Raises:
        UsageError: if it cannot be made.
    """
    try:
        return template.render(**variables).strip()
    except (jinja2.TemplateError, TypeError, ValueError) as error:
        raise UsageError(f"The prompt {template.name or 'of the user'} cannot be rendered: {error}") from error
