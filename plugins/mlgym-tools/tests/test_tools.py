"""The tools in real episodes, with hostile files and paths."""

from __future__ import annotations

import base64
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlgym_core import Env, Host, Observation, TaskMetric, TaskSpec, hookimpl, make
from mlgym_core.sandbox.bwrap import BwrapSandbox
from mlgym_tools import plugin
from mlgym_tools.syntax import NotChecked, syntax_problem

README = Path(__file__).parents[1] / "README.md"
TOOLS = [spec.id for spec in plugin.mlgym_tools()]
NUMBERS = b"".join(b"line %d\n" % number for number in range(1, 2501))
needs_bwrap = pytest.mark.skipif(BwrapSandbox.unavailable_reason() is not None, reason="bwrap does not work here")


class Tasks:
    """Registers the small task."""

    MLGYM_API = 1

    @hookimpl
    def mlgym_tasks(self) -> Iterator[TaskSpec]:
        """Yield it."""
        yield TaskSpec("small/notes", "notes_task:Notes", "Write notes", metrics=(TaskMetric("value"),))


class Episode:
    """An episode whose tools are called like functions."""

    def __init__(self, env: Env) -> None:
        self.env = env

    def call(self, tool: str, **arguments: Any) -> Observation:
        observation, *_ = self.env.step({"tool": tool, "arguments": arguments})
        return observation

    def __call__(self, tool: str, **arguments: Any) -> str:
        """Return what a tool says that succeeds."""
        observation = self.call(tool, **arguments)
        assert not observation.error, observation.text
        return observation.text

    def refused(self, tool: str, **arguments: Any) -> str:
        """Return why a tool refuses."""
        observation = self.call(tool, **arguments)
        assert observation.error, observation.text
        assert "broke" not in observation.text
        return observation.text

    def bash(self, command: str) -> str:
        return self("bash", command=command)

    def write(self, path: str, content: bytes) -> None:
        """Write a file and open it."""
        self.env.step(f"echo {base64.b64encode(content).decode()} | base64 -d > {path}")
        self("open", path=path)

    def content(self, path: str) -> bytes:
        return base64.b64decode(self.bash(f"base64 -w 0 -- {path}"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the task is prepared once for all."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(params=["process", pytest.param("bwrap", marks=needs_bwrap)])
def episode(request: pytest.FixtureRequest, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Episode]:
    monkeypatch.setenv("MLGYM_CACHE_DIR", str(cache))
    monkeypatch.syspath_prepend(Path(__file__).parent / "support")
    monkeypatch.setattr("mlgym_core.making.default_host", lambda: Host.of(Tasks(), plugin))
    with make(
        "small/notes", sandbox=request.param, tools=["bash", *TOOLS], grants=["literature"], max_steps=500
    ) as env:
        env.reset()
        yield Episode(env)


def test_none_is_a_default_and_none_clashes_with_the_core() -> None:
    host = Host.of(plugin)
    assert host.failures == []
    assert {spec.id for spec in host.tools if spec.default and spec.grant is None} == {
        "bash",
        "read_file",
        "write_file",
        "edit_file",
        "validate",
        "submit",
    }
    assert len({spec.id for spec in host.tools}) == 6 + len(TOOLS) == 20


def test_schemas(episode: Episode) -> None:
    schemas = {tool["name"]: tool for tool in episode.env.tools}
    assert set(schemas) == {"bash", *TOOLS}
    for schema in schemas.values():
        assert schema["description"].endswith(".")
    parameters = schemas["edit"]["parameters"]
    assert parameters["required"] == ["first_line", "last_line", "text"]
    assert parameters["properties"]["first_line"]["type"] == "integer"
    assert schemas["scroll_up"]["parameters"]["properties"] == {}
    assert schemas["search_file"]["parameters"]["properties"]["path"]["default"] == ""


def test_the_viewer(episode: Episode) -> None:
    calls: dict[str, dict[str, Any]] = {"goto": {"line": 1}, "scroll_up": {}, "insert": {"after_line": 0, "text": "x"}}
    for tool, arguments in calls.items():
        assert "No file is open" in episode.refused(tool, **arguments)
    episode.write("numbers", NUMBERS)
    text = episode("open", path="numbers")
    assert "lines 1 to 1000 of 2500]\n1:line 1\n" in text
    assert text.endswith("\n1000:line 1000\n")
    assert "first line is already" in episode.refused("scroll_up")
    # The open file stays, wherever the shell goes.
    episode.bash("cd /")
    assert "lines 1001 to 2000" in episode("scroll_down")
    assert "lines 2001 to 2500" in episode("scroll_down")
    assert "last line is already" in episode.refused("scroll_down")
    assert "lines 1001 to 2000" in episode("scroll_up")
    assert "lines 2500 to 2500" in episode("goto", line=2500)
    assert "has no line 2501" in episode.refused("goto", line=2501)
    assert "has no line 0" in episode.refused("goto", line=0)
    assert episode("search_file", text="line 77\n".strip()).startswith("77:line 77\n770:line 770")


def test_each_episode_has_its_own_viewer(episode: Episode) -> None:
    episode.write("a", b"1\n")
    snapshot = episode.env.snapshot()
    episode.write("b", b"2\n")
    with episode.env.fork(snapshot) as twin:
        assert "1:1\n" in Episode(twin)("goto", line=1)
        assert "1:2\n" in episode("goto", line=1)
    episode.env.restore(snapshot)
    assert "1:1\n" in episode("goto", line=1)
    episode.env.reset()
    assert "No file is open" in episode.refused("goto", line=1)


def test_editing(episode: Episode) -> None:
    episode("create", path="new/deep/a.txt")
    assert "exists already" in episode.refused("create", path="new/deep/a.txt")
    episode("edit", first_line=1, last_line=1, text="one\ntwo\nthree")
    assert episode.content("new/deep/a.txt") == b"one\ntwo\nthree\n"
    assert "2 lines replaced by 1 line" in episode("edit", first_line=2, last_line=3, text="2 and 3\n")
    episode("insert", after_line=0, text="zero")
    episode("insert", after_line=3, text="\n")
    assert episode.content("new/deep/a.txt") == b"zero\none\n2 and 3\n\n"
    episode("edit", first_line=1, last_line=2, text="")
    assert episode.content("new/deep/a.txt") == b"2 and 3\n\n"
    for first, last in [(0, 1), (2, 1), (1, 3), (-1, -1)]:
        assert "There are no lines" in episode.refused("edit", first_line=first, last_line=last, text="x")
    assert "no line 3" in episode.refused("insert", after_line=3, text="x")
    assert "UTF-8" in episode.refused("insert", after_line=0, text="\ud800")
    assert "NUL" in episode.refused("insert", after_line=0, text="a\0b")
    assert "too large" in episode.refused("insert", after_line=0, text="x" * (10 << 20))
    assert episode.content("new/deep/a.txt") == b"2 and 3\n\n"


def test_endings_stay(episode: Episode) -> None:
    for before, line, text, after in [
        (b"a\r\nb\r\n", 1, "x\ny", b"x\r\ny\r\nb\r\n"),
        (b"a\r\nb\r\n", 1, "x\r\ny\r\n", b"x\r\ny\r\nb\r\n"),
        (b"a\nb", 2, "x", b"a\nx"),
        (b"a\nb", 2, "x\n", b"a\nx\n"),
        (b"a\nb", 2, "", b"a\n"),
        (b"a\nb", 1, "x", b"x\nb"),
        (b"a\r\nb\nc\n", 2, "x", b"a\r\nx\nc\n"),
        (b"a\x0cb\xe2\x80\xa8c\rd\ne", 1, "x", b"x\ne"),
        (b"\xef\xbb\xbfa\nb\x1b[31m\n", 2, "x", b"\xef\xbb\xbfa\nx\n"),
    ]:
        episode.write("a", before)
        episode("edit", first_line=line, last_line=line, text=text)
        assert episode.content("a") == after


def test_a_line_after_the_last_one_that_is_not_ended(episode: Episode) -> None:
    episode.write("a", b"a\r\nb")
    assert "[no newline at the end]" in episode("open", path="a")
    episode("insert", after_line=2, text="c")
    assert episode.content("a") == b"a\r\nb\r\nc"


def test_an_edit_that_breaks_the_syntax_is_refused(episode: Episode) -> None:
    source = b"def f(x):\n    return x\n\n\nprint(f(1))\n"
    episode.write("a.py", source)
    text = episode.refused("edit", first_line=2, last_line=2, text="  return x +\n")
    assert "line 2: invalid syntax" in text
    assert "2:  return x +\n" in text
    assert "2:    return x\n" in text
    assert "return" in episode.refused("insert", after_line=5, text="return 5")
    assert episode.content("a.py") == source
    episode("edit", first_line=2, last_line=2, text="    import os; os._exit(3)  # only parsed")
    episode.write("a.py", b"def f(:\n")
    assert "was and is not sound, line" in episode("insert", after_line=1, text="def g(:")
    assert "sound" not in episode("edit", first_line=1, last_line=2, text="x = 1")
    episode.write("a.json", b'{"a": 1}\n')
    assert "line 1" in episode.refused("edit", first_line=1, last_line=1, text='{"a": }')
    episode("edit", first_line=1, last_line=1, text='{"a": 2}')
    assert episode.content("a.json") == b'{"a": 2}\n'


def test_background_processes_may_print(episode: Episode) -> None:
    episode.bash("echo needle > a; (for i in $(seq 300); do echo noise; sleep 0.01; done) &")
    for _ in range(10):
        assert "1:needle" in episode("open", path="a")
        assert episode("search_dir", text="needle") == "a:1:needle\n"


async def test_a_text_cannot_take_the_parser_down() -> None:
    assert await syntax_problem("a.txt", b"def f(:") is None
    assert await syntax_problem("a.py", b"# coding: latin-1\nx = '\xff'\n") is None
    assert await syntax_problem("a.py", b"x = '\xff'\n") is not None
    assert await syntax_problem("a.py", b"x = 1\0\n") is not None
    assert await syntax_problem("a.json", b"\xff") is not None
    for path, content in [("a.json", b"[" * 200_000), ("a.py", b"-" * 200_000 + b"1"), ("a.py", b"#" * (2 << 20))]:
        with pytest.raises(NotChecked):
            await syntax_problem(path, content)


def test_files_that_cannot_be_written_back_are_only_shown(episode: Episode) -> None:
    episode.write("binary", b"a\0b\n\x1b[31m\n")
    assert "1:a\\x00b\n2:\\x1b[31m\n" in episode("goto", line=1)
    assert "NUL" in episode.refused("edit", first_line=1, last_line=1, text="x")
    episode.write("latin", b"a\ngr\xfc\xdfe\n")
    assert "2:gr\\xfc\\xdfe\n" in episode("goto", line=1)
    assert "not UTF-8, first in line 2 (byte 0xfc)" in episode.refused("edit", first_line=1, last_line=1, text="x")
    assert episode.content("latin") == b"a\ngr\xfc\xdfe\n"


def test_large_files_and_long_lines(episode: Episode) -> None:
    episode.bash("head -c 10485761 /dev/zero > large; head -c 10485760 /dev/zero | tr '\\0' x > full")
    assert "too large" in episode.refused("open", path="large")
    text = episode("open", path="full")
    assert "[… 10,485,260 more characters]" in text
    assert len(text) < 1000
    episode.bash("for i in $(seq 600); do printf '%0400d\\n' $i; done > wide")
    shown = re.search(r"lines 1 to (\d+) of 600", episode("open", path="wide"))
    assert shown
    assert int(shown[1]) < 200
    assert f"lines {int(shown[1]) + 1} to" in episode("scroll_down")


def test_a_file_that_changed_is_not_edited_unseen(episode: Episode) -> None:
    episode.write("a", b"1\n2\n")
    episode.bash("echo 0 | cat - a > b; cp b a")
    text = episode.refused("edit", first_line=1, last_line=1, text="x")
    assert "no longer what was last shown" in text
    assert "1:0\n2:1\n3:2\n" in text
    episode("edit", first_line=2, last_line=2, text="x")
    assert episode.content("a") == b"0\nx\n2\n"
    episode.bash("echo 3 >> a")
    assert "has changed since" in episode("goto", line=1)
    assert "has changed since" not in episode("goto", line=1)
    episode.bash("rm a")
    assert "cannot be read" in episode.refused("insert", after_line=0, text="x")


def test_paths_are_taken_as_they_are(episode: Episode) -> None:
    for name in ["with blank", 'it\'s "$(touch hacked)"', "-rf", "a\nb\n", "*", "grüße", "a\\", "[x]"]:
        path, shown = f"{name}/{name}", name.replace("\n", "\\n")
        episode("create", path=path)
        episode("insert", after_line=0, text="needle")
        assert "1:needle" in episode("open", path=path)
        assert episode("search_dir", text="needle") == f"{shown}/{shown}:1:needle\n"
        assert episode("search_dir", text="needle", folder=name) == f"{shown}/{shown}:1:needle\n"
        assert episode("search_file", text="needle", path=path) == "1:needle\n"
        assert episode("find_file", name=name, folder=name) == f"{shown}/{shown}\n"
        assert episode.bash("find . -name hacked; rm -r -- */; ls") == "answer.txt\n"


def test_paths_that_are_none(episode: Episode) -> None:
    episode.bash("mkfifo pipe; mkdir folder; ln -s nowhere dangling")
    for path, why in {
        "": "is empty",
        "a\0b": "NUL",
        "\ud800": "UTF-8",
        "folder": "is a folder",
        "pipe": "no plain file",
        "/dev/zero": "no plain file",
        "dangling": "There is no file",
        "x" * 5000: "There is no file",
    }.items():
        assert why in episode.refused("open", path=path)
    assert "exists already" in episode.refused("create", path="dangling")
    assert "exists already" in episode.refused("create", path="folder")
    searches: dict[str, dict[str, Any]] = {"search_dir": {"text": "x"}, "find_file": {"name": "x"}}
    for tool, arguments in searches.items():
        assert "There is no folder nowhere" in episode.refused(tool, folder="nowhere", **arguments)
        assert "no folder" in episode.refused(tool, folder="answer.txt", **arguments)


def test_links_lead_where_they_lead_in_the_sandbox(episode: Episode) -> None:
    episode.bash("mkdir real; echo old > real/a; ln -s real link; ln -s real/a file-link; chmod 750 real/a")
    episode("open", path="file-link")
    episode("edit", first_line=1, last_line=1, text="new")
    assert episode.bash("cat real/a; readlink file-link; stat -c %a real/a") == "new\nreal/a\n750\n"
    assert episode("search_dir", text="new", folder="link") == "link/a:1:new\n"


def test_searches(episode: Episode) -> None:
    episode.bash("mkdir -p d .git; echo 'a.c[0] -e $HOME' > d/x.txt; printf 'abc\\0a.c' > d/binary; echo a.c > .git/y")
    assert episode("search_dir", text="a.c") == "d/x.txt:1:a.c[0] -e $HOME\n"
    for text in ("[0]", "-e", "$HOME", "c[0] -e $"):
        assert episode("search_dir", text=text) == "d/x.txt:1:a.c[0] -e $HOME\n"
    assert "No line" in episode("search_dir", text="A.C")
    assert "empty" in episode.refused("search_dir", text="")
    assert "too long" in episode.refused("search_dir", text="x" * 200_000)
    assert "several lines" in episode.refused("search_file", text="a\nb", path="d/x.txt")
    assert episode("find_file", name="x.*") == "d/x.txt\n"
    assert episode("find_file", name="?.txt", folder="d") == "d/x.txt\n"
    assert "There is no file" in episode("find_file", name="[x].txt")
    assert "slash" in episode.refused("find_file", name="d/x.txt")


def test_without_the_programs_nothing_is_said_to_be_missing(episode: Episode) -> None:
    episode.bash("mkdir bin; printf '#!/bin/sh\\nexit 2' > bin/grep; chmod +x bin/grep; PATH=$PWD/bin:$PATH")
    assert "needs GNU's" in episode.refused("search_dir", text="0")
    assert "needs GNU's" in episode.refused("find_file", name="nothing")


def test_too_many_hits(episode: Episode) -> None:
    episode.bash("mkdir m; for i in $(seq 100 350); do head -c 3000 /dev/zero | tr '\\0' x > m/$i; done")
    episode.bash("cat m/* | fold -w 10 > all")
    for observation in (
        episode.call("search_dir", text="xx", folder="m"),
        episode.call("search_file", text="xx", path="all"),
        episode.call("find_file", name="*", folder="m"),
    ):
        assert observation.truncated
        assert "There are more than" in observation.text
        assert "Search for less" in observation.text
        assert len(observation.text) < 60_000
    assert episode.call("find_file", name="10?", folder="m").truncated is False


def test_the_shells_settings_do_not_matter(episode: Episode) -> None:
    episode.bash("echo needle > a; set -euxf -o pipefail; find() { echo no; }; printf() { echo no; }; CDPATH=/")
    assert "1:needle" in episode("open", path="a")
    assert episode("search_dir", text="needle") == "a:1:needle\n"
    assert episode("find_file", name="a*") == "a\nanswer.txt\n"
    assert "No line" in episode("search_dir", text="nothing like it")
    episode("edit", first_line=1, last_line=1, text="x")
    episode.env.step("set +x; __mlgym_viewer=$(echo '{\"path\": 1}' | base64)")
    assert "No file is open" in episode.refused("goto", line=1)


def test_the_tool_of_the_readme_works(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [source] = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    assert len([line for line in source.splitlines() if line]) <= 10
    module = types.ModuleType("word_count")
    monkeypatch.setitem(sys.modules, "word_count", module)
    exec(compile(source, "README.md", "exec"), module.__dict__)
    host = Host.of(Tasks(), module)
    assert host.failures == []
    monkeypatch.setenv("MLGYM_CACHE_DIR", str(cache))
    monkeypatch.syspath_prepend(Path(__file__).parent / "support")
    monkeypatch.setattr("mlgym_core.making.default_host", lambda: host)
    with make("small/notes", sandbox="process", tools=["bash", "count_words"]) as env:
        env.reset()
        env.step("echo one two three > words")
        observation, *_ = env.step({"tool": "count_words", "arguments": {"path": "words"}})
        assert observation.text == "3"
