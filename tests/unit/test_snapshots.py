"""Snapshots, forks and restores of episodes."""

from __future__ import annotations

import json
import os
import weakref
from pathlib import Path

import pytest

from mlgym_core import EpisodeOver, make, make_async
from mlgym_core.settings import cache_dir

pytestmark = pytest.mark.usefixtures("installed_examples")

VALIDATE = {"tool": "validate"}
SUBMIT = {"tool": "submit"}


def test_files_and_shell_come_back(sandbox_name: str) -> None:
    with make("examples/number", sandbox=sandbox_name) as env:
        env.reset()
        env.step("echo 0.5 > answer.txt; mkdir -p sub; ln -s ../answer.txt sub/link; chmod 700 sub; echo home > ~/file")
        env.step(
            "x='a b'; declare -A map=([k]=v); f() { echo \"f $x\"; }; alias g=f; set -o noclobber; cd sub; export Y=6"
        )
        snapshot = env.snapshot()
        env.step("cd ..; rm -rf sub; echo 0.9 >| answer.txt; unset x; unset -f f; rm ~/file; touch new")
        observation = env.restore(snapshot)
        assert observation.text == snapshot.observation.text
        assert env.step("echo $x ${map[k]} $Y; f; g; cat link ~/file; ls ..")[0].text == (
            "a b v 6\nf a b\nf a b\n0.5\nhome\nanswer.txt\nsub\n"
        )
        assert env.step("pwd")[0].text.endswith("/sub\n")
        assert env.step("echo x > ../answer.txt")[0].exit_code == 1
        assert env.step("bash -c 'echo $Y'; stat -c %a .")[0].text == "6\n700\n"
        # A snapshot can be used again.
        env.step("rm link")
        env.restore(snapshot)
        assert env.step("cat link")[0].text == "0.5\n"


def test_forks_are_independent(sandbox_name: str) -> None:
    with make("examples/number", sandbox=sandbox_name, max_steps=20) as env:
        env.reset(seed=4)
        env.step("echo 0.5 > answer.txt; x=1")
        assert env.step(VALIDATE)[1] == pytest.approx(0.5)
        snapshot = env.snapshot()
        with env.fork(snapshot) as twin:
            env.step("x=2; echo 0.1 > answer.txt")
            observation = twin.step("echo $x; cat answer.txt; x=3; echo 0.75 > answer.txt")[0]
            assert observation.text == "1\n0.5\n"
            assert observation.steps_left == 20 - 3
            assert env.step("echo $x; cat answer.txt")[0].text == "2\n0.1\n"
            # The rewards of each branch add up to what it submits, those before the fork included.
            assert twin.step(SUBMIT)[1] == pytest.approx(1.0 - 0.5)
            assert env.step(SUBMIT)[1] == pytest.approx(0.35 - 0.5)
            assert twin.result is not None
            assert env.result is not None
            assert twin.result.return_ == pytest.approx(1.0)
            assert env.result.return_ == pytest.approx(0.35)
            assert twin.result.seed == env.result.seed == 4
            assert twin.result.score is not None
            assert env.result.score is not None
            assert twin.result.score.metrics["seed"] == env.result.score.metrics["seed"]


def test_forking_yields_no_further_validations() -> None:
    with make("examples/number", max_validations=3) as env:
        env.reset()
        snapshot = env.snapshot()
        env.step(VALIDATE)
        with env.fork(snapshot) as one, env.fork(snapshot) as other:
            assert not one.step(VALIDATE)[0].error
            assert "Validations left: 0" in other.step(VALIDATE)[0].text
            for branch in (env, one, other):
                assert branch.step(VALIDATE)[0].error
        env.restore(snapshot)
        assert env.step(VALIDATE)[0].error


def test_restoring_pays_nothing_twice() -> None:
    with make("examples/number") as env:
        env.reset()
        snapshot = env.snapshot()
        rewards = []
        for _ in range(2):
            env.step("echo 0.5 > answer.txt")
            rewards.append(env.step(VALIDATE)[1])
            env.restore(snapshot)
        rewards.append(env.step(SUBMIT)[1])
        assert rewards == pytest.approx([0.5, 0.0, -0.25])


def test_background_processes_stay_behind() -> None:
    with make("examples/number") as env:
        env.reset()
        env.step("(while :; do date +%N > tick; sleep 0.01; done) & disown; sleep 0.1")
        snapshot = env.snapshot()
        with env.fork(snapshot) as twin:
            twin.step("cat tick > before; sleep 0.2")
            assert twin.step("cmp tick before && echo still")[0].text == "still\n"
        assert env.step("cat tick > before; sleep 0.3; cmp -s tick before || echo ticking")[0].text == "ticking\n"


