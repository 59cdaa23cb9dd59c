"""The scripted model server as a program: `python -m mlgym_core.testing.model_server`."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

PROGRAM = (sys.executable, "-m", "mlgym_core.testing.model_server")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file"),
        ("\n", "holds no answer"),
        ('"fine"\n{"tools": [', "line 2"),
        ('{"txt": "Hello"}', "unexpected keyword argument 'txt'"),
        ("3", "line 1"),
    ],
)
def test_a_file_without_answers_is_refused(tmp_path: Path, content: str | None, says: str) -> None:
    file = tmp_path / "answers.jsonl"
    if content is not None:
        file.write_text(content)
    done = subprocess.run([*PROGRAM, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr


def test_it_serves_answers_over_and_over(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_text('"one"\n{"text": "two"}\n')
    command = [*PROGRAM, str(file), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().split()[2].rstrip(";")
            asked = urllib.request.Request(f"{url}/chat/completions", data=b'{"messages": []}')
            said = []
            for _ in range(3):
                with urllib.request.urlopen(asked) as answer:
                    said.append(json.load(answer)["choices"][0]["message"]["content"])
            assert said == ["one", "two", "one"]
        finally:
            server.terminate()
