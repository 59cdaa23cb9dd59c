"""Containers that were started ahead, for those who run thousands of episodes.

`MLGYM_DOCKER_POOL=N` keeps N of them ready for each shape of a layout that was asked for: the same image, limits,
environment and mounts, but for the folders that mlgym makes anew for each episode or grading. Nothing ever ran in one
of them but what waits for its first command, and each is used once.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections import OrderedDict, deque
from dataclasses import replace
from pathlib import Path

from mlgym_core.errors import ConfigurationError, SandboxError
from mlgym_core.interfaces import SandboxLayout
from mlgym_core.sandbox.scratch import remove_scratch, scratch_folder, scratch_root
from mlgym_sandbox_docker.container import Container
from mlgym_sandbox_docker.engine import Engine
from mlgym_sandbox_docker.folders import identity
from mlgym_sandbox_docker.image import BASE_VARIABLE, IMAGE_VARIABLE

POOL_VARIABLE = "MLGYM_DOCKER_POOL"
"""How many started containers are kept ready for each kind of container that was asked for; none unless set."""
_MOST_SHAPES = 12
"""Of the shapes beyond it, the one that was not asked for the longest is given up."""

logger = logging.getLogger("mlgym.sandbox.docker")


def start_container(engine: Engine, layout: SandboxLayout) -> Container:
    """Return a running container that shows a layout, from the pool if it has one.

    Raises:
        SandboxError: if none can be started.
        ConfigurationError: if the size of the pool is not a number.
    """
    size = pool_size()
    if size == 0 or (layout.resources is not None and layout.resources.gpus > 0):
        return Container(engine, layout)
    return own_pool().take(engine, layout, size) or Container(engine, layout)


def pool_size() -> int:
    """Return how many containers are kept ready for each shape."""
    value = os.environ.get(POOL_VARIABLE) or "0"
    if not value.isdecimal():
        raise ConfigurationError(f"{POOL_VARIABLE} is {value!r}; set it to the number of containers to keep ready.")
    return int(value)


class Pooled:
    """A container on folders that stand in for those of a layout.

    Args:
        layout: A layout of its shape.
        root: In which the folders lie that are made anew each time.
    """

    def __init__(self, engine: Engine, layout: SandboxLayout, root: Path) -> None:
        self._container: Container | None = None
        self._stand_ins = scratch_folder("pool")
        mounts = []
        for number, mount in enumerate(layout.mounts):
            source = mount.source
            if root in source.parents:
                source = self._stand_ins / str(number)
                source.mkdir()
            mounts.append(replace(mount, source=source))
        try:
            self._container = Container(engine, replace(layout, mounts=tuple(mounts)))
            self._container.start_ahead(wait=True)
        except BaseException:
            self.discard()
            raise

    def become(self, layout: SandboxLayout) -> Container | None:
        """Return the container, showing a layout, or None if it cannot."""
        container = self._container
        if container is not None and container.is_running:
            try:
                container.show(layout)
            except OSError as error:
                logger.debug("A container of the pool could not be used: %s", error)
            else:
                container.leftovers.append(self._stand_ins)
                return container
        self.discard()
        return None

    def discard(self) -> None:
        """Remove the container."""
        if self._container is not None:
            self._container.remove()
        remove_scratch(self._stand_ins)


class Pool:
    """The containers that this process keeps ready, and the thread that starts them."""

    def __init__(self) -> None:
        self.process_id = os.getpid()
        self._root = scratch_root()
        self._changed = threading.Condition()
        self._ready: OrderedDict[str, deque[Pooled]] = OrderedDict()
        self._wanted: deque[tuple[str, Engine, SandboxLayout]] = deque()
        self._starting: str | None = None
        self._is_closed = False
        self._thread = threading.Thread(target=self._fill, name="mlgym-container-pool", daemon=True)
        self._thread.start()
        # Scratch folders are in use by now, so that they are deleted after this and not before.
        atexit.register(self.close)

    def take(self, engine: Engine, layout: SandboxLayout, size: int) -> Container | None:
        """Return a container of a layout's shape if there is one, and have the pool filled up."""
        shape = self._shape(engine, layout)
        if shape is None:
            return None
        given_up: list[Pooled] = []
        with self._changed:
            ready = self._ready.setdefault(shape, deque())
            self._ready.move_to_end(shape)
            pooled = ready.popleft() if ready else None
            coming = sum(other == shape for other, _, _ in self._wanted) + (self._starting == shape)
            self._wanted.extend([(shape, engine, layout)] * (size - len(ready) - coming))
            while len(self._ready) > _MOST_SHAPES:
                given_up += self._ready.popitem(last=False)[1]
            self._changed.notify_all()
        for other in given_up:
            other.discard()
        return None if pooled is None else pooled.become(layout)

    def _shape(self, engine: Engine, layout: SandboxLayout) -> str | None:
        """Return what layouts have in common that the same containers can be used for, or None if there are none."""
        mounts = []
        for mount in layout.mounts:
            is_new = self._root in mount.source.parents
            if is_new and not mount.source.is_dir():
                return None  # a file cannot take another's place
            mounts.append((mount.target, mount.writable, None if is_new else (mount.source, identity(mount.source))))
        images = [os.environ.get(variable) for variable in (IMAGE_VARIABLE, BASE_VARIABLE)]
        rest = replace(layout, mounts=(), environment=dict(sorted(layout.environment.items())))
        return repr((id(engine), images, mounts, rest))

    def _fill(self) -> None:
        while (wanted := self._next()) is not None:
            shape, engine, layout = wanted
            pooled = None
            try:
                pooled = Pooled(engine, layout, self._root)
            except (SandboxError, OSError) as error:
                logger.warning("A container could not be started ahead: %s", error)
            with self._changed:
                self._starting = None
                if pooled is None:
                    # Whoever asks next is told why, and has it tried again.
                    self._wanted = deque(item for item in self._wanted if item[0] != shape)
                elif not self._is_closed and shape in self._ready:
                    self._ready[shape].append(pooled)
                    pooled = None
                self._changed.notify_all()
            if pooled is not None:
                pooled.discard()

    def _next(self) -> tuple[str, Engine, SandboxLayout] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._wanted or self._is_closed)
            if self._is_closed:
                return None
            wanted = self._wanted.popleft()
            self._starting = wanted[0]
            return wanted

    def wait_until_filled(self, seconds: float) -> bool:
        """Wait until nothing more is to be started, and return whether it came to that in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._wanted and self._starting is None, seconds)

    def close(self) -> None:
        """Remove the containers and end the thread. Does nothing in a forked child, or the second time."""
        if self.process_id != os.getpid():
            return
        with self._changed:
            self._is_closed = True
            self._wanted.clear()
            remaining = [pooled for ready in self._ready.values() for pooled in ready]
            self._ready.clear()
            self._changed.notify_all()
        self._thread.join()
        for pooled in remaining:
            pooled.discard()
        atexit.unregister(self.close)


_pool: Pool | None = None
_making = threading.Lock()


def own_pool() -> Pool:
    """Return this process's pool, which a forked child does not share."""
    global _pool
    with _making:
        if _pool is None or _pool.process_id != os.getpid():
            _pool = Pool()
        return _pool


def close_pool() -> None:
    """Remove the containers that this process keeps ready."""
    global _pool
    if _pool is not None:
        _pool.close()
        _pool = None


def _renew_lock() -> None:
    global _making
    _making = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)
