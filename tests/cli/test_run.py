"""`mlgym run`, `resume` and `grade`, as a person or a program calls them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlgym_core.sandbox.spawning import with_interrupts

SUPPORT = Path(__file__).parents[1] / "support"
ROOT = Path(__file__).parents[2]
SUBMIT = '{"tool": "submit"}'
VALIDATE = '{"tool": "validate"}'

Finished = subprocess.CompletedProcess[str]


class CommandLine:
    """The command line in a folder of its own, with the small tasks installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        metadata = folder / "site" / "examples-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: examples\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text("[mlgym]\nexamples = installed_example_plugin\n")
        source = "from example_plugin import ExamplePlugin\nfrom mlgym_core import hookimpl\nMLGYM_API = 1\n"
        source += "@hookimpl\ndef mlgym_tasks():\n    yield from ExamplePlugin().mlgym_tasks()\n"
        (folder / "site" / "installed_example_plugin.py").write_text(source)
        paths = [str(folder / "site"), str(SUPPORT), str(ROOT)]
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("MLGYM_")}
        self.environment |= {"PYTHONPATH": os.pathsep.join(paths), "MLGYM_CACHE_DIR": str(folder / "cache")}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `mlgym` and return at once."""
        command = [sys.executable, "-c", "from mlgym_core.cli import main; main()", *arguments]
        return subprocess.Popen(
            # Also where the tests themselves run in the background, with interrupts ignored.
            with_interrupts(command),
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def __call__(self, *arguments: str) -> Finished:
        """Run `mlgym` to its end."""
        process = self.start(*arguments)
        output, error = process.communicate(timeout=120)
        return subprocess.CompletedProcess(arguments, process.returncode, output, error)

    def script(self, *actions: str) -> str:
        """Write a script of actions (JSON texts) and return the option that plays it."""
        path = self.folder / "script.jsonl"
        path.write_text("\n".join(actions) + "\n")
        return f"file={path}"


@pytest.fixture
def mlgym(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def lines(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_a_run_for_programs(mlgym: CommandLine) -> None:
    done = mlgym(
        "run", "examples/number", "--agent", "baseline", "--repeat", "2", "--parallel", "2", "--json", "--run-id", "r1"
    )
    assert done.returncode == 0, done.stderr
    *episodes, run = lines(done.stdout)
    assert run == {"run_id": "r1", "episodes": 2, "completed": 2, "failed": 0, "dir": str(mlgym.folder / "runs" / "r1")}
    assert {episode["repeat"] for episode in episodes} == {0, 1}
    for episode in episodes:
        keys = (
            "schema episode_id task task_version data_hash variant protocol reward sandbox agent model seed repeat "
            "started_at error status exit_reason limit steps score best_validation final return validations cost_usd "
            "tokens wall_s compute integrity dir"
        )
        assert set(episode) == set(keys.split())
        assert episode["status"] == "completed"
        assert episode["cost_usd"] is None
        recorded = json.loads(Path(episode["dir"], "episode.json").read_text())
        assert recorded == episode
    # Repeats are different draws.
    assert len({episode["score"]["metrics"]["seed"] for episode in episodes}) == 2
    document = json.loads((mlgym.folder / "runs" / "r1" / "run.json").read_text())
    assert document["plan"]["tasks"] == ["examples/number"]


def test_a_run_for_people(mlgym: CommandLine) -> None:
    done = mlgym("run", "examples/number", "--agent", "baseline")
    assert done.returncode == 0
    for word in ("task", "agent", "baseline", "validation best", "final score", "normalised", "steps", "time"):
        assert word in done.stdout
    assert "Recorded in" in done.stderr


def test_agents_with_options(mlgym: CommandLine) -> None:
    option = mlgym.script('"echo 0.5 > answer.txt"', VALIDATE, SUBMIT)
    done = mlgym("run", "examples/number", "--agent", "script", "-A", option, "--json")
    assert lines(done.stdout)[0]["final"] == 0.75
    assert lines(done.stdout)[0]["best_validation"] == 0.5
    assert lines(done.stdout)[0]["return"] == 0.75


def test_an_agent_that_stops_is_graded(mlgym: CommandLine) -> None:
    done = mlgym("run", "examples/number", "--agent", "script", "-A", mlgym.script('"echo 1 > answer.txt"'), "--json")
    assert lines(done.stdout)[0]["exit_reason"] == "agent_exit"
    assert lines(done.stdout)[0]["final"] == 1.25


def test_an_invalid_submission_is_a_result(mlgym: CommandLine) -> None:
    option = mlgym.script('"rm answer.txt"', SUBMIT)
    done = mlgym("run", "examples/number", "--agent", "script", "-A", option, "--json")
    assert done.returncode == 0
    episode, run = lines(done.stdout)
    assert episode["status"] == "invalid_submission"
    assert "no answer.txt" in episode["score"]["reason"]
    assert episode["return"] == -0.1
    assert run["completed"] == 1


def test_a_broken_grader_fails_the_run_after_another_try(mlgym: CommandLine) -> None:
    done = mlgym("run", "examples/broken", "--agent", "baseline", "--json", "--run-id", "r")
    assert done.returncode == 1
    episode, run = lines(done.stdout)
    assert episode["status"] == "infrastructure_failure"
    assert episode["return"] is None
    assert "a bug in the grader" in episode["error"]
    assert run["failed"] == 1
    assert json.loads(Path(episode["dir"], "attempts", "1", "episode.json").read_text())["status"] == episode["status"]
    assert "a bug in the grader" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_agent_that_breaks_fails_its_episode(mlgym: CommandLine) -> None:
    done = mlgym("run", "examples/number", "--agent", "script", "-A", "file=missing.jsonl", "--json")
    assert done.returncode == 1
    assert "missing.jsonl cannot be read" in lines(done.stdout)[0]["error"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["examples/numbr", "--agent", "baseline"], "Did you mean 'examples/number'"),
        (["examples/number", "--agent", "basline"], "Did you mean 'baseline'"),
        (["examples/number", "--agent", "baseline", "--sandbox", "bwarp"], "Did you mean 'bwrap'"),
        (["examples/number"], "--agent"),
        (["--agent", "baseline"], "at least one task"),
        (["--suite", "no-suite", "--agent", "baseline"], "There is no suite 'no-suite'"),
        (["examples/number", "--agent", "script"], "file: Field required"),
        (["examples/number", "--agent", "baseline", "-A", "x=1"], "option x"),
        (["examples/number", "--agent", "baseline", "-A", "x"], "key=value"),
        (
            ["examples/number", "--agent", "tuner", "-A", "validations=many"],
            "validations: Input should be",
        ),
        (["examples/number", "--agent", "baseline", "--max-time", "soon"], "is not a time"),
        (["examples/number", "--agent", "baseline", "--max-steps", "0"], "max-steps"),
        (["examples/number", "--agent", "baseline", "--variant", "huge"], "It has: full"),
        (["examples/number", "--agent", "baseline", "--tools", "bash,sumbit"], "Did you mean 'submit'"),
        (["examples/number", "--agent", "baseline", "--run-id", "../up"], "not a run id"),
        (["examples/number", "--agent", "baseline", "--agent", "baseline"], "named twice"),
    ],
)
def test_bad_usage_is_named(mlgym: CommandLine, arguments: list[str], says: str) -> None:
    done = mlgym("run", *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (mlgym.folder / "runs").exists()


def test_a_run_is_not_overwritten(mlgym: CommandLine) -> None:
    arguments = ("run", "examples/number", "--agent", "baseline", "--run-id", "same")
    assert mlgym(*arguments).returncode == 0
    done = mlgym(*arguments)
    assert done.returncode == 2
    assert "resume it" in done.stderr


def test_settings_come_from_flags_then_variables_then_the_file(mlgym: CommandLine) -> None:
    (mlgym.folder / "mlgym.toml").write_text('[run]\nseed = 1\nagent = ["baseline"]\nrepeat = 2\n')
    mlgym.environment["MLGYM_RUN_SEED"] = "2"
    episodes = lines(mlgym("run", "examples/number", "--json").stdout)[:-1]
    assert [episode["seed"] for episode in episodes] == [2, 2]
    episodes = lines(mlgym("run", "examples/number", "--json", "--seed", "3").stdout)[:-1]
    assert [episode["seed"] for episode in episodes] == [3, 3]


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def sandbox_processes(folder: Path) -> list[str]:
    """Return the command lines of the processes that use this folder's cache."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                command = Path("/proc", entry, "cmdline").read_bytes()
            except OSError:
                continue
            if str(folder / "cache").encode() in command:
                found.append(command.replace(b"\0", b" ").decode(errors="replace"))
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_a_readable_record_and_no_process(mlgym: CommandLine, number: signal.Signals) -> None:
    option = mlgym.script('"touch reached; sleep 1000 & sleep 1000"', SUBMIT)
    process = mlgym.start("run", "examples/number", "--agent", "script", "-A", option, "--run-id", "r", "--repeat", "2")
    workspaces = mlgym.folder / "cache" / "scratch"
    wait_until(lambda: list(workspaces.glob("*/episode-*/workspace/reached")))
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    wait_until(lambda: not sandbox_processes(mlgym.folder), 20)
    episodes = mlgym.folder / "runs" / "r" / "episodes"
    [episode] = episodes.iterdir()
    events = lines((episode / "trajectory.jsonl").read_text())
    assert [event["type"] for event in events[:2]] == ["reset", "action"]
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert "mlgym resume" in error
        assert "Traceback" not in error
        assert json.loads((episode / "episode.json").read_text())["status"] == "interrupted"
        assert list(workspaces.glob("*/episode-*")) == []
    else:
        assert not (episode / "episode.json").exists()
        assert [path.name for path in episode.iterdir()] == ["trajectory.jsonl"]
    # Resuming plays both episodes, keeps the earlier attempt, and clears away what the dead process left.
    mlgym.script('"echo 1 > answer.txt"', SUBMIT)
    done = mlgym("resume", "r", "--json")
    assert done.returncode == 0, done.stderr
    *results, run = lines(done.stdout)
    assert [result["final"] for result in results] == [1.25, 1.25]
    assert run["completed"] == 2
    assert (episode / "attempts" / "1" / "trajectory.jsonl").exists()
    assert list(workspaces.glob("*/episode-*")) == []
    before = (episode / "episode.json").read_text()
    again = mlgym("resume", "r", "--json")
    assert again.returncode == 0
    assert len(lines(again.stdout)) == 1
    assert (episode / "episode.json").read_text() == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_interrupted_while_grading(mlgym: CommandLine, number: signal.Signals) -> None:
    option = mlgym.script(SUBMIT)
    process = mlgym.start("run", "examples/patient", "--agent", "script", "-A", option, "--run-id", "r")
    wait_until(lambda: [line for line in sandbox_processes(mlgym.folder) if "grader_process" in line])
    process.send_signal(number)
    process.communicate(timeout=60)
    wait_until(lambda: not sandbox_processes(mlgym.folder), 20)
    [episode] = (mlgym.folder / "runs" / "r" / "episodes").iterdir()
    assert lines((episode / "trajectory.jsonl").read_text())[1]["type"] == "action"
    if number != signal.SIGKILL:
        assert json.loads((episode / "episode.json").read_text())["status"] == "interrupted"
    else:
        assert not (episode / "episode.json").exists()


def test_a_run_that_is_being_played_cannot_be_resumed(mlgym: CommandLine) -> None:
    option = mlgym.script('"touch reached; sleep 1000"')
    process = mlgym.start("run", "examples/number", "--agent", "script", "-A", option, "--run-id", "r")
    wait_until(lambda: list((mlgym.folder / "cache" / "scratch").glob("*/episode-*/workspace/reached")))
    done = mlgym("resume", "r")
    assert done.returncode == 2
    assert "Another process" in done.stderr
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def test_resume_names_what_it_cannot_find(mlgym: CommandLine) -> None:
    done = mlgym("resume", "missing")
    assert done.returncode == 2
    assert "run.json" in done.stderr


def test_grade_outside_an_episode(mlgym: CommandLine) -> None:
    folder = mlgym.folder / "mine"
    folder.mkdir()
    (folder / "answer.txt").write_text("0.5")
    done = mlgym("grade", "examples/number", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    score = json.loads(done.stdout)
    keys = (
        "task variant split protocol valid reason metrics primary value direction normalized baseline reference flags"
    )
    assert set(score) == set(keys.split())
    assert score["value"] == 0.75
    assert (
        json.loads(mlgym("grade", "examples/number", "mine", "--split", "validation", "--json").stdout)["value"] == 0.5
    )
    assert "value" in mlgym("grade", "examples/number", "mine").stdout
    (folder / "answer.txt").write_text("abc")
    done = mlgym("grade", "examples/number", "mine", "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["valid"] is False
    (folder / "answer.txt").unlink()
    done = mlgym("grade", "examples/number", "mine")
    assert done.returncode == 3
    assert "no answer.txt" in done.stderr
    assert mlgym("grade", "examples/number", "nowhere").returncode == 2
    assert mlgym("grade", "examples/broken", "mine").returncode == 3
    (folder / "answer.txt").write_text("1")
    assert mlgym("grade", "examples/broken", "mine").returncode == 1


def test_doctor(mlgym: CommandLine) -> None:
    done = mlgym("doctor", "--json")
    findings = {finding["name"]: finding for finding in json.loads(done.stdout)}
    assert findings["plugin examples"]["status"] == "ok"
    assert findings["sandbox process"]["status"] == "ok"
    assert done.returncode == (0 if findings["sandbox auto"]["status"] == "ok" else 1)
    for finding in findings.values():
        assert finding["status"] == "ok" or finding["remedy"]
    assert "sandbox bwrap" in mlgym("doctor").stdout
    if findings["sandbox bwrap"]["status"] == "ok":
        assert "disk: looked at" in findings["limits bwrap"]["detail"]
        assert findings["snapshots bwrap"]["detail"]


def test_prepare(mlgym: CommandLine) -> None:
    done = mlgym("prepare", "examples/number", "examples/large", "--sandbox", "process")
    assert done.returncode == 0
    assert "examples/number (full) is ready" in done.stdout
    assert "21.0 MB of files, sandbox process" in done.stdout
    assert "Preparing examples/large (once)" in done.stderr
    assert "Preparing" not in mlgym("prepare", "examples/large", "--sandbox", "process").stderr
    assert mlgym("prepare").returncode == 2
    done = mlgym("prepare", "examples/numbr")
    assert done.returncode == 2
    assert "Did you mean 'examples/number'" in done.stderr
    done = mlgym("prepare", "examples/gpu", "--sandbox", "process")
    assert done.returncode == 2
    assert "cannot give processes a graphics processor" in done.stderr


def test_a_person_plays(mlgym: CommandLine) -> None:
    command = [sys.executable, "-c", "from mlgym_core.cli import main; main()"]
    said = "echo 0.5 > answer.txt\n:validate\n:tools\n:nonsense\n"
    said += ':call read_file {"path": "answer.txt"}\n:call bash {\n:submit\n'
    done = subprocess.run(
        [*command, "run", "examples/number", "--agent", "human", "--json"],
        cwd=mlgym.folder,
        env=mlgym.environment,
        input=said,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert lines(done.stdout)[0]["final"] == 0.75
    for expected in ("Write a number", "value = 0.5", "edit_file:", "There is no :nonsense", "0.5", "not JSON"):
        assert expected in done.stderr


def test_clean_removes_what_a_killed_run_left(mlgym: CommandLine) -> None:
    option = mlgym.script('"touch reached; mkdir -p a/b; chmod 000 a; sleep 1000"')
    process = mlgym.start("run", "examples/number", "--agent", "script", "-A", option)
    scratch = mlgym.folder / "cache" / "scratch"
    wait_until(lambda: list(scratch.glob("*/episode-*/workspace/reached")))
    assert "Removed 0 abandoned" in mlgym("clean").stdout
    process.kill()
    process.communicate()
    wait_until(lambda: not sandbox_processes(mlgym.folder), 20)
    assert "Removed 1 abandoned temporary folder." in mlgym("clean").stdout
    assert list(scratch.iterdir()) == []
    groups = [path for path in Path("/sys/fs/cgroup").glob("*/**/mlgym-*") if f"mlgym-{process.pid}-" in path.name]
    assert groups == []
    done = mlgym("clean", "--all")
    assert done.returncode == 0
    assert not (mlgym.folder / "cache" / "prepared").exists()
    assert mlgym("run", "examples/number", "--agent", "baseline").returncode == 0


def test_prompts_can_be_shown_without_playing(mlgym: CommandLine) -> None:
    done = mlgym("run", "examples/number", "--agent", "baseline", "--show-prompt", "--sandbox", "process")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "=== examples/number, baseline\nThis agent shows nothing to a language model.\n"
    assert not list(mlgym.folder.rglob("run.json"))
    done = mlgym("run", "examples/number", "--agent", "no-such-agent", "--show-prompt")
    assert done.returncode == 2
