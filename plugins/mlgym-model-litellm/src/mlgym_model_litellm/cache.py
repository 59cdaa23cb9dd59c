"""Answers that were given before, in a folder."""

from __future__ import annotations

import collections
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from mlgym_core import ModelReply, ModelToolCall, UsageError

_log = logging.getLogger("mlgym")


class ReplyCache:
    """Replies by request. The same request may be made several times in an episode, and each time gets its own reply.

    Repetitions of an episode have replies of their own, too. So a run that is repeated or resumed gets the replies of
    the first time, and its repeats still differ from each other.

    Args:
        folder: It is made if necessary, for its owner only.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._asked: collections.Counter[str] = collections.Counter()

    def prepare(self) -> None:
        """Make the folder.

        Raises:
            UsageError: if it cannot be made.
        """
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"The cache folder {self._folder} cannot be made: {error}.") from None

    def place(self, request: Mapping[str, Any], repeat: int) -> Path:
        """Return the file of a request's next reply in a repetition. Each call counts as a request."""
        text = json.dumps([request, repeat], sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()
        number = self._asked[digest]
        self._asked[digest] += 1
        return self._folder / f"{digest}-{number}.json"

    @staticmethod
    def find(place: Path) -> ModelReply | None:
        """Return the reply in a file, or None if there is none that can be read."""
        try:
            values = json.loads(place.read_text(encoding="utf-8"))
            values["tool_calls"] = tuple(ModelToolCall(**call) for call in values["tool_calls"])
            for name, value in values.items():
                if isinstance(value, list):
                    values[name] = tuple(value)
            return ModelReply(**(values | {"from_cache": True}))
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def keep(self, place: Path, reply: ModelReply) -> None:
        """Write a reply. If that fails, as on a full disk, it is only said: the reply has been paid for."""
        try:
            self._write(place, reply)
        except OSError as error:
            _log.warning("A reply cannot be kept in the cache folder %s: %s.", self._folder, error)

    def _write(self, place: Path, reply: ModelReply) -> None:
        values = {field.name: getattr(reply, field.name) for field in fields(reply)}
        values["tool_calls"] = [vars(call) for call in reply.tool_calls]
        descriptor, partial = tempfile.mkstemp(dir=self._folder)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(values, file)
            Path(partial).replace(place)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise
