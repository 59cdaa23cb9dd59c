"""Packages for sandboxes: installed once, from where pip would take them; agents add some where there is a network."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from example_wheel import NAME, make_wheel

from mlgym_core import Env, make
from mlgym_core.errors import InfrastructureError
from mlgym_core.sandbox.bwrap import BwrapSandbox
from mlgym_core.sandbox.environments import packages_for, pip_variables

needs_bwrap = pytest.mark.skipif(BwrapSandbox.unavailable_reason() is not None, reason="bwrap does not work here")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a pip that is configured with a folder of wheels."""
    make_wheel(tmp_path / "wheels", "1.0")
    monkeypatch.setenv("MLGYM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    return tmp_path / "cache"


def test_packages_come_from_the_folders_that_pip_knows(cache: Path) -> None:
    said: list[str] = []
    packages = packages_for([NAME], said.append)
    assert packages is not None
    assert (packages / f"{NAME}.py").read_text() == "VERSION = '1.0'\n"
    # Nobody who sees the folder read-only could keep what was compiled.
    assert list(packages.glob(f"__pycache__/{NAME}.*.pyc"))
    assert len(said) == 1
    assert packages_for([NAME], said.append) == packages
    assert len(said) == 1
    assert packages_for([]) is None


def test_the_constraints_that_pip_knows_hold(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_wheel(tmp_path / "wheels", "2.0")
    (tmp_path / "constraints.txt").write_text(f"{NAME}<2\n")
    monkeypatch.setenv("PIP_CONSTRAINT", str(tmp_path / "constraints.txt"))
    packages = packages_for([NAME])
    assert packages is not None
    assert "1.0" in (packages / f"{NAME}.py").read_text()


def test_a_failed_installation_leaves_nothing_and_says_why(cache: Path) -> None:
    with pytest.raises(InfrastructureError, match="could not be installed for the sandboxes") as caught:
        packages_for([f"{NAME}==9"])
    assert NAME.replace("_", "-") in str(caught.value)
    assert [path.suffix for path in (cache / "environments").iterdir()] == [".lock"]


def test_offline_only_what_is_there_is_used(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLGYM_OFFLINE", "1")
    assert packages_for([NAME]) is not None
    with pytest.raises(InfrastructureError, match="MLGYM_OFFLINE forbids to fetch them"):
        packages_for(["a-package-that-is-not-on-this-machine-4711"])


def test_two_processes_install_once(cache: Path) -> None:
    script = f"from mlgym_core.sandbox.environments import packages_for; packages_for([{NAME!r}], print)"
    command = [sys.executable, "-c", script]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) for _ in range(3)]
    said = [process.communicate()[0] for process in processes]
    assert sorted(map(len, said))[:2] == [0, 0]
    assert f"Installing {NAME} for the sandboxes (once)" in "".join(said)


def test_passwords_of_indexes_stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:canary-4714@packages.example/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://one.example/simple file:///folder https://two.example/simple")
    variables = pip_variables("/home/agent", network=True)
    assert "canary-4714" not in str(variables)
    assert variables["PIP_EXTRA_INDEX_URL"] == "https://one.example/simple https://two.example/simple"
    assert variables["PIP_TARGET"].startswith("/home/agent/")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """A package index on this machine, as a URL."""
    wheel = make_wheel(tmp_path / "index" / "simple" / NAME.replace("_", "-"), "3.0")
    (wheel.parent / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - as it is called there
            pass

    handler = partial(Quiet, directory=str(tmp_path / "index"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/simple"
        server.shutdown()
        thread.join()


def text(env: Env, command: str) -> str:
    return str(env.step(command)[0].text)


@needs_bwrap
@pytest.mark.usefixtures("installed_examples")
def test_where_there_is_a_network_agents_may_add_packages(index: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with make("examples/network", sandbox="bwrap", action_timeout=120) as env:
        monkeypatch.setenv("PIP_INDEX_URL", index)
        env.reset()
        for pip in ("pip", "python3 -m pip"):
            assert text(env, f"{pip} install --quiet {NAME} && echo installed").endswith("installed\n")
            assert text(env, f"python3 -c 'import {NAME}; print({NAME}.VERSION)'") == "3.0\n"
            env.step("rm -rf ~/.packages")
        assert "No module named" in text(env, f"python3 -c 'import {NAME}'")


@pytest.mark.usefixtures("installed_examples")
def test_without_a_network_pip_says_why_it_does_nothing(isolated_sandbox: str) -> None:
    with make("examples/number", sandbox=isolated_sandbox, action_timeout=60) as env:
        env.reset()
        for pip in ("pip", "pip3", "python3 -m pip"):
            observation = env.step(f"{pip} install numpy")[0]
            assert observation.exit_code == 1
            assert observation.text.startswith("pip: packages cannot be added here: there is no network")
