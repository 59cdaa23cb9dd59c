"""Containers that were started ahead: they show the right folders, are used once, and go with their process."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlgym_core import make
from mlgym_core.errors import ConfigurationError
from mlgym_core.interfaces import Mount, Sandbox, SandboxLayout
from mlgym_core.sandbox.pipes import run_process
from mlgym_core.sandbox.scratch import remove_scratch, scratch_folder
from mlgym_core.sandbox.shell import Shell, as_text
from mlgym_core.specs import Resources
from mlgym_sandbox_docker import pool
from mlgym_sandbox_docker.container import Container
from mlgym_sandbox_docker.engine import Engine, EngineName
from mlgym_sandbox_docker.folders import identity

_PATIENCE = 60.0
Containers = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Container | None]]:
    """A pool with one container for each shape; lists what was taken from it."""
    monkeypatch.setenv("MLGYM_DOCKER_POOL", "1")
    recorded: list[Container | None] = []
    become = pool.Pooled.become

    def record(self: pool.Pooled, layout: SandboxLayout) -> Container | None:
        recorded.append(become(self, layout))
        return recorded[-1]

    monkeypatch.setattr(pool.Pooled, "become", record)
    yield recorded
    pool.close_pool()


@pytest.fixture
def episode() -> Iterator[Path]:
    """A folder that mlgym makes anew each time."""
    folder = scratch_folder("episode")
    yield folder
    remove_scratch(folder)


@pytest.fixture
def new_layout(episode: Path) -> Callable[[str], SandboxLayout]:
    """Makes layouts of the same shape on folders of their own."""

    def make_layout(name: str) -> SandboxLayout:
        folder = episode / name
        folder.mkdir()
        for area in ("workspace", "shown"):
            (folder / area).mkdir(mode=0o755)
            (folder / area / "file").write_text(f"{name} {area}\n")
        return SandboxLayout(
            mounts=(Mount(folder / "workspace", "/workspace", writable=True), Mount(folder / "shown", "/shown")),
            working_directory="/workspace",
            temporary_bytes=16 << 20,
        )

    return make_layout


@pytest.fixture
async def filled(sandbox_class: type[Sandbox], new_layout: Callable[[str], SandboxLayout]) -> AsyncIterator[Sandbox]:
    """A sandbox for which a container had to be started, and after which the pool has one."""
    box = sandbox_class(new_layout("first"))
    assert await said(box, "cat file") == "first workspace\n"
    wait_for_pool()
    yield box
    await box.close()


def wait_for_pool() -> None:
    assert pool.own_pool().wait_until_filled(_PATIENCE)


async def said(box: Sandbox, script: str) -> str:
    """Return what a shell command prints in a sandbox."""
    done = await run_process(box, ["/bin/bash", "-c", script], output_limit=10_000, seconds=_PATIENCE)
    assert done.status == 0, done.error
    return done.output.decode()


async def test_folders_change_places(
    sandbox_class: type[Sandbox],
    filled: Sandbox,
    new_layout: Callable[[str], SandboxLayout],
    taken: list[Container | None],
) -> None:
    layout = new_layout("second")
    workspace, shown = (mount.source for mount in layout.mounts)
    (workspace / "folder" / "deep").mkdir(parents=True)
    (workspace / "folder" / "link").symlink_to("/nowhere")
    workspace.chmod(0o750)
    box = sandbox_class(layout)
    try:
        printed = await said(
            box, "cat file /shown/file; readlink folder/link; stat -c %a .; echo mine > file; echo >new"
        )
        assert printed == "second workspace\nsecond shown\n/nowhere\n750\n"
        assert taken != [None]
        assert len(taken) == 1
        assert (workspace / "file").read_text() == "mine\n"
        assert sorted(os.listdir(workspace)) == ["file", "folder", "new"]
        (workspace / "host").write_text("from the host")
        (shown / "host").write_text("and here")
        assert await said(box, "cat host /shown/host") == "from the hostand here"
        assert "Read-only" in await said(box, "touch /shown/more 2>&1 | cat")
        assert await said(filled, "cat file") == "first workspace\n"
    finally:
        await box.close()
    assert (workspace / "file").read_text() == "mine\n"


@pytest.mark.usefixtures("filled")
async def test_a_container_of_the_pool_is_used_once(
    sandbox_class: type[Sandbox],
    new_layout: Callable[[str], SandboxLayout],
    taken: list[Container | None],
    containers_of: Containers,
) -> None:
    boxes = [sandbox_class(new_layout(name)) for name in "abc"]
    for box in boxes:
        assert (await said(box, "ls /tmp; touch /tmp/trace")) == ""
        wait_for_pool()
    assert len({container.name for container in taken if container is not None}) == 3
    assert len(containers_of()) == 5
    for box in boxes:
        await box.close()
    assert len(containers_of()) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"environment": {"COLOUR": "blue"}},
        {"resources": Resources(memory_bytes=128 << 20)},
        {"resources": Resources(cpus=0.5)},
        {"temporary_bytes": 8 << 20},
        {"working_directory": "/shown"},
        {"network": True},
        {"home": "/workspace"},
    ],
)
@pytest.mark.usefixtures("filled")
async def test_layouts_of_another_shape_get_containers_of_their_own(
    sandbox_class: type[Sandbox],
    new_layout: Callable[[str], SandboxLayout],
    taken: list[Container | None],
    change: dict[str, object],
) -> None:
    box = sandbox_class(replace(new_layout("second"), **change))  # type: ignore[arg-type]
    try:
        await said(box, "true")
        assert taken == []
    finally:
        await box.close()


async def test_other_folders_are_never_swapped(
    sandbox_class: type[Sandbox], layout: SandboxLayout, workspace: Path, taken: list[Container | None], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (workspace / "file").write_text("first\n")
    (other / "file").write_text("second\n")
    before = identity(workspace)
    for source, expected, count in ((workspace, "first\n", 0), (other, "second\n", 0), (workspace, "first\n", 1)):
        box = sandbox_class(replace(layout, mounts=(Mount(source, "/workspace", writable=True),)))
        assert await said(box, "cat file") == expected
        assert len(taken) == count
        wait_for_pool()
        await box.close()
    assert identity(workspace) == before


async def test_what_another_container_shows_stays_where_it_is(
    sandbox_class: type[Sandbox],
    filled: Sandbox,
    new_layout: Callable[[str], SandboxLayout],
    taken: list[Container | None],
) -> None:
    # As two submission processes show the same submission.
    shown = filled.layout.mounts[1]
    layout = new_layout("second")
    (shown.source / "folder").mkdir()
    (shown.source / "folder" / "more").write_text("more\n")
    box = sandbox_class(replace(layout, mounts=(layout.mounts[0], shown)))
    try:
        assert await said(box, "cat /shown/file /shown/folder/more") == "first shown\nmore\n"
        assert len(taken) == 1
        assert await said(filled, "cat /shown/file /shown/folder/more") == "first shown\nmore\n"
    finally:
        await box.close()
    assert (shown.source / "folder" / "more").read_text() == "more\n"


async def test_a_writable_folder_that_another_container_shows_takes_a_container_of_its_own(
    sandbox_class: type[Sandbox],
    filled: Sandbox,
    new_layout: Callable[[str], SandboxLayout],
    taken: list[Container | None],
) -> None:
    layout = new_layout("second")
    box = sandbox_class(replace(layout, mounts=(filled.layout.mounts[0], layout.mounts[1])))
    try:
        assert await said(box, "cat file; echo shared > file") == "first workspace\n"
        assert await said(filled, "cat file") == "shared\n"
        assert taken == [None]
    finally:
        await box.close()


async def test_a_container_that_died_in_the_pool_is_not_used(
    sandbox_class: type[Sandbox],
    filled: Sandbox,
    new_layout: Callable[[str], SandboxLayout],
    taken: list[Container | None],
    engine: Engine,
    containers_of: Containers,
) -> None:
    for container in containers_of():
        engine.client.api.kill(container)
    box = sandbox_class(new_layout("second"))
    try:
        assert await said(box, "cat file") == "second workspace\n"
        assert taken == [None]
        assert await said(filled, "cat file") == "first workspace\n"
    finally:
        await box.close()


@pytest.mark.usefixtures("filled")
async def test_a_shell_of_the_pool_can_be_restarted_and_restored(
    sandbox_class: type[Sandbox],
    new_layout: Callable[[str], SandboxLayout],
    taken: list[Container | None],
) -> None:
    layout = new_layout("second")
    box = sandbox_class(layout)
    shell = Shell(box)
    try:
        await shell.start()
        assert (await shell.run("exit 3", _PATIENCE)).restarted
        await shell.close()
        wait_for_pool()
        for mount in layout.mounts:
            remove_scratch(mount.source)
            mount.source.mkdir()
            (mount.source / "file").write_text("restored\n")
        await shell.start()
        assert as_text((await shell.run("cat file /shown/file", _PATIENCE)).output) == "restored\nrestored\n"
        assert len(taken) == 2
    finally:
        await shell.close()
        await box.close()


def test_episodes(name: EngineName, taken: list[Container | None], containers_of: Containers) -> None:
    scores, reasons = [], []
    for _ in range(2):
        with make("games/battle-of-sexes", sandbox=name, seed=1) as env:
            env.reset()
            observation = env.step("cat strategy.py; pwd; echo $HOME")[0]
            assert observation.exit_code == 0
            validated = env.step({"tool": "validate"})[0].score
            snapshot = env.snapshot()
            env.step("echo broken > strategy.py")
            env.restore(snapshot)
            submitted = env.step({"tool": "submit"})[4]["score"]
            assert validated is not None
            reasons += [validated.reason, submitted.reason]
            scores.append((validated.value, submitted.value))
            wait_for_pool()
    assert scores[0] == scores[1]
    assert None not in scores[0], reasons
    # At the least the second episode's shell, graders and submissions.
    assert None not in taken
    assert len(taken) >= 5
    pool.close_pool()
    assert containers_of() == []


def test_a_size_that_is_no_number(
    sandbox_class: type[Sandbox], layout: SandboxLayout, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    monkeypatch.setenv("MLGYM_DOCKER_POOL", "many")
    assert sandbox_class
    with pytest.raises(ConfigurationError, match="MLGYM_DOCKER_POOL is 'many'"):
        pool.start_container(engine, layout)


_OWNER = """
    import os, sys
    from mlgym_core.interfaces import SandboxLayout
    from mlgym_sandbox_docker import pool
    from mlgym_sandbox_docker.engine import find_engine

    container = pool.start_container(find_engine({name!r}), SandboxLayout())
    assert pool.own_pool().wait_until_filled(60)
    container.remove()
