"""Which image a sandbox is made of, and how the plugin comes by it."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlgym_core import make
from mlgym_core.errors import SandboxError
from mlgym_core.interfaces import Sandbox, SandboxLayout
from mlgym_core.sandbox.pipes import run_process
from mlgym_sandbox_docker import builds, image
from mlgym_sandbox_docker.builds import build_task_image
from mlgym_sandbox_docker.engine import Engine, EngineName
from mlgym_sandbox_docker.image import provide_image

_PATIENCE = 60.0

pytestmark = pytest.mark.usefixtures("without_new_images")


async def said(box: Sandbox, script: str) -> str:
    """Return what a shell command prints in a sandbox, which is then closed."""
    try:
        done = await run_process(box, ["/bin/bash", "-c", script], output_limit=10_000, seconds=_PATIENCE)
        assert done.status == 0, done.error
        return done.output.decode()
    finally:
        await box.close()


@pytest.fixture
def dockerfile(tmp_path: Path, own_image: str) -> Path:
    """A task's recipe, different in each test."""
    folder = tmp_path / "image"
    folder.mkdir()
    (folder / "content").write_text(str(tmp_path))
    path = folder / "Dockerfile"
    path.write_text(
        f"FROM {own_image}\nENV COLOUR=blue\nCOPY content /content\nHEALTHCHECK CMD touch /workspace/sick\n"
    )
    return path


def rewrite(file: Path, text: str) -> None:
    file.write_text(text)


def extend(file: Path, text: str) -> None:
    file.write_text(file.read_text() + text)


async def test_a_task_s_image_is_used_as_it_is(
    sandbox_class: type[Sandbox], layout: SandboxLayout, engine: Engine, dockerfile: Path
) -> None:
    name = build_task_image(engine, dockerfile)
    box = sandbox_class(replace(layout, image=name))
    assert (
        await said(box, "cat /content; echo $COLOUR; id -u") == f"{dockerfile.parents[1]}blue\n{os.getuid() or 1000}\n"
    )


async def test_a_task_s_dockerfile_is_built_once_for_each_content(
    sandbox_class: type[Sandbox],
    layout: SandboxLayout,
    engine: Engine,
    dockerfile: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "mlgym")
    for text in ("one", "one", "two"):
        (dockerfile.parent / "content").write_text(text + str(dockerfile))
        engine.images.clear()
        assert (await said(sandbox_class(replace(layout, dockerfile=dockerfile)), "cat /content")).startswith(text)
        (dockerfile.parent / "content").touch()  # which changes nothing
    told = [record.getMessage() for record in caplog.records if "Building" in record.getMessage()]
    assert len(told) == 2
    assert str(dockerfile) in told[0]


