"""Snapshots as layers: nothing is copied, and still everything is independent."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlgym_core import Env, make
from mlgym_core.sandbox import overlays
from mlgym_core.sandbox.bwrap import BwrapSandbox
from mlgym_core.sandbox.overlays import overlays_work, stack_is_too_high
from mlgym_core.sandbox.scratch import scratch_root
from mlgym_core.settings import cache_dir

pytestmark = [
    pytest.mark.usefixtures("installed_examples"),
    pytest.mark.skipif(
        BwrapSandbox.unavailable_reason() is not None or not BwrapSandbox.layers_work(scratch_root()),
        reason="bwrap or overlays do not work here",
    ),
]


@pytest.fixture(autouse=True)
def no_layers_of_others() -> None:
    """Layers go with the last snapshot that needs them: those of other tests may be in cycles of garbage."""
    gc.collect()


@pytest.fixture
def env() -> Iterator[Env]:
    with make("examples/number", sandbox="bwrap", max_steps=1000, action_timeout=60) as env:
        env.reset()
        yield env


@pytest.fixture
def large() -> Iterator[Env]:
    with make("examples/large", sandbox="bwrap", max_steps=1000, action_timeout=60) as env:
        env.reset()
        yield env


def text(env: Env, command: str) -> str:
    return str(env.step(command)[0].text)


def layers() -> list[Path]:
    return list((cache_dir() / "scratch").glob(f"{os.getpid()}-*/layer-*"))


def inodes(folder: str) -> set[int]:
    return {path.stat().st_ino for layer in layers() for path in layer.glob(f"{folder}/**/*")}


def test_files_are_taken_over_and_not_copied(env: Env) -> None:
    env.step("mkdir data; echo content > data/file")
    [workspace] = (cache_dir() / "scratch").glob(f"{os.getpid()}-*/episode-*/workspace")
    before = (workspace / "data" / "file").stat().st_ino
    snapshot = env.snapshot()
    assert before in inodes("workspace")
    with env.fork(snapshot) as twin:
        assert text(twin, "cat data/file") == "content\n"
        assert len(layers()) == 1


def test_changes_above_a_layer_stay_above_it(env: Env) -> None:
    env.step(
        "mkdir -p a/b; for n in 1 2 3 4; do echo old > a/b/$n; done; ln -s 1 a/b/link; echo x > ~/home; echo y > /tmp/t"
    )
    snapshot = env.snapshot()
    changes = "rm a/b/1; echo new > a/b/2; mv a/b/3 a/b/moved; chmod 600 a/b/4; rm -rf ~/home; echo z >> /tmp/t"
    with env.fork(snapshot) as first, env.fork(snapshot) as second:
        first.step(changes)
        first.step("rm -rf a/b/link; mkdir a/b/link; touch a/b/link/within")
        assert text(first, "ls a/b; cat a/b/2 a/b/moved; ls ~; cat /tmp/t") == ("2\n4\nlink\nmoved\nnew\nold\ny\nz\n")
        for other in (env, second):
            listing = text(other, "ls a/b; cat a/b/*; stat -c %a a/b/4; cat ~/home /tmp/t")
            assert listing == "1\n2\n3\n4\nlink\n" + "old\n" * 5 + "644\nx\ny\n"
        deeper = first.snapshot()
        with first.fork(deeper) as third:
            assert text(third, "ls a/b a/b/link; cat /tmp/t") == "a/b:\n2\n4\nlink\nmoved\n\na/b/link:\nwithin\ny\nz\n"
            third.step("rm -rf a")
            assert text(third, "ls -d a 2>&1 | tail -n 1") == "ls: cannot access 'a': No such file or directory\n"
            third.restore(snapshot)
            assert text(third, "ls a/b; cat a/b/2") == "1\n2\n3\n4\nlink\nold\n"


def test_submissions_are_what_is_seen(env: Env) -> None:
    """They come from layers, through whiteouts and replaced folders, alive and after the end."""
    env.step("echo 0.25 > answer.txt")
    snapshot = env.snapshot()
    assert score(env) == 0.25
    with env.fork(snapshot) as twin:
        assert score(twin) == 0.25
        twin.step("echo 0.5 > answer.txt")
        assert score(twin) == 0.5
        twin.step({"tool": "submit"})
        assert twin.result is not None
        assert twin.result.final == 0.75
    with env.fork(snapshot) as twin:
        twin.step("rm answer.txt")
        assert score(twin) is None
        twin.step({"tool": "submit"})
        assert twin.result is not None
        assert twin.result.status == "invalid_submission"
        assert "There is no answer.txt" in str(twin.result.score and twin.result.score.reason)
    with env.fork(snapshot) as twin:
        twin.step("rm answer.txt; ln -s /etc/passwd answer.txt")
        assert score(twin) is None
    env.step({"tool": "submit"})
    assert env.result is not None
    assert env.result.final == 0.5


def score(env: Env) -> float | None:
    observation = env.step({"tool": "validate"})[0]
    assert observation.score is not None
    return observation.score.value


def test_large_public_files_show_through(large: Env) -> None:
    [workspace] = (cache_dir() / "scratch").glob(f"{os.getpid()}-*/episode-*/workspace")
    assert list(workspace.iterdir()) == []
    assert (
        text(large, "ls | xargs; ls data | wc -l; head -c 1 data/part-1 | od -An -c") == "answer.txt data\n20\n 001\n"
    )
    assert score(large) == 0.0
    large.step("rm data/part-1; echo x >> data/part-2; echo 0.5 > answer.txt")
    assert text(large, "ls data | wc -l; stat -c %s data/part-2") == "19\n1048578\n"
    snapshot = large.snapshot()
    with large.fork(snapshot) as twin:
        assert text(twin, "ls data | wc -l; stat -c %s data/part-2") == "19\n1048578\n"
        twin.step("mv data moved && rm moved/part-3")
        assert text(twin, "ls; ls moved | wc -l") == "answer.txt\nmoved\n18\n"
    large.step({"tool": "submit"})
    assert large.result is not None
    assert large.result.final == 0.75
    large.reset()
    assert text(large, "ls data | wc -l; stat -c %s data/part-2") == "20\n1048576\n"


def test_background_processes_go_on_and_are_not_carried(env: Env, large: Env) -> None:
    for each in (env, large):
        each.step("rm -f data/part-1; echo kept > kept")
        each.step("(while :; do date +%N > next; mv next tick; sleep 0.01; done) > /dev/null 2>&1 &")
        snapshot = each.snapshot()
        assert snapshot.background_processes >= 1
        first, second = (text(each, "cat tick; sleep 0.3") for _ in range(2))
        assert first != second
        with each.fork(snapshot) as twin:
            assert text(twin, "cat kept; ls data/part-1 2>/dev/null") == "kept\n"
            first, second = (text(twin, "cat tick; sleep 0.3") for _ in range(2))
            assert first == second
            assert twin.snapshot().background_processes == 0


def test_a_file_that_the_shell_has_open_stays_its_own(env: Env) -> None:
    env.step("exec 7> file; echo one >&7")
    snapshot = env.snapshot()
    env.step("echo two >&7")
    assert text(env, "cat file") == "one\ntwo\n"
    with env.fork(snapshot) as twin:
        assert text(twin, "cat file") == "one\n"


def test_many_snapshots_of_a_growing_stack(env: Env, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlays, "LONGEST_OPTIONS", 700)
    snapshots = []
    for number in range(12):
        env.step(f"echo {number} > file-{number}; rm -f file-{number - 2}; x={number}")
        snapshots.append(env.snapshot())
    assert text(env, "ls; echo $x") == "answer.txt\nfile-10\nfile-11\n11\n"
    assert any(len(snapshot._workplace.layers) == 1 for snapshot in snapshots[2:])
    for number in (1, 6, 11):
        with env.fork(snapshots[number]) as twin:
            assert text(twin, "ls; echo $x") == f"answer.txt\nfile-{number - 1}\nfile-{number}\n{number}\n".replace(
                "file-9\nfile-10", "file-10\nfile-9"
            )


def test_a_snapshot_without_changes_adds_nothing(env: Env) -> None:
    env.step("echo x > file")
    first = env.snapshot()
    pid = text(env, "echo $BASHPID $RANDOM_SEED_OF_MINE")
    second = env.snapshot()
    assert first._workplace.layers == second._workplace.layers
    assert text(env, "echo $BASHPID $RANDOM_SEED_OF_MINE") == pid


def test_layers_go_with_the_last_that_needs_them(env: Env) -> None:
    env.step("echo x > file")
    snapshot = env.snapshot()
    twin = env.fork(snapshot)
    env.close()
    del snapshot
    assert text(twin, "cat file") == "x\n"
    assert len(layers()) == 1
    twin.close()
    del twin
    assert layers() == []


def test_shell_state_survives_the_snapshot(env: Env) -> None:
    env.step(
        "cd /tmp; cd ~; export A=5; b=(1 2); f() { echo f; }; alias g=f; set -- one 'two three'; umask 027; set -u"
    )
    env.snapshot()
    env.step("echo changed > file")
    env.snapshot()
    assert text(env, "echo $A ${b[1]} $2; f; umask; pwd; cd - > /dev/null; pwd; case $- in *u*) echo unset;; esac") == (
        "5 2 two three\nf\n0027\n/home/agent\n/tmp\nunset\n"
    )


def test_state_that_is_hard_to_carry(env: Env) -> None:
    env.step("shopt -s extglob; unset PIP_NO_INDEX; export -n HOME; readonly r=1; declare -A m=([k]=v)")
    env.step("f() { case $1 in @(a|b)) echo one of them;; esac; }; x=$'two\\nlines'")
    env.step("g() { cat <<'END'\nset +o vi\ndeclare -x UID=\"7\"\nEND\n}")
    env.step("mkdir gone; cd gone; rmdir ../gone")
    snapshot = env.snapshot()
    look = 'f a; g; echo "$x"; echo $r ${m[k]} ${PIP_NO_INDEX-unset}; env | grep -c ^HOME='
    expected = 'one of them\nset +o vi\ndeclare -x UID="7"\ntwo\nlines\n1 v unset\n0\n'
    assert text(env, look) == expected
    with env.fork(snapshot) as twin:
        observation = twin.step(look)[0]
        assert observation.text == expected
        assert observation.cwd == "/workspace"


def test_file_tools_see_the_same_files(env: Env) -> None:
    env.step("echo one > file")
    env.snapshot()
    env.step({"tool": "edit_file", "arguments": {"path": "file", "old": "one", "new": "two"}})
    env.step({"tool": "write_file", "arguments": {"path": "folder/other", "content": "three\n"}})
    assert text(env, "cat file folder/other") == "two\nthree\n"
    assert "three" in env.step({"tool": "read_file", "arguments": {"path": "folder/other"}})[0].text


def test_no_overlays_without_bwrap_or_a_folder(tmp_path: Path) -> None:
    assert not overlays_work(None, tmp_path)
    assert not overlays_work("/bin/false", tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert not stack_is_too_high((tmp_path,), tmp_path)
    assert stack_is_too_high((tmp_path,) * 200, tmp_path)


def test_without_layers_files_are_copied(env: Env, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BwrapSandbox, "layers_work", classmethod(lambda cls, folder: False))
    with make("examples/large", sandbox="bwrap") as plain:
        plain.reset()
        plain.step("rm data/part-1; echo 0.5 > answer.txt; x=5")
        snapshot = plain.snapshot()
        with plain.fork(snapshot) as twin:
            assert text(twin, "ls data | wc -l; echo $x; cat answer.txt") == "19\n5\n0.5\n"
            assert score(twin) == 0.5