def test_errexit_and_traps_are_carried_without_ending_the_shell() -> None:
    with make("examples/number") as env:
        env.reset()
        env.step("trap 'echo bye' USR1; set -e; true")
        snapshot = env.snapshot()
        with env.fork(snapshot) as twin:
            assert twin.step("trap -p USR1")[0].text == "trap -- 'echo bye' SIGUSR1\n"
            assert "A new one was started" in twin.step("false")[0].text


def test_odd_files_are_carried() -> None:
    with make("examples/number") as env:
        env.reset()
        env.step("mkdir $'a\\xff\\nb'; cd $'a\\xff\\nb'; touch $'c\\xfe'; mkfifo pipe; ln -s /nowhere dangling")
        with env.fork(env.snapshot()) as twin:
            assert twin.step("ls | wc -l; test -p pipe && readlink dangling")[0].text == "3\n/nowhere\n"
            assert twin.step("cd ..; ls -d *b")[0].text == "a\\xff\nb\n"


def test_forks_are_recorded(tmp_path: Path) -> None:
    with make("examples/number", runs_dir=tmp_path) as env:
        env.reset()
        env.step("true")
        snapshot = env.snapshot()
        with env.fork(snapshot) as twin:
            twin.step(SUBMIT)
            assert twin.result is not None
            events = [
                json.loads(line) for line in Path(twin.result.dir or "", "trajectory.jsonl").read_text().splitlines()
            ]
    assert events[0]["type"] == "reset"
    assert events[0]["origin"] == {"episode_id": snapshot.episode_id, "step": 1}
    assert twin.result.episode_id != snapshot.episode_id


def test_snapshots_leave_no_files() -> None:
    def folders() -> set[Path]:
        return set((cache_dir() / "scratch").glob(f"{os.getpid()}-*/layer-*"))

    before = folders()
    with make("examples/number") as env:
        env.reset()
        snapshot = env.snapshot()
        alive = weakref.ref(snapshot)
        assert len(folders() - before) == 1
        del snapshot
        assert alive() is None
    assert folders() <= before


def test_a_snapshot_needs_an_episode() -> None:
    with make("examples/number") as env, pytest.raises(EpisodeOver):
        env.snapshot()


async def test_the_asynchronous_face() -> None:
    async with make_async("examples/number") as env:
        await env.reset()
        snapshot = await env.snapshot()
        async with await env.fork(snapshot) as twin:
            assert (await twin.step("cat answer.txt"))[0].text == "0"


def test_what_is_graded_if_nothing_is_submitted(sandbox_name: str, tmp_path: Path) -> None:
    with make("examples/number", sandbox=sandbox_name, max_steps=3, runs_dir=tmp_path) as env:
        env.reset()
        env.step("echo 0.5 > answer.txt")
        snapshot = env.snapshot()
        env.fall_back_on(snapshot)
        # Whatever happened to files and shell since.
        env.step("echo nothing > answer.txt; exec 2>&-; cd /; chmod 000 ~")
        observation, reward, _, truncated, _ = env.step("sleep 100 & cat")
        assert truncated
        result = env.result
        assert result is not None
        assert (result.status, result.exit_reason, result.final) == ("completed", "max_steps", 0.75)
        assert result.return_ == pytest.approx(0.75)
        assert reward == pytest.approx(0.75)
        folder = Path(result.dir or "")
        assert (folder / "submission" / "answer.txt").read_text() == "0.5\n"
        events = [json.loads(line) for line in (folder / "trajectory.jsonl").read_text().splitlines()]
    assert [event["origin"] for event in events if event["type"] == "reset"] == [
        None,
        {"episode_id": snapshot.episode_id, "step": 1},
    ]
    assert observation.steps_left == 0


def test_a_submission_is_what_is_in_the_workspace() -> None:
    with make("examples/number", max_steps=5) as env:
        env.reset()
        env.step("echo 0.5 > answer.txt")
        env.fall_back_on(env.snapshot())
        env.step("echo 0.1 > answer.txt")
        env.step(SUBMIT)
        assert env.result is not None
        assert env.result.final == 0.35


def test_what_to_fall_back_on_can_be_taken_back_and_is_not_inherited() -> None:
    with make("examples/number", max_steps=2) as env:
        env.reset()
        env.step("echo 0.5 > answer.txt")
        snapshot = env.snapshot()
        env.fall_back_on(snapshot)
        with env.fork(snapshot) as twin:
            twin.step("echo 0.1 > answer.txt")
            assert twin.result is not None
            assert twin.result.final == 0.35
        env.fall_back_on(None)
        env.step("echo 0.1 > answer.txt")
        assert env.result is not None
        assert env.result.final == 0.35
        with pytest.raises(EpisodeOver):
            env.fall_back_on(snapshot)
