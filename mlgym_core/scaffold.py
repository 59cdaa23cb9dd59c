"""New packages from the templates: names that are safe, texts that stay what they are, all files or none."""

from __future__ import annotations

import json
import keyword
import os
import re
import shutil
import sys
import tempfile
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from mlgym_core.errors import UsageError
from mlgym_core.ids import check_plain_id

if TYPE_CHECKING:
    from jinja2 import Environment

PackageKind = Literal["task", "agent", "tool", "metric", "sandbox"]
SubmissionKind = Literal["predictions", "function", "policy", "model"]

PACKAGE_KINDS: tuple[PackageKind, ...] = get_args(PackageKind)
SUBMISSION_KINDS: tuple[SubmissionKind, ...] = get_args(SubmissionKind)

LONGEST_NAME = 50
LONGEST_DISTRIBUTION = 80
LONGEST_TEXT = 300
"""Of a summary, and of an author: letters. Package indexes refuse summaries of more than 512."""

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")
_NAMES_OF_PYTHON = frozenset(name.lower() for name in (*keyword.kwlist, *keyword.softkwlist, *sys.stdlib_module_names))
_OWN_NAMES = frozenset(("core", "mlgym", "test", "tests"))
# In the names of templates, since no file of a package has these names.
_PACKAGE_FOLDER, _DOT, _SUFFIX = "PACKAGE", "dot-", ".jinja"
# What means something in Markdown wherever it stands, and what does so at the beginning of a line.
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~&$])")
_LIST = re.compile(r"\A(\d*)([-+=.)])")
# They have code shown in another order than it has.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _rule(longest: int) -> str:
    return f"lower-case letters and digits, with single hyphens between them, {longest} characters at most"


@dataclass(frozen=True, kw_only=True)
class Scaffold:
    """What a new package is to be.

    Attributes:
        kind: What it registers.
        name: The name of that, such as `protein-stability`.
        summary: One line for listings.
        author: Who wrote it.
        domain: Where listings group it; tasks alone have one.
        submission: What is handed in; of tasks alone.
        package_name: The name of the distribution, for a package that is to hold more than this; unless given, it is
            `mlgym-`, the kind and the name.
    """

    kind: PackageKind
    name: str
    summary: str
    author: str
    domain: str | None = None
    submission: SubmissionKind | None = None
    package_name: str | None = None

    @property
    def distribution(self) -> str:
        """The name under which it is installed, and that of its folder."""
        return self.package_name or f"mlgym-{self.kind}-{self.name}"

    @property
    def package(self) -> str:
        """The name under which Python imports it."""
        return self.distribution.replace("-", "_")

    @property
    def id(self) -> str:
        """The id that it registers."""
        if self.kind == "task":
            return f"{self.domain}/{self.name}"
        # Models are used to tools whose names could be those of functions.
        return self.name.replace("-", "_") if self.kind == "tool" else self.name

    @property
    def class_name(self) -> str:
        """The name of its class, which always ends with the kind, so that it is no other name of the module."""
        words = self.name.split("-")
        if len(words) == 1 or words[-1] != self.kind:
            words.append(self.kind)
        if words[0][0].isdigit():
            words.insert(0, "The")
        return "".join(word[0].upper() + word[1:] for word in words)


def checked_name(kind: PackageKind, name: str) -> str:
    """Return a name if a package can have it.

    Raises:
        UsageError: if not, with one that it could have.
    """
    problem = _problem_with(name)
    if problem is None:
        return name
    shown = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"
    raise UsageError(f"A new {kind} cannot be called {shown!r}: {problem}. Try {_proposal(kind, name)!r}.")


def checked_distribution(name: str) -> str:
    """Return a name if a distribution can have it: one that package indexes and Python's imports take.

    Raises:
        UsageError: if not.
    """
    if not _NAME.match(name) or len(name) > LONGEST_DISTRIBUTION:
        problem = f"names of packages are {_rule(LONGEST_DISTRIBUTION)}"
    elif name.replace("-", "_") in _NAMES_OF_PYTHON:
        problem = "Python has a module of that name"
    elif name[0].isdigit():
        problem = "Python cannot import what begins with a digit"
    elif name in _OWN_NAMES or name == "mlgym-core":
        problem = "that is a name of mlgym's own"
    else:
        return name
    shown = name if len(name) <= LONGEST_DISTRIBUTION else f"{name[:LONGEST_DISTRIBUTION]}…"
    raise UsageError(f"A package cannot be called {shown!r}: {problem}. A good one is 'mlgym-task-science'.")


def checked_domain(domain: str) -> str:
    """Return a domain if tasks can have it.

    Raises:
        UsageError: if not.
    """
    if len(domain) > LONGEST_NAME:
        raise UsageError(f"A domain has at most {LONGEST_NAME} characters, and this one has {len(domain)}.")
    return check_plain_id(domain)


def checked_text(what: str, text: str) -> str:
    """Return a text in one line, which must hold something that can be seen.

    Args:
        what: What it is, such as "summary".

    Raises:
        UsageError: if it cannot be written into a file, is empty or too long.
    """
    line = " ".join(text.split())
    strange = next((character for character in line if not _can_be_shown(character)), None)
    if strange is not None:
        raise UsageError(f"The {what} holds the character {strange!a}, which no file can show. Leave it out.")
    if not line:
        raise UsageError(f"The {what} is empty: write a line.")
    if len(line) > LONGEST_TEXT:
        raise UsageError(f"The {what} has {len(line):,} characters; {LONGEST_TEXT} are the most.")
    return line


