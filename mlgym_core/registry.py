"""What plugins registered, by kind and id."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from mlgym_core.errors import ConflictError, PluginError, UnknownNameError
from mlgym_core.ids import near_misses
from mlgym_core.loading import PluginFailure, one_line, said_of_failures
from mlgym_core.specs import Spec, SuiteSpec

AnySpecType = TypeVar("AnySpecType", bound=Spec | SuiteSpec)
TargetedSpec = TypeVar("TargetedSpec", bound=Spec)
Implementation = TypeVar("Implementation")


@dataclass(frozen=True)
class Entry(Generic[AnySpecType]):
    """A registered spec with its origin.

    Attributes:
        conflict: If several plugins registered the id: all of them, as `distribution version`. Nobody can use it then.
    """

    spec: AnySpecType
    plugin: str
    distribution: str
    version: str
    conflict: tuple[str, ...] = ()


class Registry(Generic[AnySpecType]):
    """The entries of one kind, sorted by id.

    Args:
        failures: What went wrong with plugins, for messages about ids that do not exist; it may grow.
    """

    def __init__(self, kind: str, listing: str, failures: Sequence[PluginFailure] = ()) -> None:
        self._kind = kind
        self._listing = listing
        self._failures = failures
        self._entries: dict[str, list[Entry[AnySpecType]]] = {}

    def add(self, entry: Entry[AnySpecType]) -> None:
        """Register a spec. Equal ids are kept, and conflict."""
        self._entries.setdefault(entry.spec.id, []).append(entry)

    def entries(self) -> list[Entry[AnySpecType]]:
        """Return an entry for each id, sorted; those in conflict say so."""
        return [self._merged(self._entries[name]) for name in sorted(self._entries)]

    def __iter__(self) -> Iterator[AnySpecType]:
        """Iterate over the specs that can be used, sorted by id."""
        return (entry.spec for entry in self.entries() if not entry.conflict)

    def entry(self, name: str) -> Entry[AnySpecType]:
        """Return the entry of an id.

        Raises:
            UnknownNameError: if there is none, with near misses.
            ConflictError: if two plugins registered it.
        """
        if name not in self._entries:
            remedy = f"`mlgym {self._listing}` lists what is installed. {said_of_failures(self._failures)}".rstrip()
            raise UnknownNameError(self._kind, name, near_misses(name, self._entries), remedy)
        merged = self._merged(self._entries[name])
        if merged.conflict:
            raise ConflictError(
                f"The {self._kind} {name!r} is provided by {' and by '.join(merged.conflict)}. Uninstall one of them, "
                "or leave its plugin out with MLGYM_DISABLE."
            )
        return merged

    def spec(self, name: str) -> AnySpecType:
        """Return the spec of an id; raises as `entry` does."""
        return self.entry(name).spec

    @staticmethod
    def _merged(entries: list[Entry[AnySpecType]]) -> Entry[AnySpecType]:
        first = entries[0]
        if len(entries) == 1:
            return first
        owners = tuple(f"{entry.distribution} {entry.version} (plugin {entry.plugin!r})" for entry in entries)
        return Entry(first.spec, first.plugin, first.distribution, first.version, owners)


class ClassRegistry(Registry[TargetedSpec], Generic[TargetedSpec, Implementation]):
    """A registry whose specs name classes.

    Args:
        base: What the classes must derive from.
        failures: What went wrong with plugins.
    """

    def __init__(
        self, kind: str, listing: str, base: type[Implementation], failures: Sequence[PluginFailure] = ()
    ) -> None:
        super().__init__(kind, listing, failures)
        self._base = base

    def load(self, name: str) -> type[Implementation]:
        """Import the class behind an id.

        Raises:
            PluginError: if that fails, or it is not such a class; the message names the distribution.
        """
        entry = self.entry(name)
        module_name, _, class_name = entry.spec.target.partition(":")
        origin = f"{entry.distribution} {entry.version}"
        try:
            found = getattr(importlib.import_module(module_name), class_name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise PluginError(
                f"The {self._kind} {name!r} of {origin} cannot be loaded from {entry.spec.target}: {one_line(error)}."
            ) from error
        if not (isinstance(found, type) and issubclass(found, self._base)):
            raise PluginError(
                f"The {self._kind} {name!r} of {origin} is not usable: {entry.spec.target} does not derive from "
                f"mlgym_core.{self._base.__name__}."
            )
        return found
