"""Fixtures for plugins' tests. A test module or the topmost `conftest.py` opts in:

pytest_plugins = ["mlgym_core.testing.fixtures"]
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mlgym_core.checks.samples import SamplePlugin
from mlgym_core.host import Host
from mlgym_core.runner import Run, RunPlan
from mlgym_core.testing.model_server import ScriptedModelServer

if TYPE_CHECKING:
    from mlgym_core.types import Action, EpisodeResult

MakeHost = Callable[..., Host]
Serve = Callable[..., ScriptedModelServer]
PlayScript = Callable[..., Any]


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, empty at first, instead of the user's.

    Packages for sandboxes are installed anew in it, which takes a while.
    """
    folder = tmp_path / "mlgym-cache"
    monkeypatch.setenv("MLGYM_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def make_host() -> MakeHost:
    """`make_host(*plugins)`: a host with the core's own plugin, the sample task and these, whatever is installed.

    A plugin is a module, or an object with hooks. What failed to load is an error at once.
    """

    def make(*plugins: object) -> Host:
        host = Host.of(SamplePlugin(), *plugins)
        if host.failures:
            pytest.fail("\n".join(f"{failure.name}: {failure.error}" for failure in host.failures), pytrace=False)
        return host

    return make


@pytest.fixture
def model_server() -> Iterator[Serve]:
    """`model_server(answers)`: an OpenAI-compatible server on this machine that says what it is told to.

    It ends with the test. Give `server.url` to a client as the base URL; `server.requests` holds what it was asked.
    """
    servers: list[ScriptedModelServer] = []

    def serve(answers: Any) -> ScriptedModelServer:
        server = ScriptedModelServer(answers)
        server.__enter__()
        servers.append(server)
        return server

    yield serve
    for server in servers:
        server.__exit__(None, None, None)


@pytest.fixture(params=["bwrap", "process"])
def each_sandbox(request: pytest.FixtureRequest) -> str:
    """The id of each sandbox that comes with the core; skips where one does not work, with the reason."""
    name = str(request.param)
    reason = Host.of().sandboxes.load(name).unavailable_reason()
    if reason is not None:
        pytest.skip(f"{name} does not work here: {reason}")
    return name


@pytest.fixture
def play_script(tmp_path: Path) -> PlayScript:
    """`await play_script(host, task, actions, **options)`: the result of an episode that a scripted agent plays.

    An action is a shell command, or a tool call such as `{"tool": "validate"}`. The options are those of `RunPlan`:
    `sandbox`, `tools` and so on.
    """
    runs = iter(range(1_000_000))

    async def play(host: Host, task: str, actions: Sequence[Action], **options: Any) -> EpisodeResult:
        number = next(runs)
        script = tmp_path / f"script-{number}.jsonl"
        script.write_text("".join(f"{json.dumps(action)}\n" for action in actions), encoding="utf-8")
        plan = RunPlan(tasks=(task,), agents=("script",), agent_options={"file": str(script)}, attempts=1, **options)
        run = Run.start(host, tmp_path / f"run-{number}", plan)
        [result] = [result async for result in run.play()]
        return result

    return play


__all__ = ["each_sandbox", "make_host", "model_server", "own_cache", "play_script"]
