"""The plugin against Gymnasium's own checks and vector environments, with real tasks."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

import mlgym_gymnasium
from mlgym_core.sandbox.bwrap import BwrapSandbox
from mlgym_gymnasium.spaces import UnicodeText

BLOTTO = "mlgym_gymnasium:mlgym/games-blotto-v0"
BATTLE = "mlgym_gymnasium:mlgym/games-battle-of-sexes-v0"
SUBMIT = '{"tool": "submit"}'

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BwrapSandbox.unavailable_reason() is not None, reason="bwrap does not work here"),
]


def environment(name: str = BATTLE, **options: Any) -> gymnasium.Env[str, str]:
    return gymnasium.make(name, **options)


def test_there_is_an_id_for_each_task() -> None:
    ids = mlgym_gymnasium.register_installed_tasks()
    assert {"mlgym/games-blotto-v0", "mlgym/games-battle-of-sexes-v0", "mlgym/games-prisoners-dilemma-v0"} <= set(ids)
    assert all(gymnasium.spec(name).nondeterministic for name in ids)


def test_gymnasiums_own_check() -> None:
    env = gymnasium.make(BLOTTO, disable_env_checker=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # The check resets and steps the bare environment; texts are not for it to judge.
        warnings.filterwarnings("ignore", message=".*is not a standard.*|.*custom.*|.*observation space.*")
        check_env(env.unwrapped, skip_render_check=True)
    env.close()


def test_an_episode() -> None:
    env = environment(max_steps=5)
    text, info = env.reset(seed=4)
    assert "row player" in text
    assert info["seed"] == 4
    assert info["steps_left"] == 5
    text, reward, terminated, truncated, info = env.step("echo grüße 🙂; exit_with() { return 3; }; exit_with")
    assert text == "grüße 🙂\n"
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert info["exit_code"] == 3
    text, reward, terminated, truncated, info = env.step(SUBMIT)
    assert terminated
    assert not truncated
    assert isinstance(reward, float)
    assert abs(reward) < 0.1
    assert info["score"]["split"] == "test"
    env.close()


def test_braces_are_a_command_unless_they_are_a_call() -> None:
    env = environment()
    env.reset()
    assert env.step("{ echo here; }")[0] == "here\n"
    env.close()


def test_infos_and_observations_are_fresh_each_time() -> None:
    env = environment()
    env.reset()
    first, second = env.step("true")[4], env.step("true")[4]
    assert first is not second
    first["steps_left"] = "changed"
    assert second["steps_left"] != "changed"
    env.close()


def test_long_texts_stay_in_the_space() -> None:
    env = environment()
    env.reset()
    text, *_ = env.step("seq 1 1000000")
    assert env.observation_space.contains(text)
    assert text.startswith("1\n")
    assert text.endswith("1000000\n")
    env.close()


def _makers(number: int) -> list[Any]:
    return [lambda: gymnasium.make(BATTLE, max_steps=8) for _ in range(number)]


@pytest.mark.parametrize("kind", ["sync", "async", "async without shared memory"])
def test_vector_environments(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLGYM_CACHE_DIR", str(tmp_path))
    if kind == "sync":
        env: Any = SyncVectorEnv(_makers(2))
    else:
        env = AsyncVectorEnv(_makers(2), shared_memory=kind == "async")
    try:
        texts, infos = env.reset(seed=[1, 2])
        assert len(texts) == 2
        assert all("row player" in text for text in texts)
        assert list(infos["seed"]) == [1, 2]
        # Workspaces are apart, and texts in any script come back as they were.
        texts, rewards, terminated, truncated, _ = env.step(["touch mine; echo grüße 🙂", "ls | tr '\\n' ' '"])
        assert texts[0] == "grüße 🙂\n"
        assert "mine" not in texts[1]
        assert rewards.dtype == np.float64
        assert not terminated.any()
        assert not truncated.any()
        # One episode ends; the next step of that environment resets it, the other goes on.
        _, _, terminated, _, infos = env.step([SUBMIT, "echo second"])
        assert list(terminated) == [True, False]
        assert infos["score"]["split"][0] == "test"
        texts, *_ = env.step(["ls", "echo third"])
        assert "row player" in texts[0]
        assert texts[1] == "third\n"
        texts, *_ = env.step(["ls | tr '\\n' ' '", "true"])
        assert "strategy.py" in texts[0]
        assert "mine" not in texts[0]
    finally:
        env.close()
    assert _processes_using(tmp_path) == []


def _processes_using(folder: Path) -> list[bytes]:
    """Return the command lines that name a folder: those of the sandboxes over a cache."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                command = Path("/proc", entry, "cmdline").read_bytes()
            except OSError:
                continue
            if str(folder).encode() in command:
                found.append(command)
    return found


@pytest.mark.parametrize("text", ["", "plain", "ä" * 40, "🙂\0\n", "\ud800"])
def test_texts_go_through_shared_memory_unchanged(text: str) -> None:
    from gymnasium.vector.utils import create_shared_memory, read_from_shared_memory, write_to_shared_memory

    space = UnicodeText(100)
    assert space.contains(text)
    memory: Any = create_shared_memory(space, n=3)
    write: Any = write_to_shared_memory
    texts = read_from_shared_memory(space, memory, n=3)
    write(space, 1, "another", memory)
    assert list(texts) == ["", "another", ""]
    write(space, 1, text, memory)
    assert tuple(texts) == ("", text, "")


def test_the_space() -> None:
    space = UnicodeText(4, seed=1)
    assert all(space.contains(space.sample()) for _ in range(50))
    assert not space.contains("äää")
    assert not space.contains(5)
    assert space == UnicodeText(4)
    assert space != UnicodeText(5)
