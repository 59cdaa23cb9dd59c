"""Command lines and fenced blocks as models write them."""

from __future__ import annotations

from typing import Any

import pytest

from mlgym_agents.answers import fenced_blocks
from mlgym_agents.commands import CommandProblem, parse_command, usage
from mlgym_agents.tree.solutions import SolutionProblem, parse_solution
from mlgym_core import ModelReply, TaskView


def tool(name: str, required: tuple[str, ...] = (), /, **properties: dict[str, Any]) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    return {"name": name, "description": "Does something.", "parameters": parameters}


TEXT = {"type": "string"}
WHOLE = {"type": "integer"}
TOOLS = [
    tool("bash", ("command",), command=TEXT),
    tool("open", ("path",), path=TEXT, line=WHOLE | {"default": 1}),
    tool("edit", ("first_line", "last_line", "text"), first_line=WHOLE, last_line=WHOLE, text=TEXT),
    tool("edit_file", ("path", "old", "new"), path=TEXT, old=TEXT, new=TEXT),
    tool("search_file", ("text",), text=TEXT, path=TEXT | {"default": ""}),
    tool("validate"),
    tool(
        "odd",
        ("numbers",),
        numbers={"type": "array"},
        share={"anyOf": [{"type": "number"}, {"type": "null"}], "default": None},
        loud={"type": "boolean", "default": False},
        name={"anyOf": [{"type": "string"}, {"type": "integer"}], "default": "x"},
        other={"$ref": "#/$defs/Other", "default": None},
    ),
]


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("ls -l | wc", "bash", {"command": "ls -l | wc"}),
        ("\nfor i in 1 2; do\n  echo $i\ndone\n", "bash", {"command": "for i in 1 2; do\n  echo $i\ndone"}),
        ("bash run.sh", "bash", {"command": "bash run.sh"}),
        ("cat <<'END'\nvalidate\nEND", "bash", {"command": "cat <<'END'\nvalidate\nEND"}),
        ("opened=1", "bash", {"command": "opened=1"}),
        ("validate\n", "validate", {}),
        ("open a.py", "open", {"path": "a.py"}),
        ("open a.py 20", "open", {"path": "a.py", "line": 20}),
        ("open line=3 'my file.py'", "open", {"path": "my file.py", "line": 3}),
        ('open path="a b"/c\\ d', "open", {"path": "a b/c d"}),
        ("  open   a.py\t", "open", {"path": "a.py"}),
        ('open {"path": "a.py", "line": 2}', "open", {"path": "a.py", "line": 2}),
        ("edit 3 4 <<END\n  x\n\n\nEND", "edit", {"first_line": 3, "last_line": 4, "text": "  x\n\n\n"}),
        ("edit 3 4 text=<<'E_1'\n$x\nE_1\n", "edit", {"first_line": 3, "last_line": 4, "text": "$x\n"}),
        ("edit 3 4\n  x\ny", "edit", {"first_line": 3, "last_line": 4, "text": "  x\ny\n"}),
        ("edit 3 4 'a\n  b'", "edit", {"first_line": 3, "last_line": 4, "text": "a\n  b"}),
        ("edit 3 4 ''", "edit", {"first_line": 3, "last_line": 4, "text": ""}),
        ("edit 3 4 <<END\nEND", "edit", {"first_line": 3, "last_line": 4, "text": ""}),
        (
            "edit_file a.py old=<<OLD new=<<NEW\none\nOLD\ntwo\nNEW",
            "edit_file",
            {"path": "a.py", "old": "one\n", "new": "two\n"},
        ),
        ("search_file x=1 a.py", "search_file", {"text": "x=1", "path": "a.py"}),
        ("search_file <<", "search_file", {"text": "<<"}),
        (
            "odd '[1, 2]' share=0.5 loud=yes name=7",
            "odd",
            {"numbers": [1, 2], "share": 0.5, "loud": True, "name": 7},
        ),
        ("odd [] share=null other='{\"a\": 1}'", "odd", {"numbers": [], "share": None, "other": {"a": 1}}),
    ],
)
def test_commands(text: str, name: str, arguments: dict[str, Any]) -> None:
    assert parse_command(text, TOOLS) == {"tool": name, "arguments": arguments}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        (" \n\n", "empty"),
        ("open", "path is missing.*open PATH \\[line=1\\]"),
        ("open a b c", "3 arguments without a name, and 2"),
        ("open a.py line=one", "line is 'one'"),
        ("open a path=b path=c", "given twice"),
        ("open don't", "quote is not closed"),
        ("open a\\", "quote is not closed"),
        ("edit 3 4 <<END\nx", "no line END"),
        ("edit 3\nx", "last_line is missing"),
        ("validate\nsubmit", "holds one command"),
        ("odd [1,", "numbers is"),
        ("odd [] loud=maybe", "loud is 'maybe'"),
    ],
)
def test_what_is_no_command(text: str, says: str) -> None:
    with pytest.raises(CommandProblem, match=says):
        parse_command(text, TOOLS)


