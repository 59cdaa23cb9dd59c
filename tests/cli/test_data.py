"""`mlgym data`, as a person uses it, on a task whose dataset comes from a folder or a file of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import FakeSite

PLUGIN = """
from mlgym_core import TaskMetric, TaskSpec, hookimpl
MLGYM_API = 1
@hookimpl
def mlgym_tasks():
    yield TaskSpec("examples/lines", "data_tasks:Lines", "s", metrics=(TaskMetric("value"),))
    yield TaskSpec("examples/plain", "data_tasks:Plain", "s", metrics=(TaskMetric("value"),))
    yield TaskSpec("examples/broken", "no_such_module:Task", "s", metrics=(TaskMetric("value"),))
"""
TASKS = """
from mlgym_core import Dataset, SystemFiles, Task, UserFiles

def decode(files, content):
    content.table("lines.csv", ["line"], [[line] for line in files[0].read_text().splitlines()])

common = dict(license="CC0-1.0", origin="here", citation="Nobody (2026)", size_bytes=2_000_000)
system = SystemFiles(package="dataset-lines", folder="SYSTEM", files=("lines.txt",), decode=decode)
user = UserFiles(files=("own.txt",), how="Ask the author.", decode=decode)

class Plain(Task):
    description = submission_files = anchors = prepare = grade = None

class Lines(Plain):
    datasets = (
        Dataset(name="system", summary="Of the system", content_hash=None, sources=(system,), **common),
        Dataset(name="own", summary="Your own", content_hash="0" * 64, sources=(user,), **common),
    )
"""


@pytest.fixture
def data(site: FakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSite:
    """A site with the tasks, and the file of the system's package."""
    site.add("mlgym-data", "data", PLUGIN)
    (site.folder / "data_tasks.py").write_text(TASKS.replace("SYSTEM", str(tmp_path)))
    (tmp_path / "lines.txt").write_text("one\ntwo\n")
    for name, value in (("XDG_CACHE_HOME", str(tmp_path / "cache")), ("PYTHONDONTWRITEBYTECODE", "1")):
        monkeypatch.setenv(name, value)
    return site


def test_pull_list_path_verify_remove(data: FakeSite) -> None:
    pulled = data.mlgym("data", "pull", "examples/lines", "system")
    assert pulled.returncode == 0, pulled.stderr
    assert "examples/lines system is here: 0.0 MB, from Debian package dataset-lines" in pulled.stdout
    assert "trusted at first use" in pulled.stdout
    [path] = data.mlgym("data", "path", "examples/lines", "system").stdout.splitlines()
    assert (Path(path) / "lines.csv").read_text() == "line\none\ntwo\n"
    listed = data.mlgym("data", "list", "examples/lines", "--json")
    [system, own] = json.loads(listed.stdout)
    assert (system["path"], system["source"], system["declared"]) == (path, "Debian package dataset-lines", False)
    assert (own["path"], own["content_hash"], own["license"]) == (None, "0" * 64, "CC0-1.0")
    assert own["sources"] == [{"source": "files of your own", "files": ["own.txt"]}]
    verified = data.mlgym("data", "verify")
    assert (verified.returncode, verified.stdout.count("as recorded")) == (0, 1)
    (Path(path) / "lines.csv").chmod(0o600)
    (Path(path) / "lines.csv").write_text("damaged")
    damaged = data.mlgym("data", "verify")
    assert damaged.returncode == 1
    assert "`mlgym data pull examples/lines system` mends it" in damaged.stderr
    assert data.mlgym("data", "pull", "examples/lines", "system").returncode == 0
    assert data.mlgym("data", "verify", "examples/lines").returncode == 0
    assert data.mlgym("data", "remove", "examples/lines", "system").stdout == "examples/lines system: removed\n"
    gone = data.mlgym("data", "path", "examples/lines", "system")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "mlgym data pull examples/lines system" in gone.stderr
    assert data.mlgym("data", "verify", "examples/lines", "system").returncode == 1


def test_list_goes_on_past_a_task_that_is_broken(data: FakeSite) -> None:
    listed = data.mlgym("data", "list", MLGYM_PLUGINS="data")
    assert listed.returncode == 0
    assert "examples/broken" in listed.stderr
    assert [line.split()[:3] for line in listed.stdout.splitlines()] == [
        ["TASK", "DATASET", "HERE"],
        ["examples/lines", "system", "no"],
        ["examples/lines", "own", "no"],
    ]


def test_one_dataset_that_cannot_be_had_does_not_keep_the_others(data: FakeSite) -> None:
    pulled = data.mlgym("data", "pull", "examples/lines")
    assert pulled.returncode == 1
    assert "examples/lines system is here" in pulled.stdout
    assert "Ask the author." in pulled.stderr
    assert "Traceback" not in pulled.stderr


def test_wrong_files_are_refused(data: FakeSite, tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("not it")
    done = data.mlgym("data", "import", "examples/lines", "own", str(tmp_path / "own.txt"))
    assert done.returncode == 1
    assert "the content is not that of the dataset" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pull", "examples/line"), "Did you mean 'examples/lines'"),
        (("pull", "examples/lines", "other"), "It has: system, own."),
        (("path", "examples/plain", "other"), "It has none at all."),
        (("import", "examples/lines", "own", "/missing"), "There is no file /missing."),
        (("import", "examples/lines", "own"), "FILE"),
        (("pul",), "pul"),
    ],
)
def test_bad_usage(data: FakeSite, arguments: tuple[str, ...], message: str) -> None:
    done = data.mlgym("data", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
