"""The ledger of compute: it counts what runs, also what hides, and what gradings use stands apart."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from runners import Runner

from mlgym_core import CapabilityError, Env, EpisodeResult, Host, UsageError, make
from mlgym_core.accounts import recorded_compute
from mlgym_core.compute import ComputeLedger
from mlgym_core.sandbox import control_groups
from mlgym_core.sandbox.bwrap import BwrapSandbox
from mlgym_core.types import Compute

pytestmark = pytest.mark.usefixtures("installed_examples")

BURN = 0.4
"""Processor time that `burn.py` uses, in seconds."""
TICK = 0.02
"""What the process table may lose of it, in seconds."""
BURNING = f"import time\nwhile time.process_time() < {BURN}: pass\n"
FORKING = f"""
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel keeps no times of children then
if os.fork() == 0:
    start = time.process_time()
    while time.process_time() < start + {BURN}: pass
    os._exit(0)
time.sleep(2)
"""


def begin(env: Env) -> None:
    """Begin an episode with the programs of this module in its workspace."""
    env.reset()
    for name, content in (("burn.py", BURNING), ("fork.py", FORKING)):
        env.step({"tool": "write_file", "arguments": {"path": name, "content": content}})


def finish(env: Env) -> Compute:
    """Submit, and return what the result says."""
    env.step({"tool": "submit"})
    result: EpisodeResult | None = env.result
    assert result is not None
    assert result.compute is not None
    return result.compute


def seconds(compute: Compute) -> float:
    """Return the processor time."""
    assert compute.processor_s is not None
    return compute.processor_s


def test_what_commands_and_gradings_take(sandbox_name: str, tmp_path: Path) -> None:
    with make("examples/number", sandbox=sandbox_name, runs_dir=tmp_path) as env:
        begin(env)
        env.step("python3 burn.py")
        env.step("sleep 0.3")
        compute = finish(env)
    assert seconds(compute) > BURN - TICK
    assert compute.processor_counter is not None
    assert compute.command_s > BURN + 0.3 - TICK
    assert compute.grading_s > 0
    assert (compute.devices, compute.device_s) == (0, None)
    [path] = tmp_path.glob("*/episodes/*/trajectory.jsonl")
    end = json.loads(path.read_text().splitlines()[-1])
    assert (end["type"], end["compute"]) == ("end", compute.model_dump(mode="json"))
    assert recorded_compute(path.parents[2]) == pytest.approx(compute.processor_s, abs=0.001)


HIDING = {
    "leaves-its-session-and-its-parent": "setsid bash -c 'python3 burn.py &' > /dev/null 2>&1; sleep 2",
    "is-waited-for-by-nobody": "python3 fork.py",
    "is-killed": "(python3 burn.py; sleep 1000) & sleep 2; kill -9 $!",
    "ends-with-the-shell": "python3 burn.py; exit",
    "is-ended-with-a-shell-that-ends": "python3 burn.py & sleep 2; kill -9 $$",
}


@pytest.mark.parametrize("hiding", HIDING.values(), ids=HIDING)
def test_nothing_hides(isolated_sandbox: str, host: Host, hiding: str) -> None:
    counter = host.sandboxes.load(isolated_sandbox).processor_time_counter()
    if counter is None or not counter.startswith("control group"):
        pytest.skip(f"{isolated_sandbox} has no control groups here")
    with make("examples/number", sandbox=isolated_sandbox) as env:
        begin(env)
        env.step(hiding)
        assert seconds(finish(env)) > BURN


@pytest.fixture
def no_control_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nobody may make control groups, as far as the sandbox knows."""
    monkeypatch.setattr(control_groups, "_counter", lambda: None)
    monkeypatch.setattr(control_groups, "_hierarchies", dict)


@pytest.mark.usefixtures("no_control_groups")
@pytest.mark.parametrize(
    "command", ["python3 burn.py", HIDING["leaves-its-session-and-its-parent"], "python3 burn.py; exit"]
)
def test_without_control_groups_the_process_table_tells(command: str) -> None:
    if BwrapSandbox.unavailable_reason() is not None:
        pytest.skip("bwrap does not work here")
    with make("examples/number", sandbox="bwrap") as env:
        begin(env)
        env.step(command)
        compute = finish(env)
    assert seconds(compute) > BURN - TICK
    assert compute.processor_counter is not None
    assert compute.processor_counter.startswith("process table")