"""


@pytest.fixture
def start_owner(
    name: EngineName, start_python: Callable[..., subprocess.Popen[str]]
) -> Callable[[str], subprocess.Popen[str]]:
    """Starts a process that fills a pool and then does something else."""

    def start(rest: str) -> subprocess.Popen[str]:
        process = start_python(f"{_OWNER.format(name=name)}    {rest}\n")
        assert process.stdout is not None
        assert process.stdout.readline() == "filled\n"
        return process

    return start


def wait_until_gone(containers_of: Containers, owner: str) -> None:
    limit = time.monotonic() + _PATIENCE
    while containers_of(owner) and time.monotonic() < limit:
        time.sleep(0.05)
    assert containers_of(owner) == []


def test_the_pool_goes_with_its_process(
    start_owner: Callable[[str], subprocess.Popen[str]], containers_of: Containers
) -> None:
    process = start_owner("print('filled', flush=True); input()")
    owner = f"{process.pid}:"
    assert len(containers_of(owner)) == 1
    process.communicate("\n", timeout=_PATIENCE)
    assert process.returncode == 0
    assert containers_of(owner) == []


def test_the_pool_goes_with_a_process_that_is_killed(
    start_owner: Callable[[str], subprocess.Popen[str]], containers_of: Containers
) -> None:
    process = start_owner("print('filled', flush=True); input()")
    owner = f"{process.pid}:"
    assert len(containers_of(owner)) == 1
    process.kill()
    wait_until_gone(containers_of, owner)


def test_a_forked_child_leaves_the_parent_s_pool_alone_and_does_not_keep_it(
    name: EngineName, start_owner: Callable[[str], subprocess.Popen[str]], containers_of: Containers
) -> None:
    process = start_owner(f"""
    def use():
        container = pool.start_container(find_engine({name!r}), SandboxLayout())
        assert container.is_running
        assert pool.own_pool().wait_until_filled(60)
        container.remove()

    reading, writing = os.pipe()
    if os.fork() == 0:
        # Ends in the ordinary way, so that whatever happens at the exit happens.
        use()
        sys.exit()
    assert os.wait()[1] == 0
    use()  # of its own pool, which is still there
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.dup2(os.open("/dev/null", os.O_RDWR), 1)
        os.read(reading, 1)
        os._exit(0)
    print("filled", flush=True)
    print(child, flush=True)
    input()
""")
    owner = f"{process.pid}:"
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        assert len(containers_of(owner)) == 1
        assert containers_of(f"{child}:") == []
        process.kill()
        wait_until_gone(containers_of, owner)
    finally:
        process.wait()
