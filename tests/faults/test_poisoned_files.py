"""Files that an agent leaves for whoever comes after it: the grader, a submission process, the next episode.

The poison ends any Python or bash that reads it. The agent's own sandbox shows that it is poison; everything that
comes afterwards goes on as if it had never been there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from inside import call, output, python

from mlgym_core import Env, make
from mlgym_core.host import default_host
from mlgym_core.preparation import prepare_task

TASK = "games/battle-of-sexes"

POISON = """
import glob, os, site, sys, sysconfig, py_compile
poison = "import os\\nos.write(2, b'poisoned')\\nos._exit(77)\\n"
names = ["sitecustomize.py", "usercustomize.py", "numpy.py", "json.py", "random.py", "strategy_helpers.py"]
folders = {*sys.path, *site.getsitepackages(), site.getusersitepackages(), sys.prefix, sys.base_prefix}
folders |= {sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib", "scripts")}
folders |= {"/opt", "/opt/runtime", "/opt/code", "/opt/packages", "/opt/mlgym", "/submission", "/wires", "/private"}
folders |= {"/workspace", "/tmp", "/home/agent", "/dev/shm", "/var/tmp", os.path.expanduser("~/.local/bin")}
written = []

def write(path, content):
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.path.exists(path) and os.chmod(path, 0o666)
        with open(path, "w") as file:
            file.write(content)
        written.append(path)
    except OSError:
        pass

for folder in sorted(folders):
    if not folder or folder.endswith(".zip"):
        continue
    for name in names:
        write(f"{folder}/{name}", poison)
    write(f"{folder}/poison.pth", "import os; os._exit(77)\\n")
    write(f"{folder}/__pycache__/json.cpython-3{sys.version_info.minor}.pyc", "poison")
    # What is there already: compiled modules, of the packages that the task requires and of the interpreter.
    for path in glob.glob(f"{folder}/**/__pycache__/*.pyc", recursive=True)[:2000]:
        write(path, "poison")
for name in (".bashrc", ".profile", ".bash_profile", ".inputrc", ".pythonrc"):
    write(os.path.expanduser(f"~/{name}"), "exit 77\\n")
print("\\n".join(written))
"""


@pytest.fixture(scope="module")
def own_folders() -> tuple[str, ...]:
    """The folders in which agents may write."""
    return ("/workspace/", "/tmp/", "/home/agent/", "/dev/shm/")


@pytest.fixture
def episode(isolated_sandbox: str) -> Iterator[Env]:
    """An episode of a task that requires a package."""
    with make(TASK, sandbox=isolated_sandbox, action_timeout=120) as env:
        env.reset()
        yield env


def fingerprint(folder: Path) -> str:
    """Hash names, sizes, times and modes of all that is in a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        digest.update(f"{path} {status.st_size} {status.st_mtime_ns} {status.st_mode}\n".encode())
    return digest.hexdigest()


@pytest.mark.slow
def test_nobody_else_is_poisoned(episode: Env, isolated_sandbox: str, own_folders: tuple[str, ...]) -> None:
    prepared = prepare_task(default_host(), TASK)
    assert prepared.packages is not None
    watched = [prepared.package, prepared.packages, prepared.public, prepared.private]
    before = [fingerprint(folder) for folder in watched]
    written = python(episode, POISON).splitlines()
    assert len(written) > 10
    assert [path for path in written if not path.startswith(own_folders)] == []
    # It is poison: the agent's own Python takes it from its home or from its working directory.
    assert output(episode, "python3 -c 'import json' 2> /dev/null; echo $?") == "77\n"
    # The grader and the submission process of this very episode, and files written through the tools.
    episode.step(call("write_file", path="notes.txt", content="fine"))
    assert output(episode, "cat notes.txt") == "fine"
    observation = episode.step({"tool": "validate"})[0]
    assert observation.score is not None
    assert observation.score.valid, observation.score.reason
    # The next episode, while this one goes on: its Python, its shell, its grading.
    with make(TASK, sandbox=isolated_sandbox, action_timeout=60) as following:
        following.reset()
        said = output(following, "python3 -c 'import json, random, numpy; print(numpy.array([6 * 7])[0])'; echo $?")
        assert said == "42\n0\n"
        assert output(following, "find / -name poison.pth -not -path '/proc/*' 2>/dev/null; ls /dev/shm") == ""
        following.step({"tool": "submit"})
        assert following.result is not None
        assert following.result.status == "completed"
    episode.step({"tool": "submit"})
    assert episode.result is not None
    assert episode.result.status == "completed"
    assert [fingerprint(folder) for folder in watched] == before


@pytest.mark.slow
def test_modules_beside_the_submission_are_not_handed_in(episode: Env) -> None:
    # The strategy imports a module that lies beside it; what is declared is one file, so that there is no such module.
    episode.step(call("write_file", path="helper.py", content="MOVE = 1\n"))
    source = "import helper\n\ndef row_strategy(history):\n    return helper.MOVE\n"
    episode.step(call("write_file", path="strategy.py", content=source))
    observation = episode.step({"tool": "validate"})[0]
    assert observation.score is not None
    assert not observation.score.valid
    assert "helper" in (observation.score.reason or "")