def test_forks_and_what_was_brought_back_count(sandbox_name: str) -> None:
    with make("examples/number", sandbox=sandbox_name) as env:
        begin(env)
        snapshot = env.snapshot()
        env.step("python3 burn.py")
        env.restore(snapshot)
        with env.fork(snapshot) as twin:
            twin.step("python3 burn.py")
            assert seconds(finish(twin)) > BURN - TICK
        assert seconds(finish(env)) > 2 * (BURN - TICK)


def test_a_command_that_uses_too_much_is_ended(sandbox_name: str) -> None:
    with make("examples/number", sandbox=sandbox_name, max_processor_time=0.5, action_timeout=120) as env:
        env.reset()
        observation, _, terminated, truncated, info = env.step("echo 1 > answer.txt; while :; do :; done")
        assert (terminated, truncated) == (False, True)
        assert (info["exit_reason"], info["limit"]) == ("max_time", "max_processor_time")
        assert "[The command was ended, and so were its processes: max_processor_time is reached" in observation.text
        assert not observation.timed_out
        assert env.result is not None
        assert env.result.final == 1.25


def test_what_is_used_between_the_steps_counts(isolated_sandbox: str) -> None:
    with make("examples/number", sandbox=isolated_sandbox, max_processor_time=0.3) as env:
        begin(env)
        assert env.step("setsid python3 burn.py > /dev/null 2>&1 &")[2:4] == (False, False)
        deadline = time.monotonic() + 60
        while not (done := env.step("true"))[3]:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert done[4]["limit"] == "max_processor_time"


def test_forks_have_one_limit_together(sandbox_name: str) -> None:
    with make("examples/number", sandbox=sandbox_name, max_processor_time=0.6) as env:
        begin(env)
        snapshot = env.snapshot()
        env.step("python3 burn.py")
        with env.fork(snapshot) as twin:
            assert twin.step("python3 burn.py; python3 burn.py")[4]["limit"] == "max_processor_time"


def test_where_nothing_counts_there_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BwrapSandbox, "processor_time_counter", classmethod(lambda _: None))
    monkeypatch.setattr(BwrapSandbox, "processor_seconds", lambda _: None)
    with pytest.raises(CapabilityError, match="cannot count processor time"):
        make("examples/number", sandbox="bwrap", max_processor_time=60)
    with make("examples/number", sandbox="bwrap") as env:
        env.reset()
        compute = finish(env)
    # Unknown is unknown, never 0.
    assert (compute.processor_s, compute.processor_counter) == (None, None)


def test_devices_count_as_long_as_commands_run() -> None:
    whole = ComputeLedger(lambda: 3.0, counter="control group", devices=2)
    fork = ComputeLedger(lambda: 1.0, counter="control group", devices=2, origin=whole)
    for ledger in (whole, fork):
        ledger.begin_command()
        time.sleep(0.01)
        ledger.end_command()
    used = whole.used()
    assert used.processor_s == 4.0
    assert used.devices == 2
    assert used.device_s == pytest.approx(2 * used.command_s, abs=1e-5)
    assert used.command_s > fork.used().command_s > 0
    # One of them is unknown: so is the sum.
    ComputeLedger(lambda: None, counter=None, devices=2, origin=whole)
    assert whole.used().processor_s is None
    assert whole.exhausted(0.1) is None


def test_limits_that_cannot_be_meant() -> None:
    with pytest.raises(UsageError, match="max_processor_time is 0"):
        make("examples/number", sandbox="process", max_processor_time=0)


@pytest.mark.slow
def test_a_runner_that_is_killed_leaves_what_was_used(sandbox_name: str, tmp_path: Path) -> None:
    with Runner(sandbox_name, tmp_path) as runner:
        # It comes to an end: in `process` nothing ends it with its runner.
        runner.tell("while ((SECONDS < 60)); do :; done")

        def last() -> dict[str, Any]:
            events = [
                json.loads(line)
                for path in tmp_path.glob("runs/*/episodes/*/trajectory.jsonl")
                for line in path.read_text().splitlines()
            ]
            return dict(events[-1])

        deadline = time.monotonic() + 120
        while last()["type"] != "compute":
            assert time.monotonic() < deadline
            time.sleep(0.2)
        runner.process.kill()
        assert last()["processor_s"] > 0
        assert last()["command_s"] > 0
        [run] = tmp_path.glob("runs/*")
        assert recorded_compute(run) == pytest.approx(last()["processor_s"], abs=0.001)
