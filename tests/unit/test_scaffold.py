"""New packages from templates: names and texts of all kinds, all files or nothing, nothing overwritten."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from markdown_it import MarkdownIt

import mlgym_core.scaffold as scaffolding
from mlgym_core import TaskSpec, UsageError
from mlgym_core.cli import cli
from mlgym_core.scaffold import PACKAGE_KINDS, SUBMISSION_KINDS, Scaffold, checked_name, markdown, render

ROOT = Path(__file__).parents[2]
ALL = [("task", kind) for kind in SUBMISSION_KINDS] + [(kind, None) for kind in PACKAGE_KINDS if kind != "task"]


def scaffold(kind: Any = "task", submission: Any = None, **fields: Any) -> Scaffold:
    given = {"name": "first-try", "summary": "Tries things", "author": "Ada Lovelace", "domain": "biology"} | fields
    return Scaffold(kind=kind, submission=submission, **given)


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("kind", "submission"), ALL)
def test_what_is_made_is_complete_and_clean(kind: Any, submission: Any, tmp_path: Path) -> None:
    folder = render(scaffold(kind, submission), tmp_path)
    assert folder == tmp_path / f"mlgym-{kind}-first-try"
    made = files(folder)
    package = f"src/mlgym_{kind}_first_try"
    assert {
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "pyproject.toml",
        ".gitignore",
        f"{package}/py.typed",
    } <= made.keys()
    assert made["LICENSE"] == (ROOT / "LICENSE").read_text()
    assert made["README.md"].startswith(f"# mlgym-{kind}-first-try\n")
    assert "mlgym check" in made[".github/workflows/tests.yml"]
    assert "${{ matrix.python }}" in made[".github/workflows/tests.yml"]
    assert len(made["tests/test_conformance.py"].splitlines()) < 15
    assert not [name for name, text in made.items() if "scaffold." in text or "{%" in text]
    project = tomllib.loads(made["pyproject.toml"])["project"]
    assert project["entry-points"]["mlgym"] == {"first-try": f"mlgym_{kind}_first_try.plugin"}
    ruff = [sys.executable, "-m", "ruff"]
    configuration = ["--config", str(ROOT / "pyproject.toml"), "--no-cache"]
    for command in (["check", "--ignore", "E501,PTH123,RUF100,S101,S311"], ["format", "--check"]):
        done = subprocess.run(
            [*ruff, *command, *configuration, str(folder)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "proposal"),
    [
        ("../x", "x"),
        ("/etc/passwd", "etc-passwd"),
        ("", "my-task"),
        ("class", "class-task"),
        ("json", "json-task"),
        ("None", "none-task"),
        ("mlgym", "my-task"),
        ("mlgym-games", "games"),
        ("core", "core-task"),
        ("Protein_Stability", "protein-stability"),
        ("protein--stability", "protein-stability"),
        ("protein.stability", "protein-stability"),
        ("-rf", "rf"),
        ("x-", "x"),
        ("protéine", "proteine"),
        ("蛋白质", "my-task"),
        ("a" * 300, "a" * 45),
        ('"; rm -rf ~', "rm-rf"),
        ("a\nb", "a-b"),
        ("{{ 7 * 7 }}", "7-7"),
    ],
)
def test_names_that_cannot_be_are_refused_with_one_that_can(name: str, proposal: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"Try {proposal!r}")):
        checked_name("task", name)
    assert checked_name("task", proposal) == proposal


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("task", "task", "TaskTask"),
        ("path", "task", "PathTask"),
        ("3sat-heuristic", "task", "The3satHeuristicTask"),
        ("patient-agent", "agent", "PatientAgent"),
        ("word-count", "tool", "WordCountTool"),
    ],
)
def test_names_of_classes_shadow_nothing(name: str, kind: Any, expected: str) -> None:
    assert scaffold(kind, name=name).class_name == expected


HOSTILE = [
    "He said \"no\" and 'yes'",
    "back\\slash \\n \\u0041 \\",
    "{{ 7 * 7 }} {% raw %} {# no comment",
    '"""; import os; os.abort() #',
    "''' ]] [project] name = 'x' #",
    "<script>alert(1)</script> & <b>",
    "# no *heading* _at_ [all](http://example.org) `x` | y",
    "- no list",
    "1. no list either",
    "${HOME} $(reboot) `reboot` %s {0}",
    "Zoë \U0001f9ea 蛋白",
    "trailing backslash \\",
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(("kind", "submission"), [("task", "predictions"), ("task", "policy"), ("agent", None)])
def test_texts_stay_what_they_are(text: str, kind: Any, submission: Any, tmp_path: Path) -> None:
    folder = render(scaffold(kind, submission, summary=text, author=text), tmp_path)
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert (project["description"], project["authors"], project["name"]) == (
        text,
        [{"name": text}],
        f"mlgym-{kind}-first-try",
    )
    namespace: dict[str, Any] = {}
    source = (folder / "src" / f"mlgym_{kind}_first_try" / "plugin.py").read_text()
    exec(compile(source, "plugin.py", "exec"), namespace)
    [spec] = namespace[f"mlgym_{kind}s"]()
    assert spec.summary == text
    for path in folder.rglob("*.py"):
        compile(path.read_text(), str(path), "exec")
    # All that Markdown makes of it is one paragraph of plain text.
    opening, inline, closing = MarkdownIt().parse(markdown(text))
    assert (opening.type, inline.type, closing.type) == ("paragraph_open", "inline", "paragraph_close")
    assert "".join(child.content for child in inline.children or () if child.type.startswith("text")) == text
    assert markdown(text) in (folder / "README.md").read_text()