def _can_be_shown(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cs") and character not in _TURNING


def render(scaffold: Scaffold, output: Path) -> Path:
    """Write a new package into a folder of its own below `output`, all of it or nothing, and return that folder.

    Raises:
        UsageError: if there is something of that name, or it cannot be written.
    """
    scaffold = Scaffold(
        kind=scaffold.kind,
        name=checked_name(scaffold.kind, scaffold.name),
        summary=checked_text("summary", scaffold.summary),
        author=checked_text("author", scaffold.author),
        domain=checked_domain(scaffold.domain or "") if scaffold.kind == "task" else None,
        submission=scaffold.submission,
        package_name=None if scaffold.package_name is None else checked_distribution(scaffold.package_name),
    )
    final = output / scaffold.distribution
    _check_free(final)
    try:
        output.mkdir(parents=True, exist_ok=True)
        # In the same folder, so that the finished package only has to be renamed.
        partial = Path(tempfile.mkdtemp(prefix=f".{scaffold.distribution}-", dir=output))
        try:
            for path, text in _files(scaffold):
                target = partial / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8")
            # Made for its owner alone, as temporary folders are.
            partial.chmod(0o777 & ~_umask())
            _check_free(final)
            partial.rename(final)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise UsageError(
            f"{final} cannot be written: {error.strerror or error}. Name another folder: --output."
        ) from None
    return final


def _check_free(folder: Path) -> None:
    if os.path.lexists(folder):
        raise UsageError(
            f"{folder} exists already, and nothing is overwritten. Choose another name, or another folder: --output."
        )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _problem_with(name: str) -> str | None:
    """Return why a package cannot have a name, as the end of a sentence; None if it can."""
    if not _NAME.match(name) or len(name) > LONGEST_NAME:
        return f"names are {_rule(LONGEST_NAME)}"
    if name.replace("-", "_") in _NAMES_OF_PYTHON:
        return "that is a name of Python's own"
    if name in _OWN_NAMES or name.startswith("mlgym-"):
        return "that is a name of mlgym's own"
    return None


def _proposal(kind: PackageKind, name: str) -> str:
    """Return a name that a package can have, made of one that it cannot have."""
    folded = unicodedata.normalize("NFKD", name[: 2 * LONGEST_NAME]).encode("ascii", "ignore").decode().lower()
    words = [word for word in re.findall(r"[a-z0-9]+", folded) if word != "mlgym"]
    if words and words[0] == kind and len(words) > 1:
        words = words[1:]
    plain = "-".join(words)[: LONGEST_NAME - len(kind) - 1].strip("-")
    candidates = (plain, f"{plain}-{kind}" if plain else "", f"my-{kind}")
    return next(candidate for candidate in candidates if _problem_with(candidate) is None)


# ---------------------------------------------------------------------------------------------- templates


def templates_folder() -> Path:
    """Return the folder of the templates: in the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "_templates"
    return installed if installed.is_dir() else package.parent / "templates"


def _layers(scaffold: Scaffold) -> list[str]:
    """Return the folders of templates that make up a package; a file of a later one replaces one of an earlier."""
    if scaffold.kind != "task":
        return ["shared", scaffold.kind]
    return ["shared", "task/shared", f"task/{scaffold.submission or SUBMISSION_KINDS[0]}"]


def _files(scaffold: Scaffold) -> Iterator[tuple[Path, str]]:
    """Yield path and text of each file of a package."""
    root = templates_folder()
    sources: dict[Path, Path] = {}
    for layer in _layers(scaffold):
        for source in sorted((root / layer).rglob("*")):
            if source.is_file():
                sources[_target(scaffold, source.relative_to(root / layer))] = source
    environment = _environment(root)
    for target, source in sorted(sources.items()):
        if source.suffix == _SUFFIX:
            template = environment.get_template(source.relative_to(root).as_posix())
            yield target, template.render(scaffold=scaffold)
        else:
            yield target, source.read_text(encoding="utf-8")


def _target(scaffold: Scaffold, path: Path) -> Path:
    parts = [scaffold.package if part == _PACKAGE_FOLDER else part for part in path.parts]
    parts = [f".{part.removeprefix(_DOT)}" if part.startswith(_DOT) else part for part in parts]
    return Path(*parts[:-1], parts[-1].removesuffix(_SUFFIX))


def _environment(root: Path) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # What is written is no HTML: each place says by a filter what language its text is for.
    environment = Environment(  # noqa: S701
        loader=FileSystemLoader(root), undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True
    )
    environment.filters["quoted"] = quoted
    environment.filters["markdown"] = markdown
    return environment


def quoted(text: str) -> str:
    """Return a text as a literal in double quotes that Python, TOML and YAML read alike.

    The texts are free of control characters, so that only quotes and backslashes have to be escaped.
    """
    return json.dumps(text, ensure_ascii=False)


def markdown(text: str) -> str:
    """Return a text such that Markdown shows it as it is, wherever a line may begin with it."""
    escaped = _MARKDOWN.sub(r"\\\1", text)
    return _LIST.sub(r"\1\\\2", escaped)


__all__ = [
    "PACKAGE_KINDS",
    "SUBMISSION_KINDS",
    "PackageKind",
    "Scaffold",
    "SubmissionKind",
    "checked_distribution",
    "checked_domain",
    "checked_name",
    "checked_text",
    "render",
]