def test_without_a_shell() -> None:
    with pytest.raises(CommandProblem, match="Did you mean 'open'"):
        parse_command("opne a.py", TOOLS[1:])


def test_a_long_text_takes_no_long_time() -> None:
    body = "x'\"\\\n" * 50_000
    assert parse_command(f"edit 1 1 <<END\n{body}END", TOOLS)["arguments"]["text"] == body
    with pytest.raises(CommandProblem):
        parse_command("open " + "'" * 100_001, TOOLS)


def test_usages() -> None:
    assert usage(TOOLS[2]) == "edit FIRST_LINE LAST_LINE TEXT"
    assert usage(TOOLS[4]) == "search_file TEXT [path=PATH]"


def test_blocks() -> None:
    text = "I think.\n```bash\nls\n```\nAnd ````not`` here.\n````\n```\nx\n```\n````\n"
    blocks, is_open = fenced_blocks(text)
    assert [(block.content, block.language) for block in blocks] == [("ls\n", "bash"), ("```\nx\n```\n", "")]
    assert blocks[0].before == "I think.\n"
    assert text[: blocks[0].end].endswith("ls\n```\n")
    assert not is_open
    assert fenced_blocks("```\nls") == ([], True)
    assert fenced_blocks("no `block` here") == ([], False)


def test_blocks_of_answers_with_carriage_returns() -> None:
    blocks, _ = fenced_blocks("I look.\r\n```\r\nls -l\r\n```\r\nSo be it.\r\n")
    assert blocks[0].content == "ls -l\n"
    # Where only the text has them, they are meant.
    assert fenced_blocks("```\nx\r\n```\n")[0][0].content == "x\r\n"


def test_only_line_feeds_end_the_lines_of_blocks() -> None:
    assert fenced_blocks("```\na\x0c```\nb\u2028```\n```\n")[0][0].content == "a\x0c```\nb\u2028```\n"


@pytest.mark.timeout(20)
def test_long_runs_of_blanks_are_read_at_once() -> None:
    blanks = " " * 50_000
    assert fenced_blocks(f"```{blanks}x`\n") == ([], False)
    with pytest.raises(SolutionProblem, match="no path"):
        solution(f"FILE: {blanks}\0{blanks}x\n```\nx\n```")


TASK = TaskView(
    id="a/b", variant="full", description="", metric="m", direction="maximize", baseline=0.0,
    submission_files=("answer.csv",), baseline_script="solve.py",
)  # fmt: skip


def solution(text: str) -> tuple[str, dict[str, str], str | None]:
    found = parse_solution(ModelReply(text=text), TASK)
    return found.plan, found.files, found.command


def test_solutions() -> None:
    assert solution("A plan.\n\nFILE: solve.py\n```python\nx\n```\n") == (
        "A plan.", {"solve.py": "x\n"}, "python3 solve.py",
    )  # fmt: skip
    assert solution("**FILE:** `a/b.py`\n```\nx\n```\n### RUN:\n```\npython3 a/b.py\n```")[1:] == (
        {"a/b.py": "x\n"}, "python3 a/b.py",
    )  # fmt: skip
    assert solution("As in\n```\nexample\n```\nFILE: answer.csv\n```\n1\n```")[1:] == ({"answer.csv": "1\n"}, None)
    assert solution("__FILE:__ `__init__.py`\n```\nx\n```\nRUN:\n```\ntrue\n```")[1] == {"__init__.py": "x\n"}
    assert solution("FILE: _a_\r\n```\r\nx\r\n```\r\nRUN:\r\n```\r\ntrue\r\n```")[1] == {"_a_": "x\n"}
    assert solution("FILE: other.py\n\n````\n```\n````")[1:] == ({"other.py": "```\n"}, "python3 other.py")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Nothing.", "no file"),
        ("```\nx\n```", "no file"),
        ("FILE: a.py\n```\nx", "not closed"),
        ("FILE: /etc/a\n```\nx\n```", "no path"),
        ("FILE: ../a\n```\nx\n```", "no path"),
        ("FILE: \n```\nx\n```", "no path"),
        ("FILE: a\n```\nx\n```\nFILE: ./a\n```\ny\n```", "twice"),
        ("FILE: a\n```\nx\n```", "not clear what to run"),
        ("RUN:\n```\nx\n```\nFILE: a\n```\nx\n```\nRUN:\n```\ny\n```", "more than one RUN"),
        ("".join(f"FILE: {number}.py\n```\nx\n```\n" for number in range(11)), "11 files"),
    ],
)
def test_what_is_no_solution(text: str, says: str) -> None:
    with pytest.raises(SolutionProblem, match=says):
        solution(text)