def test_texts_become_one_line_and_hold_nothing_that_hides(tmp_path: Path) -> None:
    folder = render(scaffold(summary=" two\nlines\r\n\tand\u2028more ", author="A\nName: evil"), tmp_path)
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert (project["description"], project["authors"]) == ("two lines and more", [{"name": "A Name: evil"}])
    for text in ("a\0b", "a\x1b[31m", "a\ud800", "a\u202eb", "", " \n", "x" * 301):
        with pytest.raises(UsageError, match="The summary"):
            render(scaffold(summary=text, name="second-try"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mlgym-task-first-try"]


@pytest.mark.parametrize("domain", ["", "../x", "Biology", "a/b", "x" * 51, "bio\nlogy"])
def test_domains_that_cannot_be_are_refused(domain: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        render(scaffold(domain=domain), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("occupied", ["folder", "file", "link"])
def test_nothing_is_overwritten(occupied: str, tmp_path: Path) -> None:
    place = tmp_path / "mlgym-task-first-try"
    if occupied == "folder":
        place.mkdir()
    elif occupied == "file":
        place.write_text("mine")
    else:
        place.symlink_to("nowhere")
    with pytest.raises(UsageError, match="exists already"):
        render(scaffold(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [place.name]
    assert occupied != "file" or place.read_text() == "mine"


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_what_is_interrupted_leaves_nothing(interruption: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = scaffolding._files

    def some_files(scaffold: Scaffold) -> Any:
        yield next(original(scaffold))
        assert list(tmp_path.iterdir())
        raise interruption

    monkeypatch.setattr(scaffolding, "_files", some_files)
    with pytest.raises((KeyboardInterrupt, UsageError)):
        render(scaffold(), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folders_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="Name another folder"):
        render(scaffold(), tmp_path)


# --------------------------------------------------------------------------------------- the command line


def invoke(*arguments: str, answers: str = "", terminal: bool = False, monkeypatch: pytest.MonkeyPatch) -> Any:
    if terminal:
        monkeypatch.setattr("mlgym_core.cli.new._is_terminal", lambda: True)
    return CliRunner().invoke(cli, arguments, input=answers)


def test_the_command_asks_for_what_it_was_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = "Bad Name\nprotein-stability\nbio/logy\nbiology\nfunction\nIt is\x00 bad\nHow stable?\nAda\n"
    done = invoke("new-task", "--output", str(tmp_path), answers=answers, terminal=True, monkeypatch=monkeypatch)
    assert done.exit_code == 0, done.output
    assert "Try 'bad-name'" in done.output
    folder = tmp_path / "mlgym-task-protein-stability"
    assert "choose_bin" in (folder / "src/mlgym_task_protein_stability/task.py").read_text()
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert (project["description"], project["authors"]) == ("How stable?", [{"name": "Ada"}])


def test_the_command_without_a_terminal_takes_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = invoke("new-tool", "look-closely", "--output", str(tmp_path / "a" / "b"), monkeypatch=monkeypatch)
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{tmp_path / 'a' / 'b' / 'mlgym-tool-look-closely'}\n"
    assert 'python -m pip install --editable ".[testing]"' in done.stderr
    nameless = invoke("new-tool", monkeypatch=monkeypatch)
    assert isinstance(nameless.exception, UsageError)
    assert "mlgym new-tool word-count" in str(nameless.exception)


def test_what_is_registered_already_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for command, name in (
        ("new-agent", "tuner"),
        ("new-metric", "rmse"),
        ("new-sandbox", "bwrap"),
        ("new-tool", "read-file"),
    ):
        done = invoke("--no-plugins", command, name, "--output", str(tmp_path), monkeypatch=monkeypatch)
        assert isinstance(done.exception, UsageError)
        assert "in mlgym-core" in str(done.exception)
    assert not list(tmp_path.iterdir())


def test_a_package_replaces_none_that_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments, says in (
        # No task has that id, but its package would be another's.
        (("new-task", "games", "--domain", "zoo"), "mlgym-task-games is installed already"),
        (("new-tool", "x1", "--distribution", "jinja2"), "Jinja2 is installed already"),
        # The name of a module, whose distribution is called pyyaml.
        (("new-tool", "x1", "--distribution", "yaml"), "Python imports another package as yaml"),
    ):
        done = invoke(*arguments, "--output", str(tmp_path), monkeypatch=monkeypatch)
        assert isinstance(done.exception, UsageError), done.output
        assert says.lower() in str(done.exception).lower()
    assert not list(tmp_path.iterdir())


def test_an_abort_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = invoke(
        "new-agent", "x1", "--output", str(tmp_path), answers="A summary\n", terminal=True, monkeypatch=monkeypatch
    )
    assert done.exit_code == 1
    assert not list(tmp_path.iterdir())


def test_the_specs_of_new_tasks_are_as_asked(tmp_path: Path) -> None:
    folder = render(scaffold("task", "policy", domain="rl"), tmp_path)
    namespace: dict[str, Any] = {}
    exec(compile((folder / "src/mlgym_task_first_try/plugin.py").read_text(), "plugin.py", "exec"), namespace)
    [spec] = namespace["mlgym_tasks"]()
    assert isinstance(spec, TaskSpec)
    assert (spec.id, spec.primary_metric.name, spec.primary_metric.direction) == (
        "rl/first-try",
        "reward_mean",
        "maximize",
    )


def test_a_package_can_have_a_name_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("new-task", "nuclear-masses", "--domain", "trial", "--output", str(tmp_path))
    done = invoke(*command, "--distribution", "mlgym-task-physics", monkeypatch=monkeypatch)
    assert done.exit_code == 0, done.output
    folder = tmp_path / "mlgym-task-physics"
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == "mlgym-task-physics"
    assert project["authors"] == [{"name": "The authors of mlgym-task-physics"}]
    assert project["entry-points"]["mlgym"] == {"nuclear-masses": "mlgym_task_physics.plugin"}
    assert (folder / "src/mlgym_task_physics/task.py").is_file()
    assert (folder / "README.md").read_text().startswith("# mlgym-task-physics\n")
    assert "mlgym check mlgym-task-physics\n" in (folder / ".github/workflows/tests.yml").read_text()


@pytest.mark.parametrize(
    "distribution", ["", "../x", "/x", "a b", "A", "a_b", "-x", "x-", "json", "class", "3sat", "mlgym", "mlgym-core"]
)
def test_names_of_packages_that_cannot_be_are_refused(
    distribution: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("new-task", "nuclear-masses", "--domain", "trial", "--output", str(tmp_path), "--no-input")
    done = invoke(*command, "--distribution", distribution, monkeypatch=monkeypatch)
    assert isinstance(done.exception, UsageError)
    assert "A good one is 'mlgym-task-science'" in str(done.exception)
    assert not list(tmp_path.iterdir())


def test_workflows_have_no_blank_lines_in_their_steps(tmp_path: Path) -> None:
    folder = render(scaffold(), tmp_path)
    assert "\n\n" not in (folder / ".github/workflows/tests.yml").read_text()
