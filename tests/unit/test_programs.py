"""What programs that play an episode by themselves need: a command that is no step, a way to the host, mounts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mlgym_core import BudgetExhausted, Mount, SandboxError, UsageError, make_async
from mlgym_core.making import make_env

LISTENING = "import socket\na = socket.socket()\na.bind(('127.0.0.1', 0))\na.listen()\n"
pytestmark = pytest.mark.usefixtures("installed_examples")


async def test_a_program_plays(sandbox_name: str, tmp_path: Path) -> None:
    async with make_async("examples/number", sandbox=sandbox_name, max_steps=3, runs_dir=tmp_path) as env:
        await env.reset()

        async def meanwhile() -> None:
            # The program says when it is ready, and waits.
            while b"0.5" not in await env.read_file("answer.txt", 10):  # noqa: ASYNC110 - a file tells nobody
                await asyncio.sleep(0.05)
            for _ in range(3):
                env.count_step()
            with pytest.raises(BudgetExhausted, match="max_steps is reached"):
                env.count_step()
            with pytest.raises(UsageError, match="still going on"):
                await env.step("true")
            assert "value = 0.5" in (await env.validate()).text
            await env.submit()
            assert env.end_command()

        acting = asyncio.create_task(meanwhile())
        observation = await env.run_program("echo begun; echo 0.5 > answer.txt; sleep 1000")
        await acting
        assert observation.text.startswith("begun\n[The command was ended")
        assert not observation.timed_out
        assert (observation.exit_code, observation.steps_left) == (None, 0)
        assert not env.end_command()
        result = await env.finish()
    assert (result.status, result.exit_reason, result.steps) == ("completed", "submitted", 3)
    assert (result.validations, result.best_validation) == (1, 0.5)
    assert result.return_ == pytest.approx(result.score.normalized if result.score is not None else None)


async def test_a_program_whose_time_is_up(sandbox_name: str) -> None:
    async with make_async("examples/number", sandbox=sandbox_name, action_timeout=0.1) as env:
        await env.reset()
        # The limit of single actions is not that of programs.
        assert (await env.run_program("sleep 0.5; echo done")).text == "done\n"
        observation = await env.run_program("sleep 1000", seconds=0.2)
        assert observation.timed_out
        assert "after 0.2 s" in observation.text
        assert (await env.step("echo on"))[0].text == "on\n"


async def test_time_that_is_up_is_why_an_episode_ends(sandbox_name: str) -> None:
    async with make_async("examples/number", sandbox=sandbox_name, max_time=1.0) as env:
        await env.reset()
        assert (await env.run_program("sleep 1000")).timed_out
        result = await env.finish()
        assert (result.exit_reason, result.limit, result.status) == ("max_time", "max_time", "completed")


async def test_nothing_is_validated_at_the_end(sandbox_name: str) -> None:
    async with make_async("examples/number", sandbox=sandbox_name) as env:
        await env.reset()
        outcomes = await asyncio.gather(env.validate(), env.finish(), env.validate(), return_exceptions=True)
        assert "value" in str(outcomes[0])
        assert "ending" in str(outcomes[2])
        assert env.result is not None
        assert (env.result.status, env.result.exit_reason) == ("completed", "agent_exit")


async def test_more_mounts(sandbox_name: str, tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "file").write_text("given")
    mounts = [Mount(folder, "/opt/given")]
    async with await make_env("examples/number", sandbox=sandbox_name, mounts=mounts) as env:
        await env.reset()
        inside = env.path_inside(folder / "file")
        assert inside == ("/opt/given/file" if sandbox_name == "bwrap" else str(folder / "file"))
        assert (await env.step(f"cat {inside}"))[0].text == "given"
        if sandbox_name == "bwrap":
            assert (await env.step(f"touch {inside}x"))[0].exit_code == 1
            with pytest.raises(UsageError, match="sandbox_mounts"):
                env.path_inside(tmp_path)
        await env.step("touch new")
        snapshot = await env.snapshot()
        async with await env.fork(snapshot) as twin:
            assert (await twin.step(f"cat {inside}; ls"))[0].text == "givenanswer.txt\nnew\n"
        await env.restore(snapshot)
        assert (await env.step(f"cat {inside}"))[0].text == "given"


def descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(
    "program",
    [
        "pass",
        "import sys; sys.exit('no python today')",
        "import socket\nsocket.send_fds(socket.socket(fileno=0), [b'!'], [1])",
        "import socket\na = socket.socket(); socket.send_fds(socket.socket(fileno=0), [b'!'], [a.fileno()])",
        f"{LISTENING}socket.send_fds(socket.socket(fileno=0), [b'!'], [a.fileno(), a.fileno()])",
        f"{LISTENING}file = open('/dev/null')\nsocket.send_fds(socket.socket(fileno=0), [b'!'], [file.fileno()])",
    ],
)
async def test_what_is_handed_out_instead_of_a_listening_socket(
    sandbox_name: str, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sandbox_name != "bwrap":
        pytest.skip("The same code.")
    monkeypatch.setattr("mlgym_core.sandbox.listening._PROGRAM", program)
    # One of them keeps its own output from ending.
    monkeypatch.setattr("mlgym_core.sandbox.listening._SECONDS", 5.0)
    async with make_async("examples/number", sandbox="bwrap") as env:
        await env.reset()
        before = descriptors()
        for _ in range(2):
            with pytest.raises(SandboxError, match=r"handed out no listening socket.*--sandbox"):
                await env.listen()
        assert descriptors() <= before + 1