def test_what_a_build_may_depend_on_is_in_its_name(
    engine: Engine, dockerfile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlgym_sandbox_docker.builds._once", lambda _engine, tag, *_: tag)
    folder = dockerfile.parent
    names = [build_task_image(engine, dockerfile)]
    (folder / "content").chmod(0o755)
    names.append(build_task_image(engine, dockerfile))
    (folder / "more").mkdir()
    names.append(build_task_image(engine, dockerfile))
    (folder / "more" / "link").symlink_to("nowhere")
    names.append(build_task_image(engine, dockerfile))
    (folder / "more" / "link").unlink()
    (folder / "more" / "link").write_text("nowhere")
    names.append(build_task_image(engine, dockerfile))
    assert len(set(names)) == len(names)
    assert build_task_image(engine, dockerfile) == names[-1]


def test_processes_that_want_the_same_image_build_it_once(
    name: EngineName, engine: Engine, dockerfile: Path, start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    script = f"""
        import logging, sys
        from pathlib import Path
        from mlgym_sandbox_docker.builds import build_task_image
        from mlgym_sandbox_docker.engine import find_engine
        logging.basicConfig(level=logging.INFO, stream=sys.stdout)
        logging.getLogger("urllib3").setLevel(logging.WARNING)
        engine = find_engine({name!r})
        print("ready", flush=True)
        input()
        print(build_task_image(engine, Path({str(dockerfile)!r})))
    """
    processes = [start_python(script) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    answers = [process.communicate("\n", timeout=_PATIENCE)[0] for process in processes]
    assert "".join(answers).count("Building") == 1
    tags = {answer.splitlines()[-1] for answer in answers}
    assert len(tags) == 1
    engine.client.api.remove_image(tags.pop())


async def test_a_build_that_fails_ends_with_its_last_lines(
    sandbox_class: type[Sandbox], layout: SandboxLayout, dockerfile: Path
) -> None:
    extend(dockerfile, "USER root\nRUN seq 1000; echo the reason >&2; exit 7\n")
    with pytest.raises(SandboxError, match="the reason") as failure:
        await said(sandbox_class(replace(layout, dockerfile=dockerfile)), "true")
    message = str(failure.value)
    assert str(dockerfile) in message
    assert "7" in message.splitlines()[-1]
    assert len(message.splitlines()) <= 21


async def test_a_build_whose_layers_go_is_tried_again(
    sandbox_class: type[Sandbox], layout: SandboxLayout, dockerfile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Podman's race cannot be had at will: its error is put in front of a real build."""
    build, begun = builds._build, 0

    def broken(*arguments: Any, **options: Any) -> Iterator[Mapping[str, Any]]:
        nonlocal begun
        begun += 1
        if begun == 1:
            yield {"error": "checking if cached image exists: getting top layer info: layer not known"}
        else:
            yield from build(*arguments, **options)

    extend(dockerfile, "ENV COLOUR=green\n")
    monkeypatch.setattr(builds, "_build", broken)
    assert await said(sandbox_class(replace(layout, dockerfile=dockerfile)), "echo $COLOUR") == "green\n"
    assert begun == 2


async def test_a_recipe_that_makes_no_sense(
    sandbox_class: type[Sandbox], layout: SandboxLayout, dockerfile: Path
) -> None:
    rewrite(dockerfile, "NONSENSE\n")
    with pytest.raises(SandboxError, match=r"image/Dockerfile failed.*said last:\n."):
        await said(sandbox_class(replace(layout, dockerfile=dockerfile)), "true")


@pytest.mark.parametrize(
    ("recipe", "missing"),
    [
        ("FROM scratch\nCOPY content /\n", ["python3", "/bin/bash", "/bin/cat"]),
        ("FROM {own}\nUSER root\nRUN rm -f /bin/bash /usr/bin/bash\n", ["/bin/bash"]),
        ("FROM {own}\nUSER root\nRUN rm -f /usr/bin/python3 /usr/local/bin/python3\n", ["python3"]),
    ],
)
async def test_what_an_image_lacks_is_named(
    sandbox_class: type[Sandbox],
    layout: SandboxLayout,
    dockerfile: Path,
    own_image: str,
    recipe: str,
    missing: list[str],
) -> None:
    rewrite(dockerfile, recipe.format(own=own_image))
    with pytest.raises(SandboxError, match="It lacks") as failure:
        await said(sandbox_class(replace(layout, dockerfile=dockerfile)), "true")
    named = {word for word in ("python3", "/bin/bash", "/bin/cat") if word in str(failure.value)}
    assert named == set(missing)


async def test_an_image_that_is_not_there(sandbox_class: type[Sandbox], layout: SandboxLayout) -> None:
    with pytest.raises(SandboxError, match=r"localhost:1/no-such-image.*Pull or build it"):
        await said(sandbox_class(replace(layout, image="localhost:1/no-such-image:latest")), "true")


async def test_volumes_that_an_image_asks_for_are_limited(
    sandbox_class: type[Sandbox], layout: SandboxLayout, dockerfile: Path, engine: Engine
) -> None:
    extend(dockerfile, "VOLUME /data\n")
    box = sandbox_class(replace(layout, dockerfile=dockerfile))
    assert "No space left" in await said(box, "head -c 20M /dev/zero 2>&1 >/data/file | cat; true")


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """Packages as the core provides them: readable by their owner only, in a folder named by its content."""
    folder = tmp_path / tmp_path.name / "packages"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "thing.py").write_text("colour = 'blue'\n")
    (folder / "thing-1.0.dist-info").mkdir()
    (folder / "bin").mkdir()
    (folder / "bin" / "thing").write_text("#!/bin/sh\necho $0\n")
    (folder / "bin" / "thing").chmod(0o700)
    return folder


async def test_packages_are_a_layer_of_the_image(
    sandbox_class: type[Sandbox],
    layout: SandboxLayout,
    packages: Path,
    engine: Engine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "mlgym")
    layout = replace(layout, packages=packages, requirements=("thing==1.0",))
    script = "python3 -c 'import thing; print(thing.__file__, thing.colour)'; thing; cat /proc/mounts"
    for _ in range(2):
        engine.images.clear()
        printed = await said(sandbox_class(layout), script)
        assert printed.startswith("/opt/packages/thing.py blue\n/opt/packages/bin/thing\n")
        assert "packages" not in printed.partition("bin/thing\n")[2]
    assert sum("Building" in record.getMessage() for record in caplog.records) == 1
    assert "/opt/packages/__pycache__" in await said(sandbox_class(layout), "ls -d /opt/packages/*")


async def test_packages_lie_on_top_of_a_task_s_image(
    sandbox_class: type[Sandbox], layout: SandboxLayout, packages: Path, dockerfile: Path
) -> None:
    box = sandbox_class(replace(layout, packages=packages, dockerfile=dockerfile))
    assert (await said(box, "python3 -c 'import thing'; cat /content")) == str(dockerfile.parents[1])


async def test_packages_for_another_python(
    sandbox_class: type[Sandbox], layout: SandboxLayout, packages: Path, dockerfile: Path
) -> None:
    # Whatever it is asked, it answers that it is Python 3.9.
    fake = (
        "RUN rm -f /usr/bin/python3 && printf '#!/bin/sh\\nexit 9\\n' > /usr/bin/python3 && chmod 755 /usr/bin/python3"
    )
    extend(dockerfile, f"USER root\n{fake}\n")
    box = sandbox_class(replace(layout, packages=packages, requirements=("thing==1.0",), dockerfile=dockerfile))
    with pytest.raises(SandboxError, match=r"has Python 3\.9, and the packages .* thing==1\.0"):
        await said(box, "true")


@pytest.mark.slow
def test_an_image_is_looked_up_once(name: EngineName, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = SandboxLayout()
    provide_image(engine, layout)
    monkeypatch.setattr(image, "inspect_image", None)
    assert provide_image(engine, layout) is provide_image(engine, layout)


async def test_an_image_that_was_removed_is_made_again(
    sandbox_class: type[Sandbox], layout: SandboxLayout, dockerfile: Path, engine: Engine
) -> None:
    layout = replace(layout, dockerfile=dockerfile)
    await said(sandbox_class(layout), "true")
    engine.client.api.remove_image(provide_image(engine, layout).id, force=True)
    assert await said(sandbox_class(layout), "cat /content") == str(dockerfile.parents[1])


def test_graders_do_not_run_in_a_task_s_image(name: EngineName) -> None:
    from mlgym_core.grading.grader import _grader_layout, _submission_layout

    with make("games/battle-of-sexes", sandbox=name) as env:
        prepared = replace(env._core._prepared, dockerfile=Path("/x/Dockerfile"))
        prepared = replace(prepared, spec=replace(prepared.spec, image="theirs"))
    folder = Path("/x")
    assert _submission_layout(prepared, folder, folder).image == "theirs"
    layout = _grader_layout(prepared, folder, folder)
    assert (layout.image, layout.dockerfile) == (None, None)
